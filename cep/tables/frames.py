"""Rows that are in the program already: frames, NDJSON, dicts, plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cep.errors import SourceError, UsageError
from cep.tables.reading import Piece, Read, together
from dsl.model import Table
from matcher.lookup.rows import rows_of_json
from matcher.record import BadEvent, read_value
from matcher.strings import Strings

_ROWS_PER_PIECE = 65_536


class GivenSource:
    """Rows handed to `cep.detect`: a frame, NDJSON bytes, or an iterable of dicts or values."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def read(self, table: Table, strings: Strings) -> Read:
        rows = self._rows
        if hasattr(rows, "__arrow_c_stream__"):
            return read_frame(rows, table, strings, table.name)
        if isinstance(rows, bytes | bytearray | memoryview):
            try:
                values = [read_value(line) for line in bytes(rows).split(b"\n") if line.strip()]
            except BadEvent as error:
                raise SourceError(f"{table.name}: {error}") from None
        elif isinstance(rows, str):
            raise UsageError(f"{table.name}: expected rows, not text; read a file with a path")
        else:
            values = list(rows)
        found = rows_of_json(table, values, strings)
        return together(table, [Piece(found, _at_row(table.name, 0))])


def read_frame(frame: Any, table: Table, strings: Strings, place: str) -> Read:
    """An Arrow table or data frame; a list takes its only column, whatever it is called."""
    import pyarrow

    arrow: pyarrow.Table = frame if isinstance(frame, pyarrow.Table) else pyarrow.table(frame)
    if len(table.fields) == 1 and arrow.num_columns == 1:
        arrow = arrow.rename_columns([table.fields[0].source[0]])

    def pieces() -> Any:
        for begin in range(0, arrow.num_rows, _ROWS_PER_PIECE):
            values = arrow.slice(begin, _ROWS_PER_PIECE).to_pylist()
            yield Piece(rows_of_json(table, values, strings), _at_row(place, begin))

    return together(table, pieces())


def _at_row(place: str, begin: int) -> Callable[[int], str]:
    return lambda row: f"{place}, row {begin + row}"
