"""What reading a source gives, and how it is put together from pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from cep import limits
from dsl.model import Table
from matcher.batch import Column
from matcher.lookup.pages import empty_columns
from matcher.lookup.rows import BadRow, TypedRows, repeated_keys
from matcher.strings import Strings


class Piece(NamedTuple):
    """Rows of a source; `place(row)` says where one of them is, as in `servers.csv:7`."""

    rows: TypedRows
    place: Callable[[int], str]


class Read(NamedTuple):
    """All rows of a source: typed columns, how many were bad, and sentences about the first."""

    columns: list[Column]
    bad_rows: int
    problems: tuple[str, ...]


class Source(Protocol):
    """Raises `SourceError`, which says what to do, when there is nothing to read from."""

    def read(self, table: Table, strings: Strings) -> Read: ...


def together(table: Table, pieces: Iterable[Piece]) -> Read:
    """The pieces as one; a key that has come before, in whichever of them, is a bad row."""
    parts: list[list[Column]] = []
    rows_of: list[tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Piece]] = []
    found = _Problems()
    for piece in pieces:
        parts.append(piece.rows.columns)
        rows_of.append((piece.rows.rows, piece))
        found.add(piece.rows.bad, piece.place)
    columns = _joined(table, parts)
    again = repeated_keys(table, columns) if len(table.fields) > 1 else None
    if again is not None:
        ends = np.cumsum([len(rows) for rows, _ in rows_of])

        def place(row: int) -> str:
            number = int(np.searchsorted(ends, row, side="right"))
            rows, piece = rows_of[number]
            return piece.place(int(rows[row - (int(ends[number - 1]) if number else 0)]))

        for row, first in zip(*(rows.tolist() for rows in again), strict=True):
            if found.counts():
                said = f"its key has come before, at {place(first)}"
                found.sentences.append(f"{place(row)}: {said}")
        kept = np.ones(len(columns[0]), np.bool_)
        kept[again[0]] = False
        columns = [column[kept] for column in columns]
    return Read(columns, found.count, tuple(found.sentences))


def _joined(table: Table, parts: Sequence[list[Column]]) -> list[Column]:
    if not parts:
        return empty_columns(table)
    columns: Iterator[Sequence[Column]] = zip(*parts, strict=True)
    return [np.concatenate(column) for column in columns]  # type: ignore[misc]  # of one dtype


class _Problems:
    """Counts all, and says the first."""

    def __init__(self) -> None:
        self.count = 0
        self.sentences: list[str] = []

    def add(self, bad: Sequence[BadRow], place: Callable[[int], str]) -> None:
        for row in bad:
            if self.counts():
                self.sentences.append(f"{place(row.row)}: {row.reason}")

    def counts(self) -> bool:
        """Counts one more; whether it is to be said."""
        self.count += 1
        return self.count <= limits.BAD_ROWS_SHOWN_MAX
