"""`emit`: the events that a rule makes of its matches.

A derived event is JSON like any other and is read as if it had come in: what rules see of it is
what its bytes say.  One that its declaration does not allow (a required field came out null, a
number is out of range) is refused and counted; what it was made of is in the detection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from cep.phrases import Subject, json_of
from cep.values import exact_digits, json_value
from dsl.model import EventType, Field, Kind, Path, Rule, Type
from matcher.limits import EVENT_BYTES_MAX
from matcher.lineage import DerivedEvent
from matcher.record import BadEvent, record
from matcher.schema import source_of

_TIMESTAMP = Type(Kind.TIMESTAMP)


class Derived(NamedTuple):
    """The derived events of one match, and how many were refused."""

    events: Sequence[DerivedEvent] = ()
    refused: int = 0


class Emitter:
    """Makes the derived events of one rule's matches."""

    def __init__(self, rule: Rule, events: Mapping[str, EventType]) -> None:
        self._emits = [
            (
                events[emit.event],
                [
                    (_source(events[emit.event].fields, path), json_of(value))
                    for path, value in emit.values
                ],
            )
            for emit in rule.emits
        ]

    def derive(self, found: Subject, made_by: str) -> Derived:
        """`made_by` is the id of the detection."""
        made = []
        for number, (event, values) in enumerate(self._emits):
            body: dict[str, object] = {"type": event.discriminator}
            if event.time_field is not None:
                source = _source(event.fields, (event.time_field,))
                _put(body, source, json_value(_TIMESTAMP, found.match.at_ms))
            for source, read in values:
                _put(body, source, read(found))
            try:
                fields = record(event, body)
            except BadEvent:
                continue
            raw = orjson.dumps(body, default=exact_digits)
            if len(raw) <= EVENT_BYTES_MAX:
                made.append(DerivedEvent(event.name, fields, raw, f"{made_by}/{number}"))
        return Derived(made, len(self._emits) - len(made))


def _source(fields: Sequence[Field], path: Path) -> tuple[str, ...]:
    """Where the field `path` is in the JSON event."""
    source: tuple[str, ...] = ()
    for name in path:
        field = next(field for field in fields if field.name == name)
        source, fields = source_of(field, source), field.type.fields
    return source


def _put(body: dict[str, object], source: tuple[str, ...], value: object) -> None:
    for name in source[:-1]:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        body = inner
    body[source[-1]] = value
