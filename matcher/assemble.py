"""Columns of single fields → the rows of a batch, whatever the fields were read from.

A `Reader` is one way to fill one column from one source; event types that declare a field alike
share it.  `assemble` puts readers' columns together by event type, gives every row its event time,
and names the rows that need a second look: values the converter would not vouch for, and nulls
where there must be a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.batch import NULL, Column
from matcher.building import Rows
from matcher.schema import Schema, leaves
from matcher.storage import Doubtful, nulls


@dataclass(frozen=True, slots=True)
class Reader:
    """`owned` is indexed by event type; None when every event type of the schema is an owner."""

    column: int
    source: tuple[str, ...]
    type: Type
    optional_parents: tuple[tuple[str, ...], ...]
    owned: NDArray[np.bool_] | None


class Assembler:
    """Builds rows for one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.readers = _readers(schema)
        distinct = {_bits(reader.owned): reader.owned for reader in self.readers}
        self._owners = list(distinct.values())
        self._owner = [[*distinct].index(_bits(reader.owned)) for reader in self.readers]
        self._time_column = np.array(
            [
                schema.column(event.name, (event.time_field,)) if event.time_field else -1
                for event in schema.events
            ],
            np.int64,
        )

    def assemble(
        self,
        line: NDArray[np.int64],
        types: NDArray[np.int16],
        read: Callable[[int], tuple[Column, Doubtful]],
        present: Callable[[tuple[str, ...]], NDArray[np.bool_]],
    ) -> tuple[Rows, NDArray[np.bool_]]:
        """The rows, and which of them are not sure.

        `types` are indices of event types of the schema; `read` gives the column of a reader,
        by its number, `present` where the object at a source is not null.
        """
        unsure = np.zeros(len(types), np.bool_)
        columns = [nulls(spec.type.kind, 0) for spec in self.schema.columns]
        filled = [False] * len(columns)
        owners = [None if owned is None else owned.take(types) for owned in self._owners]
        for number, reader in enumerate(self.readers):
            owned = owners[self._owner[number]]
            column, bad = read(number)
            null = np.isnan(column) if reader.type.kind is Kind.FLOAT else column == NULL
            if not reader.type.optional and null.any():
                missing = null
                for parent in reader.optional_parents:
                    missing = missing & present(parent)
                bad = missing if bad is None else bad | missing
            if bad is not None:
                unsure |= bad if owned is None else bad & owned
            if owned is not None and filled[reader.column]:
                column = np.where(owned, column, columns[reader.column])
            elif owned is not None and not (owned | null).all():
                column = np.where(owned, column, nulls(reader.type.kind, 1))
            columns[reader.column] = column
            filled[reader.column] = True
        ts = self._times(types, columns)
        unsure |= ts == NULL
        return Rows(line, types, ts, columns), unsure

    def _times(self, types: NDArray[np.int16], columns: list[Column]) -> NDArray[np.int64]:
        """Event time of each row; NULL where the event type has none."""
        ts = np.full(len(types), NULL, np.int64)
        wanted = set(self._time_column.tolist()) - {-1}
        for column in wanted:
            values: NDArray[np.int64] = columns[column].astype(np.int64, copy=False)
            if len(wanted) == 1 and (self._time_column == column).all():
                return values
            np.copyto(ts, values, where=self._time_column[types] == column)
        return ts


def _bits(owned: NDArray[np.bool_] | None) -> bytes | None:
    return None if owned is None else owned.tobytes()


def _readers(schema: Schema) -> list[Reader]:
    """One for each distinct way some event types fill some column."""
    owners: dict[tuple[int, tuple[str, ...], Type, tuple[tuple[str, ...], ...]], list[int]] = {}
    for index, event in enumerate(schema.events):
        for leaf in leaves(event):
            column = schema.column(event.name, leaf.path)
            way = (column, leaf.source, leaf.type, leaf.optional_parents)
            owners.setdefault(way, []).append(index)
    readers = []
    for way, events in owners.items():
        owned = None
        if len(events) < len(schema.events):
            owned = np.zeros(len(schema.events), np.bool_)
            owned[events] = True
        readers.append(Reader(*way, owned))
    return readers
