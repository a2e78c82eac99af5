"""Rows that are only added and that time lets go of, as contents of a journal.

A row is (key, event time, position, values).  In a page keys and texts are written out, and values
go by names, so that a page may be read back for rules that want others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.journal import Form
from matcher.keys import KeyCodec
from matcher.narrow import narrowed, widened
from matcher.strings import Strings

Ints = NDArray[np.int64]

# Rows of `TimedRows.rows`; values come last.
ROW_TS, ROW_POSITION, ROW_VALUES = range(3)


class TimedRows(NamedTuple):
    """Columns in the order of their coming: `rows` has event times, positions, then values."""

    keys: Ints
    rows: Ints

    @staticmethod
    def of(keys: Ints, *rows: Ints) -> TimedRows:
        """Of columns that may be written to afterwards."""
        return TimedRows(keys.copy(), np.stack(rows))

    @staticmethod
    def joined(parts: Sequence[TimedRows]) -> TimedRows:
        """At least one part."""
        keys = np.concatenate([part.keys for part in parts])
        return TimedRows(keys, np.concatenate([part.rows for part in parts], axis=1))

    @property
    def newest_ms(self) -> int:
        return int(self.rows[ROW_TS].max())

    def where(self, some: slice | Ints | NDArray[np.bool_]) -> TimedRows:
        return TimedRows(self.keys[some], self.rows[:, some])


def timed_form(
    values: Sequence[tuple[str, bool]], keys: KeyCodec, strings: Strings
) -> Form[TimedRows]:
    """`values` are (name, whether texts) of the value columns; what a page lacks is null."""

    def fields(timed: TimedRows) -> tuple[Any, ...]:
        columns = {
            name: strings.packed(row) if text else narrowed(row)
            for (name, text), row in zip(values, timed.rows[ROW_VALUES:], strict=True)
        }
        ts, positions = timed.rows[ROW_TS], timed.rows[ROW_POSITION]
        return keys.packed(timed.keys), narrowed(ts), narrowed(positions), columns

    def read(written: Sequence[Any]) -> TimedRows:
        key_columns, ts, positions, columns = written
        keyed = keys.unpacked(key_columns)
        rows = np.full((ROW_VALUES + len(values), len(keyed)), NULL, np.int64)
        rows[ROW_TS], rows[ROW_POSITION] = widened(ts), widened(positions)
        for place, (name, text) in enumerate(values, ROW_VALUES):
            if name in columns:
                column = columns[name]
                rows[place] = strings.unpacked(*column) if text else widened(column)
        return TimedRows(keyed, rows)

    def cut(timed: TimedRows, begin: int, end: int) -> TimedRows:
        return timed.where(slice(begin, end))

    def size(timed: TimedRows) -> int:
        return (12 + 6 * len(values)) * len(timed.keys)

    return Form(fields, read, TimedRows.joined, cut, lambda timed: len(timed.keys), size)
