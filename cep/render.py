"""A match becomes a detection: its id, message, fields and JSON.

    id = blake2b-128 of (rule, rule version, partition, key, bound positions, deadline if a timer's)

so a match found again after a crash has the id it had.  Nothing here raises on event data: a field
that only the output reads, and that does not fit its declared type, is null in the output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import orjson

from cep import limits
from cep.detection import BoundEvent, Detection
from cep.detection_json import detection_json, event_json, rule_json, step_json
from cep.fields import reader
from cep.ports import DetectionRow
from cep.values import json_value, text
from dsl.model import Aggregate, Call, EventType, Expr, FieldRef, Path, Placeholder, Rule, Template
from matcher.evaluate import Environment, evaluate
from matcher.matcher import Match
from matcher.record import Record
from matcher.schema import walk

DEFAULT_DESTINATION = "default"


class Evidence:
    """A match with its bound events read: what expressions of the output are evaluated over."""

    __slots__ = ("environment", "id", "match")

    def __init__(self, match: Match, id: str, environment: Environment) -> None:
        self.match = match
        self.id = id
        self.environment = environment

    def values(self, expressions: Sequence[Expr]) -> tuple[object, ...]:
        return tuple(evaluate(expression, self.environment) for expression in expressions)


class Rendered:
    """A detection: its JSON (`body`), its row in the store, and on demand the object itself."""

    __slots__ = ("_parts", "_rule", "body", "evidence", "suppressed_by")

    def __init__(
        self,
        rule: Rule,
        evidence: Evidence,
        parts: _Parts,
        suppressed_by: str | None,
        body: bytes,
    ) -> None:
        self.body = body
        self.evidence = evidence
        self.suppressed_by = suppressed_by
        self._rule = rule
        self._parts = parts

    @property
    def detection(self) -> Detection:
        rule, match, parts = self._rule, self.evidence.match, self._parts
        return Detection(
            id=self.evidence.id,
            rule=rule.name,
            version=rule.version,
            key=parts.key,
            at_ms=match.at_ms,
            severity=parts.severity,
            message=parts.message,
            fields=parts.fields,
            events=tuple(
                BoundEvent(rule.steps[bound.step].label, bound.position, json.loads(bound.raw))
                for bound in match.events
            ),
            suppressed_by=self.suppressed_by,
            notify=rule.notify,
        )

    def row(self) -> DetectionRow:
        rule = self._rule
        visible = self.suppressed_by is None
        return DetectionRow(
            id=self.evidence.id,
            rule=rule.name,
            version=rule.version,
            severity=self._parts.severity,
            at_ms=self.evidence.match.at_ms,
            suppressed_by=self.suppressed_by,
            body=self.body,
            destinations=(rule.notify or (DEFAULT_DESTINATION,)) if visible else (),
        )


class _Parts(NamedTuple):
    """What a rule says about a match."""

    key: dict[str, object]
    severity: str
    message: str
    fields: dict[str, object]


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
        read = _fields_read([*_output_expressions(rule), *also])
        self._readers = [
            reader(_narrowed(events[step.event], read.get(step.index, set())))
            for step in rule.steps
        ]
        self._keys = [(key.name, key.type) for key in rule.keys]
        self._rule_json = rule_json(rule.name, rule.version)
        self._step_json = [step_json(step.label) for step in rule.steps]
        self._identity = orjson.dumps((rule.name, rule.version, partition))[:-1]

    def evidence(self, match: Match) -> Evidence:
        bound: dict[int, list[Record]] = {}
        for event in match.events:
            read = self._readers[event.step](event.raw)
            bound.setdefault(event.step, []).append(read)
        return Evidence(match, self._id(match), Environment(None, bound, match.key))

    def render(self, evidence: Evidence, suppressed_by: str | None) -> Rendered:
        rule, environment = self.rule, evidence.environment
        fields: dict[str, object] = {}
        message = _fill(rule.message, environment, fields)
        for name, value in rule.attributes:
            fields[name] = (
                _fill(value, environment, {})
                if isinstance(value, Template)
                else json_value(value.type, evaluate(value, environment))
            )
        severity = fields.get("severity")
        if not isinstance(severity, str):
            severity = rule.severity
        key = {
            name: json_value(type, value)
            for (name, type), value in zip(self._keys, evidence.match.key, strict=True)
        }
        body = detection_json(
            evidence.id,
            self._rule_json,
            key,
            evidence.match.at_ms,
            severity,
            message,
            fields,
            [
                event_json(self._step_json[bound.step], bound.position, bound.raw.strip())
                for bound in evidence.match.events
            ],
            suppressed_by,
        )
        return Rendered(rule, evidence, _Parts(key, severity, message, fields), suppressed_by, body)

    def _id(self, match: Match) -> str:
        identity = b"%b,%b,%b,%b]" % (
            self._identity,
            orjson.dumps(match.key),
            orjson.dumps([event.position for event in match.events]),
            orjson.dumps(match.at_ms if match.timer else None),
        )
        return blake2b(identity, digest_size=16).hexdigest()


def _fill(template: Template, environment: Environment, fields: dict[str, object]) -> str:
    """The text of `template`; the value of each placeholder goes into `fields`."""
    filled = []
    for part in template.parts:
        if isinstance(part, str):
            filled.append(part)
            continue
        type, value = part.expr.type, evaluate(part.expr, environment)
        fields[part.text] = shown = json_value(type, value)
        # Most values are plain strings and numbers: they are their own text.
        plain = shown if part.spec == "" and shown.__class__ is str else None
        filled.append(text(type, value, part.spec) if plain is None else plain)
    return _cut("".join(filled))


def _cut(filled: str) -> str:
    """At most `MESSAGE_BYTES_MAX` bytes of UTF-8, with an ellipsis where something was cut."""
    if len(filled) * 4 <= limits.MESSAGE_BYTES_MAX and filled.isascii():
        return filled
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
            case Aggregate(step=step, value=value) if value is not None:
                own = (node for node in walk(value) if isinstance(node, FieldRef))
                read.setdefault(step, set()).update(node.path for node in own)
            case Call(args=args):
                pending.extend(args)
    return read


def _narrowed(event: EventType, paths: set[Path]) -> EventType:
    """`event` with the top-level fields that `paths` begin with."""
    names = {path[0] for path in paths}
    return replace(event, fields=tuple(field for field in event.fields if field.name in names))
