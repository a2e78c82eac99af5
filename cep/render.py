"""A match becomes a detection: its id, message, fields and JSON.

    id = blake2b-128 of (rule, rule version, partition, key, bound positions, deadline if a timer's)

so a match found again after a crash has the id it had.  Nothing here raises on event data: a field
that only the output reads, and that does not fit its declared type, is null in the output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b

import orjson

from cep import limits
from cep.detection import BoundEvent, Detection
from cep.ports import DetectionRow
from cep.values import iso_time, json_value, text
from dsl.model import Aggregate, Call, EventType, Expr, FieldRef, Path, Placeholder, Rule, Template
from matcher.evaluate import Environment, evaluate
from matcher.matcher import Match
from matcher.record import Record, payload, read_line, record

DEFAULT_DESTINATION = "default"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A match with its bound events read: what expressions of the output are evaluated over."""

    match: Match
    id: str
    environment: Environment

    def values(self, expressions: Sequence[Expr]) -> tuple[object, ...]:
        return tuple(evaluate(expression, self.environment) for expression in expressions)


@dataclass(frozen=True, slots=True)
class Rendered:
    detection: Detection
    evidence: Evidence
    body: bytes  # the detection as JSON

    def row(self) -> DetectionRow:
        found = self.detection
        visible = found.suppressed_by is None
        return DetectionRow(
            id=found.id,
            rule=found.rule,
            version=found.version,
            severity=found.severity,
            at_ms=found.at_ms,
            suppressed_by=found.suppressed_by,
            body=self.body,
            destinations=(found.notify or (DEFAULT_DESTINATION,)) if visible else (),
        )


class Renderer:
    """Renders the matches of one rule in one partition.

    `also` are further expressions over bound events that the caller will evaluate.
    """

    def __init__(
        self,
        rule: Rule,
        events: Mapping[str, EventType],
        partition: str,
        also: Sequence[Expr] = (),
    ) -> None:
        self.rule = rule
        self._partition = partition
        read = _fields_read([*_output_expressions(rule), *also])
        self._event_types = [
            _narrowed(events[step.event], read.get(step.index, set())) for step in rule.steps
        ]

    def evidence(self, match: Match) -> Evidence:
        bound: dict[int, list[Record]] = {}
        for event in match.events:
            read = _read_record(self._event_types[event.step], event.raw)
            bound.setdefault(event.step, []).append(read)
        return Evidence(match, self._id(match), Environment(None, bound, match.key))

    def render(self, evidence: Evidence, suppressed_by: str | None) -> Rendered:
        match, rule, environment = evidence.match, self.rule, evidence.environment
        fields = {
            part.text: json_value(part.expr.type, evaluate(part.expr, environment))
            for part in rule.message.parts
            if isinstance(part, Placeholder)
        }
        for name, value in rule.attributes:
            fields[name] = (
                _fill(value, environment)
                if isinstance(value, Template)
                else json_value(value.type, evaluate(value, environment))
            )
        severity = fields.get("severity")
        detection = Detection(
            id=evidence.id,
            rule=rule.name,
            version=rule.version,
            key=self._key(match),
            at_ms=match.at_ms,
            severity=severity if isinstance(severity, str) else rule.severity,
            message=_fill(rule.message, environment),
            fields=fields,
            events=tuple(
                BoundEvent(rule.steps[event.step].label, event.position, json.loads(event.raw))
                for event in match.events
            ),
            suppressed_by=suppressed_by,
            notify=rule.notify,
        )
        raw = [orjson.Fragment(event.raw.strip()) for event in match.events]
        return Rendered(detection, evidence, to_json(detection, raw))

    def _key(self, match: Match) -> dict[str, object]:
        return {
            key.name: json_value(key.type, value)
            for key, value in zip(self.rule.keys, match.key, strict=True)
        }

    def _id(self, match: Match) -> str:
        identity = [
            self.rule.name,
            self.rule.version,
            self._partition,
            match.key,
            [event.position for event in match.events],
            match.at_ms if match.timer else None,
        ]
        return blake2b(orjson.dumps(identity), digest_size=16).hexdigest()


def to_json(detection: Detection, events: Sequence[object] | None = None) -> bytes:
    """One line of JSON; `events`, when given, stand for the bound events (their exact text)."""
    values = [event.event for event in detection.events] if events is None else events
    body: dict[str, object] = {
        "id": detection.id,
        "rule": detection.rule,
        "version": detection.version,
        "key": detection.key,
        "at": iso_time(detection.at_ms),
        "severity": detection.severity,
        "message": detection.message,
        "fields": detection.fields,
        "events": [
            {"step": bound.step, "position": bound.position, "event": value}
            for bound, value in zip(detection.events, values, strict=True)
        ],
    }
    if detection.suppressed_by is not None:
        body["suppressed_by"] = detection.suppressed_by
    return orjson.dumps(body, default=_exact_digits)


def _exact_digits(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _fill(template: Template, environment: Environment) -> str:
    filled = "".join(
        part
        if isinstance(part, str)
        else text(part.expr.type, evaluate(part.expr, environment), part.spec)
        for part in template.parts
    )
    return _cut(filled)


def _cut(filled: str) -> str:
    """At most `MESSAGE_BYTES_MAX` bytes of UTF-8, with an ellipsis where something was cut."""
    encoded = filled.encode("utf-8", "replace")
    if len(encoded) <= limits.MESSAGE_BYTES_MAX:
        return encoded.decode()
    return encoded[: limits.MESSAGE_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"


# ------------------------------------------------------------------------------------- records


def _output_expressions(rule: Rule) -> Iterator[Expr]:
    for template in (rule.message, *(value for _, value in rule.attributes)):
        if isinstance(template, Template):
            yield from (part.expr for part in template.parts if isinstance(part, Placeholder))
        else:
            yield template
    if rule.suppress is not None:
        yield from rule.suppress.by


def _fields_read(expressions: Sequence[Expr]) -> dict[int, set[Path]]:
    """The paths read of each step's events."""
    read: dict[int, set[Path]] = {}
    pending = list(expressions)
    while pending:
        match pending.pop():
            case FieldRef(step=int(step), path=path) | Aggregate(step=step, path=tuple(path)):
                read.setdefault(step, set()).add(path)
            case Call(args=args):
                pending.extend(args)
    return read


def _narrowed(event: EventType, paths: set[Path]) -> EventType:
    """`event` with the top-level fields that `paths` begin with."""
    names = {path[0] for path in paths}
    return replace(event, fields=tuple(field for field in event.fields if field.name in names))


def _read_record(event_type: EventType, raw: bytes) -> Record:
    """The fields of an event; one that does not fit its declared type is null."""
    return record(event_type, payload(read_line(raw), event_type), strict=False)
