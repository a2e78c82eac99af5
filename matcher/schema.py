"""Which event types and fields the live rules read, and in which column each field is kept.

A `Schema` is what decoding, atoms and the automaton agree on.  Event types are *pruned*: they keep
only the fields that some rule reads, and the time field, so nothing else is decoded or checked.
A column is shared by all event types in which path, kind and scale agree; where they differ, each
variant has its own column.  Rows whose event type does not read a column hold null in it.

A record or list that a rule only tests for presence has a column too: 1 if present, else null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from dsl.model import (
    WINDOW,
    Aggregate,
    Call,
    Derived,
    EventType,
    Expr,
    Field,
    FieldRef,
    Kind,
    Path,
    Placeholder,
    Rule,
    Template,
    Type,
)


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """`type` is the one declared by the first event type of the column; storage depends on kind."""

    path: Path
    type: Type


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field of an event type that holds a value of its own, found by walking into records.

    `source` is the place in the JSON event; `optional_parents` are the sources of the optional
    records around it: when one of those is null, so is the leaf, whether or not it is optional.
    """

    path: Path
    type: Type
    source: tuple[str, ...]
    optional_parents: tuple[tuple[str, ...], ...]


class Schema:
    """See the module head; build with `Schema.of`."""

    def __init__(self, events: Sequence[EventType]) -> None:
        self.events: tuple[EventType, ...] = tuple(events)
        self.event_index: dict[str, int] = {e.name: i for i, e in enumerate(self.events)}
        specs: list[ColumnSpec] = []
        by_shape: dict[tuple[Path, Kind, int], int] = {}
        self._columns: dict[tuple[str, Path], int] = {}
        self._leaves: dict[tuple[str, Path], Leaf] = {}
        for event in self.events:
            for leaf in leaves(event):
                shape = (leaf.path, leaf.type.kind, leaf.type.scale)
                index = by_shape.setdefault(shape, len(specs))
                if index == len(specs):
                    specs.append(ColumnSpec(leaf.path, leaf.type))
                self._columns[event.name, leaf.path] = index
                self._leaves[event.name, leaf.path] = leaf
        self.columns: tuple[ColumnSpec, ...] = tuple(specs)
        self.derived: dict[tuple[str, Path], FieldRef] = {}

    @staticmethod
    def of(
        events: Mapping[str, EventType],
        rules: Sequence[Rule],
        also: Mapping[str, Sequence[Expr]] = MappingProxyType({}),
    ) -> Schema:
        """The schema of exactly what `rules` read; `events` are the declared types by name.

        `also` has further expressions that will be evaluated over each rule's matches.
        """
        read: dict[str, set[Path]] = {}
        derived: dict[tuple[str, Path], FieldRef] = {}
        for rule in rules:
            for event, path in fields_read(rule, also.get(rule.name, ())):
                read.setdefault(event, set()).update((path,) if path else ())
            for event, ref in derived_read(rule, also.get(rule.name, ())):
                derived.setdefault((event, ref.path), ref)
        schema = Schema([_prune(events[name], read[name]) for name in events if name in read])
        schema._add_derived(derived)
        return schema

    def _add_derived(self, derived: Mapping[tuple[str, Path], FieldRef]) -> None:
        """Derived fields have columns behind those that are decoded."""
        for (event, path), ref in derived.items():
            self._columns[event, path] = len(self.columns) + len(self.derived)
            self._leaves[event, path] = Leaf(path, replace(ref.type, optional=True), (), ())
            self.derived[event, path] = ref

    def column(self, event: str, path: Path) -> int:
        """Index of the column that holds `path` of events of type `event`; KeyError if not read."""
        return self._columns[event, path]

    def type_of(self, event: str, path: Path) -> Type:
        """The type `path` is declared with in `event`; KeyError if not read."""
        return self._leaves[event, path].type

    def nullable(self, event: str, path: Path) -> bool:
        """Whether the column can be null for events of this type."""
        leaf = self._leaves[event, path]
        return leaf.type.optional or bool(leaf.optional_parents)


def fields_read(rule: Rule, also: Sequence[Expr] = ()) -> Iterator[tuple[str, Path]]:
    """(event type, path) of every field that deciding `rule` reads; () for the type alone.

    Of what the output says, these are the facts that are gone when it is written: aggregates over
    windows and derived fields.
    """
    for symbol in (*rule.alphabet, *rule.policy.cancel, *rule.policy.resolve):
        yield symbol.event, ()
        yield from ((symbol.event, path) for path in symbol.key)
        if symbol.condition is not None:
            yield from _read_by(symbol.condition, symbol.event, rule)
    for step in rule.steps:
        yield step.event, ()
        yield from ((step.event, path) for path in step.key)
        if step.condition is not None:
            yield from _read_by(step.condition, step.event, rule)
    if rule.where is not None:
        yield from _read_by(rule.where, "", rule)
    for condition in conditions_of_window(rule):
        yield from _read_by(condition, "", rule)
    for expr in (*outputs(rule), *also):
        for node in walk(expr):
            fleeting = isinstance(node, Aggregate) and node.step == WINDOW
            if fleeting or any(True for _ in derived_in(node, "", rule)):
                yield from _read_by(node, "", rule)


def derived_read(rule: Rule, also: Sequence[Expr] = ()) -> Iterator[tuple[str, FieldRef]]:
    """(event type, derived field) of all that `rule` reads, as fields of the event itself."""
    symbols = (*rule.alphabet, *rule.policy.cancel, *rule.policy.resolve)
    conditions = [(symbol.event, symbol.condition) for symbol in symbols]
    conditions += [(step.event, step.condition) for step in rule.steps]
    others = [rule.where, *conditions_of_window(rule), *outputs(rule), *also]
    for event, expr in (*conditions, *(("", expr) for expr in others)):
        if expr is not None:
            yield from derived_in(expr, event, rule)


def derived_in(expr: Expr, own_event: str, rule: Rule) -> Iterator[tuple[str, FieldRef]]:
    """(event type, derived field) of those that `expr` reads, as fields of the event itself."""
    for node in walk(expr):
        if isinstance(node, FieldRef) and node.derived is not None:
            event = own_event if node.step is None else rule.steps[node.step].event
            yield event, replace(node, step=None)
        elif isinstance(node, Aggregate) and node.value is not None:
            yield from derived_in(node.value, rule.steps[node.step].event, rule)


def conditions_of_window(rule: Rule) -> Iterator[Expr]:
    """The conditions over a rule's window: when it fires, and when that is over."""
    if rule.window is not None:
        yield rule.window.when
    if rule.resolve_when is not None:
        yield rule.resolve_when


def outputs(rule: Rule) -> Iterator[Expr]:
    """The expressions of what a rule says: message, attributes, suppression, derived events."""
    for template in (rule.message, *(value for _, value in rule.attributes)):
        if isinstance(template, Template):
            yield from (part.expr for part in template.parts if isinstance(part, Placeholder))
        else:
            yield template
    if rule.suppress is not None:
        yield from rule.suppress.by
    for emit in rule.emits:
        yield from (value for _, value in emit.values)


def walk(expr: Expr) -> Iterator[Expr]:
    """`expr` and every expression inside it, outermost first."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, Call):
            pending.extend(reversed(node.args))


def leaves(event: EventType) -> list[Leaf]:
    """The leaves of `event`, in order of declaration; a record without fields is a leaf itself."""
    found: list[Leaf] = []
    for item in event.fields:
        _walk_field(item, (), (), (), found)
    return found


def source_of(item: Field, parent: tuple[str, ...]) -> tuple[str, ...]:
    """Where `item` is in the JSON event; sources inside a record may be relative to it."""
    if len(item.source) > len(parent) and item.source[: len(parent)] == parent:
        return item.source
    return parent + item.source


def _walk_field(
    item: Field,
    path: Path,
    parent: tuple[str, ...],
    optional_parents: tuple[tuple[str, ...], ...],
    found: list[Leaf],
) -> None:
    path = (*path, item.name)
    source = source_of(item, parent)
    if item.type.kind is not Kind.RECORD or not item.type.fields:
        found.append(Leaf(path, item.type, source, optional_parents))
        return
    if item.type.optional:
        optional_parents = (*optional_parents, source)
    for inner in item.type.fields:
        _walk_field(inner, path, source, optional_parents, found)


def _read_by(expr: Expr, own_event: str, rule: Rule) -> Iterator[tuple[str, Path]]:
    for node in walk(expr):
        if isinstance(node, FieldRef):
            event = own_event if node.step is None else rule.steps[node.step].event
            if node.derived is None:
                yield event, node.path
            else:
                yield from _behind(node.derived, event, rule)
        elif isinstance(node, Aggregate):
            for holder in rule.steps if node.step == WINDOW else (rule.steps[node.step],):
                yield from _aggregated(node, holder.event, rule)


def _aggregated(aggregate: Aggregate, event: str, rule: Rule) -> Iterator[tuple[str, Path]]:
    if aggregate.path is not None:
        yield event, aggregate.path
    elif aggregate.value is not None:
        yield from _read_by(aggregate.value, event, rule)


def _behind(derived: Derived, reader: str, rule: Rule) -> Iterator[tuple[str, Path]]:
    """What a derived field of events of type `reader` is computed from."""
    yield derived.event, ()
    for expr in (*derived.key, *((derived.condition,) if derived.condition is not None else ())):
        yield from _read_by(expr, derived.event, rule)
    if derived.aggregate is not None:
        yield from _aggregated(derived.aggregate, derived.event, rule)
    for expr in derived.reads:
        yield from _read_by(expr, reader, rule)


def _prune(event: EventType, read: set[Path]) -> EventType:
    kept = [
        pruned
        for item in event.fields
        if (pruned := _prune_field(item, (), read, item.name == event.time_field)) is not None
    ]
    return replace(event, fields=tuple(kept))


def _prune_field(item: Field, prefix: Path, read: set[Path], keep: bool) -> Field | None:
    """`item` without what is not read; None if nothing of it is."""
    path = (*prefix, item.name)
    if not keep and not any(other[: len(path)] == path for other in read):
        return None
    if item.type.kind is not Kind.RECORD:
        return item
    inner = (_prune_field(field, path, read, False) for field in item.type.fields)
    fields = tuple(field for field in inner if field is not None)
    return replace(item, type=replace(item.type, fields=fields))
