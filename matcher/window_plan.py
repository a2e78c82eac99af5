"""A window rule compiled to data: its entries, the options of the kernel, its condition on rows.

A row of the kernel is an event of a type of its own, whose fields are the rule's aggregates and the
parts of its key, and which sees the rows of tables that the window's newest event sees; so a
condition over a window is an atom like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsl.model import (
    WINDOW,
    Aggregate,
    Call,
    Const,
    EventType,
    Expr,
    Field,
    FieldRef,
    KeyRef,
    Kind,
    Path,
    Rule,
    Type,
    WindowFire,
    WindowKind,
    WindowShape,
)
from dsl.operators import LOOKUPS
from dsl.source import Span
from matcher.atoms import Atoms
from matcher.batch import Batch, BytesChunk, Column, RawLines
from matcher.expressions import conjuncts
from matcher.keys import KeyCodec
from matcher.measures import Measures, aggregates_in
from matcher.plan import Entry
from matcher.runs import NONE
from matcher.schema import Schema, conditions_of_window, outputs, walk
from matcher.strings import Strings
from matcher.window_layout import (
    CLOSE,
    COUNTED,
    EACH,
    EDGE,
    HOPPING,
    NEVER,
    OPTION_CAP_MS,
    OPTION_COUNT,
    OPTION_DONE_MS,
    OPTION_EVERY,
    OPTION_KIND,
    OPTION_LEAST,
    OPTION_LEAVING,
    OPTION_LOOK,
    OPTION_ROW,
    OPTION_SIZE_MS,
    OPTIONS,
    ROW_COUNT,
    ROW_KEY,
    SESSION,
    SLIDING,
    TUMBLING,
)
from matcher.window_store import WindowMemory

NOWHERE = Span("", 0, 0)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_POSITION = Call(Type(Kind.INT), "position", (), NOWHERE)
SEEN_AS_OF = Aggregate(Type(Kind.INT), "last", WINDOW, None, False, NOWHERE, _POSITION)
"""The log position as of which the newest event of a window sees rows of tables."""

_KINDS = {
    WindowKind.SLIDING: SLIDING,
    WindowKind.COUNT: COUNTED,
    WindowKind.SESSION: SESSION,
    WindowKind.HOPPING: HOPPING,
    WindowKind.TUMBLING: TUMBLING,
}


@dataclass(frozen=True, slots=True)
class Signals:
    """Events that resolve: nothing of them is kept."""

    entries: tuple[Entry, ...]
    columns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """`columns` are the derived columns kept of each event; `told` what the output says.

    `over` is the condition of `resolve when`; events of `signals` resolve.
    """

    rule: Rule
    entries: tuple[Entry, ...]
    columns: tuple[int, ...]
    measures: Measures
    told: tuple[Aggregate, ...]
    options: Ints
    when: When
    over: When | None
    signals: Signals

    @property
    def resolves(self) -> bool:
        """Whether what the rule detects can be resolved."""
        return self.over is not None or bool(self.signals.entries)

    @property
    def looks_up(self) -> bool:
        return self.when.looks_up or (self.over is not None and self.over.looks_up)


def compile_window(
    rule: Rule, schema: Schema, atoms: Atoms, strings: Strings, also: Sequence[Expr] = ()
) -> WindowPlan:
    """The plan of a checked window rule; `also` will be evaluated over its matches."""
    window = rule.window
    assert window is not None
    told = aggregates_in([*outputs(rule), *also])
    conditions = list(conditions_of_window(rule))
    tested = aggregates_in(conditions)
    if any(map(looks_up, conditions)):
        tested.append(SEEN_AS_OF)
    source = rule.steps[0].event
    measures = Measures([*tested, *told], lambda path: schema.type_of(source, path), strings)
    columns = tuple(column_of(atoms, schema, source, value) for value in measures.values)
    options = window_options(window.shape, _look(window.shape, window.fire))
    entries = tuple(_entries(rule, atoms))
    when = When(window.when, measures, rule, atoms)
    over = None
    if rule.resolve_when is None:
        options[OPTION_LEAST] = least_count(window.when)
    else:
        options[OPTION_LEAVING] = 1
        over = When(rule.resolve_when, measures, rule, atoms)
    signals = Signals(tuple(_signals(rule, atoms)))
    return WindowPlan(rule, entries, columns, measures, tuple(told), options, when, over, signals)


def looks_up(condition: Expr) -> bool:
    """Whether a condition asks a table or list for the window, and not only for its events."""
    return any(isinstance(node, Call) and node.op in LOOKUPS for node in walk(condition))


def column_of(atoms: Atoms, schema: Schema, event: str, value: Path | Expr) -> int:
    """Id of the derived column of a field, or of what is computed from fields."""
    if isinstance(value, tuple):
        value = FieldRef(schema.type_of(event, value), None, value, NOWHERE)
    return atoms.derived(event, value)


def _entries(rule: Rule, atoms: Atoms) -> list[Entry]:
    ways: dict[tuple[str, tuple[Path, ...]], list[tuple[int, tuple[int, ...]]]] = {}
    for step in rule.steps:
        parts: list[Expr | None] = [*conjuncts(step.condition)]
        ids = tuple(atoms.atom(step.event, part) for part in parts or [None])
        ways.setdefault((step.event, step.key), []).append((step.index, ids))
    return [Entry(event, key, tuple(steps), (), False) for (event, key), steps in ways.items()]


def _signals(rule: Rule, atoms: Atoms) -> Iterator[Entry]:
    for symbol in rule.policy.resolve:
        parts: list[Expr | None] = [*conjuncts(symbol.condition)]
        ids = tuple(atoms.atom(symbol.event, part) for part in parts or [None])
        yield Entry(symbol.event, symbol.key, (), (ids,), True)


def _look(shape: WindowShape, fire: WindowFire) -> int:
    if fire is WindowFire.EDGE:
        return EDGE
    ends = shape.kind not in (WindowKind.SLIDING, WindowKind.COUNT)
    return CLOSE if ends and fire is not WindowFire.EACH else EACH


def window_options(shape: WindowShape, look: int) -> Ints:
    """The kernel's options; a tumbling window that is looked at when it ends hops its own size."""
    options = np.zeros(OPTIONS, np.int64)
    options[OPTION_KIND] = _KINDS[shape.kind]
    if shape.kind is WindowKind.TUMBLING and look == CLOSE:
        options[OPTION_KIND] = HOPPING
    options[OPTION_LOOK] = look
    options[OPTION_SIZE_MS] = shape.size_ms
    options[OPTION_COUNT] = shape.count
    options[OPTION_EVERY] = max(1, shape.every)
    options[OPTION_CAP_MS] = -NEVER if shape.cap_ms is None else shape.cap_ms
    options[OPTION_LEAST] = 1
    options[OPTION_DONE_MS] = NEVER
    options[OPTION_ROW] = NONE
    return options


def least_count(when: Expr) -> int:
    """With fewer events `when` is surely false: from conditions such as `count() >= 10`."""
    least = 1
    for part in conjuncts(when):
        if not isinstance(part, Call) or part.op not in ("ge", "gt", "le", "lt", "eq"):
            continue
        op, (left, right) = part.op, part.args
        if isinstance(left, Const):
            op = {"le": "ge", "lt": "gt", "ge": "le", "gt": "lt"}.get(op, op)
            left, right = right, left
        counts = isinstance(left, Aggregate) and left.function in ("count", "distinct")
        if counts and isinstance(right, Const) and isinstance(right.value, int):
            if op in ("ge", "eq"):
                least = max(least, right.value)
            elif op == "gt":
                least = max(least, right.value + 1)
    return least


class When:
    """The condition of a window on the rows of the kernel."""

    def __init__(
        self,
        when: Expr,
        measures: Measures,
        rule: Rule,
        atoms: Atoms,
    ) -> None:
        """`atoms` are those of the rules, whose texts and tables the condition shares."""
        self._aggregates = aggregates = aggregates_in([when])
        self.looks_up = looks_up(when)
        self._measures = measures
        values = [_field(f"value{n}", each.type) for n, each in enumerate(aggregates)]
        self._keys = [_field(f"key{n}", key.type) for n, key in enumerate(rule.keys)]
        fields = (*values, *self._keys)
        self._places = {field.name: place for place, field in enumerate(fields)}
        row = EventType("row", "row", fields, None, None, 0, None, rule.span)
        self._schema = Schema([row])
        self._atoms = Atoms(self._schema, atoms.strings, atoms.tables)
        named = {
            each: FieldRef(field.type, None, (field.name,), rule.span)
            for each, field in zip(aggregates, values, strict=True)
        }
        self._atom = self._atoms.atom("row", _of_row(when, named, self._keys))

    def is_true(self, rows: Ints, keys: KeyCodec, memory: WindowMemory) -> Bools:
        """Whether the condition holds for each row; not for one without entries.

        Something is looked up as of the newest event of the window.
        """
        held = np.flatnonzero(rows[:, ROW_COUNT])
        found = np.zeros(len(rows), np.bool_)
        if not len(held):
            return found
        some = rows if len(held) == len(rows) else rows[held]
        columns: list[Column] = [
            self._measures.column(each, some, memory) for each in self._aggregates
        ]
        if self._keys:
            columns += keys.columns(some[:, ROW_KEY])
        nothing = np.zeros(len(some), np.int64)
        raw = RawLines.of(BytesChunk(b""), nothing, nothing)
        types = np.zeros(len(some), np.int16)
        ordered = [columns[self._places[spec.path[0]]] for spec in self._schema.columns]
        as_of = None
        if self.looks_up:
            as_of = np.asarray(self._measures.column(SEEN_AS_OF, some, memory), np.int64)
        batch = Batch(nothing, nothing, types, ordered, raw, as_of)
        found[held] = self._atoms.evaluate(batch).mask(self._atom)
        return found


def _field(name: str, type_: Type) -> Field:
    optional = Type(type_.kind, True, type_.scale, type_.values, type_.item, type_.fields)
    return Field(name, optional, (name,))


def _of_row(expr: Expr, named: Mapping[Aggregate, FieldRef], keys: Sequence[Field]) -> Expr:
    """`expr` with aggregates and parts of the key as fields of the row."""
    match expr:
        case Aggregate():
            return named[expr]
        case KeyRef():
            field = keys[expr.index]
            return FieldRef(field.type, None, (field.name,), expr.span)
        case Call():
            args = tuple(_of_row(arg, named, keys) for arg in expr.args)
            return Call(expr.type, expr.op, args, expr.span)
    return expr
