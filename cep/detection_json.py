"""A detection as one line of JSON: the shape that `cep run` prints and the store keeps.

Decimals are numbers with their exact digits.  `suppressed_by` is there only when there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import orjson

from cep.detection import Detection
from cep.values import iso_time


def to_json(detection: Detection) -> bytes:
    """A detection as one line of JSON, as `cep run` prints it."""
    return detection_json(
        detection.id,
        rule_json(detection.rule, detection.version),
        detection.key,
        detection.at_ms,
        detection.severity,
        detection.message,
        detection.fields,
        [
            event_json(step_json(bound.step), bound.position, orjson.dumps(bound.event))
            for bound in detection.events
        ],
        detection.suppressed_by,
    )


def detection_json(
    id: str,
    rule: bytes,
    key: dict[str, object],
    at_ms: int,
    severity: str,
    message: str,
    fields: dict[str, object],
    events: Iterable[bytes],
    suppressed_by: str | None,
) -> bytes:
    """`rule` and `events` are parts made by `rule_json` and `event_json`.

    What is the same for every detection of a rule is written once and joined here: this is most of
    what a detection costs.
    """
    parts = [
        b'{"id":"',
        id.encode(),
        rule,
        orjson.dumps(key, default=_exact_digits),
        b',"at":"',
        iso_time(at_ms).encode(),
        b'","severity":',
        orjson.dumps(severity),
        b',"message":',
        orjson.dumps(message),
        b',"fields":',
        orjson.dumps(fields, default=_exact_digits),
        b',"events":[',
        b",".join(events),
        b"]}" if suppressed_by is None else b'],"suppressed_by":%b}' % orjson.dumps(suppressed_by),
    ]
    return b"".join(parts)


def rule_json(rule: str, version: str) -> bytes:
    """What stands between the id and the key."""
    return b'","rule":%b,"version":%b,"key":' % (orjson.dumps(rule), orjson.dumps(version))


def step_json(label: str) -> bytes:
    """What stands before the position of an event bound to this step."""
    return b'{"step":%b,"position":' % orjson.dumps(label)


def event_json(step: bytes, position: int, event: bytes) -> bytes:
    """A bound event; `event` is JSON already, and kept as it came."""
    return b'%b%d,"event":%b}' % (step, position, event)


def _exact_digits(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form here")
