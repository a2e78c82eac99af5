"""A detection as one line of JSON: the shape that `cep run` prints and the store keeps.

Decimals are numbers with their exact digits.  `emitted` and `suppressed_by` are there only when
there is something to say.  A derived event has no position, but the detection that made it
(`derived_from`).

`to_json` is the shape; `Writer` gives the same bytes faster for the many detections of one rule,
and keeps the bound events as they came.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import orjson

from cep.detection import BoundEvent, Detection
from cep.values import exact_digits, iso_time
from dsl.model import Rule
from matcher.matcher import Match

Fields: TypeAlias = dict[str, object]
Said: TypeAlias = tuple[Fields, str, str, Fields]
"""What a rule says about a match, as JSON-ready values: key, severity, message, fields."""


def to_json(detection: Detection) -> bytes:
    """A detection as one line of JSON, as `cep run` prints it."""
    body: dict[str, object] = {
        "id": detection.id,
        "rule": detection.rule,
        "version": detection.version,
        "key": detection.key,
        "at": iso_time(detection.at_ms),
        "severity": detection.severity,
        "message": detection.message,
        "fields": detection.fields,
        "events": [_bound_event(bound) for bound in detection.events],
    }
    if detection.emitted:
        body["emitted"] = [orjson.Fragment(_event_json(event)) for event in detection.emitted]
    if detection.suppressed_by is not None:
        body["suppressed_by"] = detection.suppressed_by
    return orjson.dumps(body, default=exact_digits)


def _bound_event(bound: BoundEvent) -> dict[str, object]:
    event = orjson.Fragment(_event_json(bound.event))
    if bound.derived_from is None:
        return {"step": bound.step, "position": bound.position, "event": event}
    made_by = bound.derived_from
    return {"step": bound.step, "position": None, "derived_from": made_by, "event": event}


class Writer:
    """Writes the detections of `rule`; what they have in common is JSON already."""

    __slots__ = ("_rule", "_steps")

    def __init__(self, rule: Rule) -> None:
        name, version = orjson.dumps(rule.name), orjson.dumps(rule.version)
        labels = (orjson.dumps(step.label) for step in rule.steps)
        self._rule = b'","rule":%b,"version":%b,"key":' % (name, version)
        self._steps = [b'{"step":%b,"position":' % label for label in labels]

    def write(
        self,
        id: str,
        said: Said,
        match: Match,
        suppressed_by: str | None,
        emitted: Sequence[bytes] = (),
    ) -> bytes:
        """`emitted` are events as JSON."""
        key, severity, message, fields = said
        tail = b',"emitted":[%b]' % b",".join(emitted) if emitted else b""
        if suppressed_by is not None:
            tail += b',"suppressed_by":"%b"' % suppressed_by.encode()
        return (
            b'{"id":"%b%b%b,"at":"%b","severity":%b,"message":%b,"fields":%b,"events":[%b]%b}'
            % (
                id.encode(),
                self._rule,
                orjson.dumps(key, exact_digits),
                iso_time(match.at_ms).encode(),
                orjson.dumps(severity),
                orjson.dumps(message),
                orjson.dumps(fields, exact_digits),
                b",".join(self._events(match)),
                tail,
            )
        )

    def _events(self, match: Match) -> list[bytes]:
        steps = map(self._steps.__getitem__, match.steps)
        # Not strict: they are columns of one match, and the check takes as long as the rest.
        bound = zip(steps, match.positions, map(bytes.strip, match.raw))  # noqa: B905
        if not match.origins:
            return [b'%b%d,"event":%b}' % event for event in bound]
        return [
            b'%bnull,"derived_from":"%b","event":%b}' % (step, detection_of(origin).encode(), raw)
            if origin
            else b'%b%d,"event":%b}' % (step, position, raw)
            for (step, position, raw), origin in zip(bound, match.origins, strict=True)
        ]


def detection_of(origin: str) -> str:
    """The id of the detection that made a derived event, from its origin."""
    return origin.partition("/")[0]


def key_json(key: Fields) -> bytes:
    """A rule's key by the names of its parts."""
    return orjson.dumps(key, exact_digits)


def _event_json(event: dict[str, object]) -> bytes:
    """An event is any JSON: numbers of any size, even halves of surrogate pairs."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        return json.dumps(event, separators=(",", ":")).encode()
