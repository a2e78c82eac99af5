"""A detection as one line of JSON: the shape that `cep run` prints and the store keeps.

Decimals are numbers with their exact digits.  `emitted`, `suppressed_by` and `shadow` are there
only when there is something to say.  A derived event has no position, but the detection that made
it (`derived_from`).

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
    if detection.shadow:
        body["shadow"] = True
    return orjson.dumps(body, default=exact_digits)


def _bound_event(bound: BoundEvent) -> dict[str, object]:
    event = orjson.Fragment(_event_json(bound.event))
    if bound.derived_from is None:
        return {"step": bound.step, "position": bound.position, "event": event}
    made_by = bound.derived_from
    return {"step": bound.step, "position": None, "derived_from": made_by, "event": event}


class Writer:
    """Writes the detections of `rule`; what they have in common is JSON already."""

    __slots__ = ("_name", "_steps", "_version")

    def __init__(self, rule: Rule) -> None:
        self._name = orjson.Fragment(orjson.dumps(rule.name))
        self._version = orjson.Fragment(orjson.dumps(rule.version))
        self._steps = [orjson.Fragment(orjson.dumps(step.label)) for step in rule.steps]

    def write(
        self,
        id: str,
        said: Said,
        match: Match,
        hidden: tuple[str | None, bool] = (None, False),
        emitted: Sequence[bytes] = (),
    ) -> bytes:
        """`hidden`: by which detection, and in shadow; `emitted` are events as JSON."""
        suppressed_by, in_shadow = hidden
        key, severity, message, fields = said
        body: dict[str, object] = {
            "id": id,
            "rule": self._name,
            "version": self._version,
            "key": key,
            "at": iso_time(match.at_ms),
            "severity": severity,
            "message": message,
            "fields": fields,
            "events": self._events(match),
        }
        if emitted:
            body["emitted"] = list(map(orjson.Fragment, emitted))
        if suppressed_by is not None:
            body["suppressed_by"] = suppressed_by
        if in_shadow:
            body["shadow"] = True
        return orjson.dumps(body, exact_digits)

    def _events(self, match: Match) -> list[dict[str, object]]:
        steps = map(self._steps.__getitem__, match.steps)
        events = map(orjson.Fragment, map(bytes.strip, match.raw))
        # Not strict: they are columns of one match, and the check takes as long as the rest.
        bound = zip(steps, match.positions, events)  # noqa: B905
        if not match.origins:
            return [
                {"step": step, "position": position, "event": event}
                for step, position, event in bound
            ]
        return [
            {"step": step, "position": None, "derived_from": detection_of(origin), "event": event}
            if origin
            else {"step": step, "position": position, "event": event}
            for (step, position, event), origin in zip(bound, match.origins, strict=True)
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
