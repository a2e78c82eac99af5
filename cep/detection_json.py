"""A detection as one line of JSON: the shape that `cep run` prints and the store keeps.

Decimals are numbers with their exact digits.  `suppressed_by` is there only when there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import orjson

from cep.detection import Detection
from cep.values import iso_time


def to_json(detection: Detection) -> bytes:
    """A detection as one line of JSON, as `cep run` prints it."""
    events = [
        {"step": bound.step, "position": bound.position, "event": bound.event}
        for bound in detection.events
    ]
    return detection_json(
        detection.id,
        detection.rule,
        detection.version,
        detection.key,
        detection.at_ms,
        detection.severity,
        detection.message,
        detection.fields,
        events,
        detection.suppressed_by,
    )


def detection_json(
    id: str,
    rule: str,
    version: str,
    key: dict[str, object],
    at_ms: int,
    severity: str,
    message: str,
    fields: dict[str, object],
    events: Sequence[object],
    suppressed_by: str | None,
) -> bytes:
    body: dict[str, object] = {
        "id": id,
        "rule": rule,
        "version": version,
        "key": key,
        "at": iso_time(at_ms),
        "severity": severity,
        "message": message,
        "fields": fields,
        "events": events,
    }
    if suppressed_by is not None:
        body["suppressed_by"] = suppressed_by
    return orjson.dumps(body, default=_exact_digits)


def _exact_digits(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form here")
