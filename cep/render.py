"""A match becomes a detection: its id, message, fields and JSON.

    id = blake2b-128 of (rule, rule version, partition, key, bound positions, deadline if a timer's;
         with `matches all` the steps bound as well)

so a match found again after a crash has the id it had.  In place of the position of a derived event
stands its origin.  Nothing here raises on event data: a field that only the output reads, and that
does not fit its declared type, is null in the output.

A rule's output is compiled once, in its `Renderer`; what a detection says is made when somebody
asks for it, once, and of the events only those are read of which something is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

import orjson

from cep.derive import Emitter
from cep.detection import BoundEvent, Detection
from cep.detection_json import Fields, Said, Writer, detection_of, key_json
from cep.fields import Reader, reader
from cep.phrases import Read, json_form, json_of, scalar, sentence
from cep.ports import DetectionRow, ResolutionRow
from cep.values import AS_IT_IS
from dsl.model import (
    Aggregate,
    Call,
    EventType,
    Expr,
    FieldRef,
    Key,
    Path,
    Rule,
    Template,
)
from matcher.evaluate import Environment
from matcher.lineage import DerivedEvent
from matcher.lookup.history import Rows
from matcher.lookup.reference_data import names_of
from matcher.matcher import Match, Resolution
from matcher.record import Record
from matcher.schema import outputs, walk

DEFAULT_DESTINATION = "default"


class Rendered:
    """A detection: its id at once, everything else when it is asked for.

    `suppressed_by` is the id of the detection that hides this one, `shadow` says that nobody is
    told; set them before reading the rest.  `derived` are the events the rule emits for it.
    """

    __slots__ = (
        *("_body", "_environment", "_renderer", "_said"),
        *("derived", "id", "match", "shadow", "suppressed_by"),
    )

    def __init__(self, renderer: Renderer, match: Match, id: str) -> None:
        self.match = match
        self.id = id
        self.suppressed_by: str | None = None
        self.shadow = False
        self.derived: Sequence[DerivedEvent] = ()
        self._renderer = renderer
        self._environment: Environment | None = None
        self._said: Said | None = None
        self._body: bytes | None = None

    @property
    def environment(self) -> Environment:
        """The bound events, read: what expressions of the output are evaluated over."""
        if self._environment is None:
            self._environment = self._renderer.environment(self.match)
        return self._environment

    def values(self, expressions: Sequence[Expr]) -> tuple[object, ...]:
        return tuple(scalar(expression)(self) for expression in expressions)

    @property
    def said(self) -> Said:
        if self._said is None:
            self._said = self._renderer.say(self)
        return self._said

    def speak(self) -> None:
        """Say it now, because it could not be said later."""
        self._said = self.said

    @property
    def body(self) -> bytes:
        """The detection as one line of JSON."""
        if self._body is None:
            self._body = self._renderer.body(self)
        return self._body

    def row(self) -> DetectionRow:
        """The detection as the store keeps it."""
        rule = self.match.rule
        _, severity, _, _ = self.said
        told = rule.alerts and self.suppressed_by is None and not self.shadow
        return DetectionRow(
            id=self.id,
            rule=rule.name,
            version=rule.version,
            severity=severity,
            at_ms=self.match.at_ms,
            suppressed_by=self.suppressed_by,
            body=self.body,
            shadow=self.shadow,
            destinations=(rule.notify or (DEFAULT_DESTINATION,)) if told else (),
        )

    @property
    def detection(self) -> Detection:
        rule, match = self.match.rule, self.match
        key, severity, message, fields = self.said
        return Detection(
            id=self.id,
            rule=rule.name,
            version=rule.version,
            key=key,
            at_ms=match.at_ms,
            severity=severity,
            message=message,
            fields=fields,
            events=tuple(
                BoundEvent(
                    rule.steps[bound.step].label,
                    None if bound.origin else bound.position,
                    json.loads(bound.raw),
                    detection_of(bound.origin) if bound.origin else None,
                )
                for bound in match.events
            ),
            suppressed_by=self.suppressed_by,
            shadow=self.shadow,
            notify=rule.notify,
            emitted=tuple(json.loads(event.raw) for event in self.derived),
        )


class Renderer:
    """Renders the matches of one rule in one partition.

    `also` are further expressions over bound events that the caller will evaluate; `rows` is where
    expressions look rows up.
    """

    def __init__(
        self,
        rule: Rule,
        events: Mapping[str, EventType],
        partition: str,
        also: Sequence[Expr] = (),
        rows: Rows | None = None,
    ) -> None:
        shown = [*outputs(rule), *also]
        read = _fields_read(shown)
        self.looks_up = any(True for _ in names_of(shown))
        self._rows = rows
        self._readers: list[Reader] = [
            reader(_narrowed(events[step.event], read.get(step.index, set())))
            for step in rule.steps
        ]
        self._severity = rule.severity
        self._every = rule.policy.every
        # What the ids of all matches begin with is hashed once.
        prefix = orjson.dumps((rule.name, rule.version, partition))[:-1] + b","
        self._identity = blake2b(prefix, digest_size=16)
        self._key = _key(rule.keys)
        self._message = sentence(rule.message)
        self._attributes = [(name, _attribute(given)) for name, given in rule.attributes]
        self._writer = Writer(rule)
        self._emitter = Emitter(rule, events) if rule.emits else None

    def render(self, match: Match) -> Rendered:
        deadline_ms = match.at_ms if match.timer else None
        bound: tuple[object, ...] = match.positions
        if match.origins:
            places = zip(match.origins, match.positions, strict=True)
            bound = tuple(origin or position for origin, position in places)
        if self._every:  # the same events may match in several ways
            bound = (*bound, match.steps)
        return Rendered(self, match, self._id((match.key, bound, deadline_ms)))

    def _id(self, facts: tuple[object, ...]) -> str:
        identity = self._identity.copy()
        identity.update(orjson.dumps(facts)[1:])
        return identity.hexdigest()

    def derive(self, found: Rendered) -> int:
        """Make the events that the rule emits for a detection; how many were refused."""
        if self._emitter is None:
            return 0
        found.derived, refused = self._emitter.derive(found, found.id)
        return refused

    def environment(self, match: Match) -> Environment:
        bound: dict[int, list[Record]] = {}
        for place, (step, raw) in enumerate(zip(match.steps, match.raw, strict=True)):
            read = self._readers[step](raw)
            if match.derived:
                read = {**read, **match.derived[place]}
            bound.setdefault(step, []).append(read)
        if not self.looks_up:
            return Environment(None, bound, match.key, values=match.values)
        positions: dict[int, list[int]] = {}
        seen_as_of = match.as_of or match.positions
        for step, position in zip(match.steps, seen_as_of, strict=True):
            positions.setdefault(step, []).append(position)
        return Environment(
            None,
            bound,
            match.key,
            self._rows,
            positions=positions,
            last_position=seen_as_of[-1] if seen_as_of else match.by,
            values=match.values,
        )

    def say(self, found: Rendered) -> Said:
        fields: Fields = {}
        message = self._message(found, fields)
        for name, attribute in self._attributes:
            fields[name] = attribute(found)
        severity = fields.get("severity")
        if not isinstance(severity, str):
            severity = self._severity
        return self._key(found.match.key), severity, message, fields

    def body(self, found: Rendered) -> bytes:
        emitted = [event.raw for event in found.derived]
        hidden = found.suppressed_by, found.shadow
        return self._writer.write(found.id, found.said, found.match, hidden, emitted)

    def resolution(self, found: Resolution) -> ResolutionRow:
        by: tuple[object, ...] = (found.origin or found.position,)
        if found.phase:  # time may resolve several times by what one event has left
            by = (*by, found.at_ms)
        return ResolutionRow(
            id=self._id((found.key, *by)),
            rule=found.rule.name,
            key=key_json(self._key(found.key)),
            at_ms=found.at_ms,
            position=found.position,
        )


def _key(keys: Sequence[Key]) -> Callable[[tuple[object, ...]], Fields]:
    """From the scalars of a key to its parts by name, JSON-ready."""
    if len(keys) == 1 and keys[0].type.kind in AS_IT_IS:  # nearly every rule
        name = keys[0].name
        return lambda scalars: {name: scalars[0]}
    forms = [(index, key.name, json_form(key.type)) for index, key in enumerate(keys)]
    return lambda scalars: {name: form(scalars[index]) for index, name, form in forms}


def _attribute(given: Expr | Template) -> Read:
    if not isinstance(given, Template):
        return json_of(given)
    say = sentence(given)
    return lambda found: say(found, {})


# ------------------------------------------------------------------------------------- records


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
