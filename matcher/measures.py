"""The aggregates of a window: which values are kept of its events, and which cells run over them.

Sums, counts, extremes, first, last and distinct are cells.  Anything else is *walked*: computed,
where a row needs it, from all events of its window, by the plain code of `matcher.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Aggregate, Call, Expr, Path, Type
from matcher import vector_ops as ops
from matcher.batch import NULL, Column
from matcher.codec import reader
from matcher.evaluate import of_values
from matcher.layout import is_float
from matcher.storage import nulls, to_storage
from matcher.strings import Strings
from matcher.window_layout import (
    DISTINCT_FLOAT,
    DISTINCT_INT,
    FIRST,
    LAST,
    MAX_FLOAT,
    MAX_INT,
    MIN_FLOAT,
    MIN_INT,
    ROW_CELLS,
    ROW_COUNT,
    SUM_FLOAT,
    SUM_INT,
    VALUES_FLOAT,
    VALUES_INT,
)
from matcher.window_rows import walk
from matcher.window_store import WindowMemory

Ints: TypeAlias = NDArray[np.int64]

_OPS = {
    "count": (VALUES_INT, VALUES_FLOAT),
    "sum": (SUM_INT, SUM_FLOAT),
    "avg": (SUM_INT, SUM_FLOAT),
    "min": (MIN_INT, MIN_FLOAT),
    "max": (MAX_INT, MAX_FLOAT),
    "distinct": (DISTINCT_INT, DISTINCT_FLOAT),
    "first": (FIRST, FIRST),
    "last": (LAST, LAST),
}


def aggregates_in(expressions: Iterable[Expr]) -> list[Aggregate]:
    """Every aggregate of a window inside the expressions, each once."""
    found: dict[Aggregate, None] = {}
    pending = list(expressions)
    while pending:
        node = pending.pop()
        if isinstance(node, Aggregate):
            found[node] = None
        pending.extend(node.args if isinstance(node, Call) else ())
    return list(found)


class WindowValues(Mapping[Aggregate, object]):
    """The aggregates of one window; `places`, where each stands, is shared by a rule's windows."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[Aggregate, int], values: tuple[object, ...]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, aggregate: Aggregate) -> object:
        return self._values[self._places[aggregate]]

    def __contains__(self, aggregate: object) -> bool:
        return aggregate in self._places

    def __iter__(self) -> Iterator[Aggregate]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Measures:
    """Of one rule or derived field; `type_of` gives the type of a field of the events."""

    def __init__(
        self,
        aggregates: Iterable[Aggregate],
        type_of: Callable[[Path], Type],
        strings: Strings,
    ) -> None:
        self._strings = strings
        self._places: dict[Path | Expr, int] = {}
        self.types: list[Type] = []
        self.ops: list[tuple[int, int]] = []
        self.walked = False
        for aggregate in aggregates:
            self.walked = self.walked or self.is_walked(aggregate)
            value = _value(aggregate)
            if value is not None and value not in self._places:
                self._places[value] = len(self.types)
                self.types.append(type_of(value) if isinstance(value, tuple) else value.type)
            for op in self._needs(aggregate):
                if op not in self.ops:
                    self.ops.append(op)

    @property
    def values(self) -> list[Path | Expr]:
        """What is kept of each event: fields, and values computed from them."""
        return list(self._places)

    def is_walked(self, aggregate: Aggregate) -> bool:
        return _value(aggregate) is not None and aggregate.function not in _OPS

    def place(self, aggregate: Aggregate) -> int:
        """Where the value that the aggregate takes of each event stands among those kept."""
        value = _value(aggregate)
        assert value is not None
        return self._places[value]

    def _needs(self, aggregate: Aggregate) -> list[tuple[int, int]]:
        if _value(aggregate) is None or self.is_walked(aggregate):
            return []
        place = self.place(aggregate)
        float_ = is_float(self.types[place])
        needed = [(_OPS[aggregate.function][float_], place)]
        if aggregate.function in ("sum", "avg"):
            needed.append((_OPS["count"][float_], place))
        return needed

    def column(self, aggregate: Aggregate, rows: Ints, memory: WindowMemory) -> Column:
        """The aggregate of each row's window, in storage form; every row has entries."""
        if _value(aggregate) is None:
            return rows[:, ROW_COUNT]
        if self.is_walked(aggregate):
            return self._walked_column(aggregate, rows, memory)
        columns = [rows[:, ROW_CELLS + self.ops.index(op)] for op in self._needs(aggregate)]
        place = self.place(aggregate)
        whole, float_ = columns[0], is_float(self.types[place])
        if float_ and aggregate.function not in ("count", "distinct"):
            whole = np.ascontiguousarray(whole).view(np.float64)
        if aggregate.function not in ("sum", "avg"):
            return whole
        known = columns[1]
        whole = np.where(known == 0, np.nan if float_ else NULL, whole)
        if aggregate.function == "sum":
            return whole
        total = whole if float_ else ops.to_float(whole, self.types[place].scale)
        with np.errstate(all="ignore"):
            mean: Column = np.where(known == 0, np.nan, total / known)
        return mean

    def scalars(
        self, aggregates: Sequence[Aggregate], rows: Ints, memory: WindowMemory
    ) -> list[WindowValues]:
        """Scalars of the aggregates for each row."""
        columns = [
            self._walked(aggregate, rows, memory)
            if self.is_walked(aggregate)
            else scalars(aggregate.type, self.column(aggregate, rows, memory), self._strings)
            for aggregate in aggregates
        ]
        places = {aggregate: place for place, aggregate in enumerate(aggregates)}
        if not columns:
            return [WindowValues(places, ())] * len(rows)
        return list(map(WindowValues, repeat(places), zip(*columns, strict=True)))

    def _walked_column(self, aggregate: Aggregate, rows: Ints, memory: WindowMemory) -> Column:
        scalars = self._walked(aggregate, rows, memory)
        column = nulls(aggregate.type.kind, len(rows))
        for row, value in enumerate(scalars):
            if value is not None:
                column[row] = to_storage(value, self._strings)
        return column

    def _walked(self, aggregate: Aggregate, rows: Ints, memory: WindowMemory) -> list[object]:
        place = self.place(aggregate)
        type_ = self.types[place]
        begin = np.zeros(len(rows) + 1, np.int64)
        size = int(rows[:, ROW_COUNT].sum())
        kept = np.zeros((size, len(self.types)), np.int64)
        walk(rows, memory.entries, begin, len(self.types), kept)
        column = kept[:, place]
        stored = np.ascontiguousarray(column).view(np.float64) if is_float(type_) else column
        values = scalars(type_, stored, self._strings)
        return [
            of_values(aggregate, values[first:last]) for first, last in pairwise(begin.tolist())
        ]


def _value(aggregate: Aggregate) -> Path | Expr | None:
    """What the aggregate takes of each event; None for a count of events."""
    return aggregate.path if aggregate.path is not None else aggregate.value


def scalars(type_: Type, column: Column, strings: Strings) -> list[object]:
    """A column of values in storage form as scalars."""
    null = np.isnan(column) if is_float(type_) else column == NULL
    read, stored = reader(type_.kind, strings), column.tolist()
    if read not in (int, float):
        known = {code: read(code) for code in np.unique(column[~null]).tolist()}
        return list(map(known.get, stored))
    if not null.any():
        return stored  # type: ignore[no-any-return]  # a list
    return [None if is_null else each for each, is_null in zip(stored, null.tolist(), strict=True)]


def scalar(type_: Type, stored: int | float, strings: Strings) -> object:
    """A value in storage form as a scalar."""
    null = np.isnan(stored) if is_float(type_) else stored == NULL
    return None if null else reader(type_.kind, strings)(stored)
