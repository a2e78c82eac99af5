"""Files of rows: CSV with a header, NDJSON, Parquet; for a list also one value a line.

The ending says which: `.csv`, `.tsv`, `.ndjson` (or `.jsonl`), `.parquet`, any other for lists.  In
a list's lines, empty ones and those that begin with `#` mean nothing, and of a line that begins
with an address or network the rest is a remark, as in published lists of addresses.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from cep.errors import SourceError
from cep.tables.reading import Piece, Read, together
from dsl.model import Kind, Table
from matcher.lookup.rows import rows_of_json, rows_of_texts
from matcher.record import BadEvent, read_value
from matcher.strings import Strings

_ROWS_PER_PIECE = 65_536
_REMARK = re.compile(r"[\s;#]")


class FileSource:
    """One file, read anew each time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, table: Table, strings: Strings) -> Read:
        """Raises SourceError when the file is not there or cannot hold rows of this table."""
        kind = self.path.suffix.lower()
        try:
            if kind == ".parquet":
                return _read_parquet(self.path, table, strings)
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                return together(table, self._pieces(file, kind, table, strings))
        except FileNotFoundError:
            raise SourceError(
                f"{table.name}: there is no file {self.path}; "
                f"make it, or name another with --table {table.name}=FILE"
            ) from None
        except OSError as error:
            raise SourceError(f"{table.name}: {self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            message = f"{table.name}: {self.path} is not UTF-8 text near byte {error.start}"
            raise SourceError(message) from None

    def _pieces(self, file: TextIO, kind: str, table: Table, strings: Strings) -> Iterator[Piece]:
        if kind in (".ndjson", ".jsonl"):
            return _json_pieces(file, self.path, table, strings)
        if len(table.fields) == 1 and kind not in (".csv", ".tsv"):
            return _line_pieces(file, self.path, table, strings)
        if kind not in (".csv", ".tsv"):
            raise SourceError(
                f"{table.name}: {self.path}: rows of a table are in a file that ends in "
                ".csv, .tsv, .ndjson, .jsonl or .parquet"
            )
        return _csv_pieces(file, self.path, table, strings, "\t" if kind == ".tsv" else ",")


def _at_line(path: Path, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: f"{path}:{lines[row]}"


# ------------------------------------------------------------------------------------- CSV


class _Chunk(NamedTuple):
    """Rows of a CSV file, without empty ones, and the line where each begins."""

    rows: list[list[str]]
    lines: Sequence[int]


def _csv_pieces(
    file: TextIO, path: Path, table: Table, strings: Strings, delimiter: str
) -> Iterator[Piece]:
    chunks = _chunks(csv.reader(file, delimiter=delimiter, strict=True), path, table)
    rows, lines = next(chunks, _Chunk([[]], (1,)))
    header = rows[0]
    places = _columns_of(header, path, table)
    rows, lines = rows[1:], lines[1:]
    while True:
        if rows:
            yield _csv_piece(rows, len(header), places, _at_line(path, lines), table, strings)
        following = next(chunks, None)
        if following is None:
            return
        rows, lines = following


def _chunks(reader: Any, path: Path, table: Table) -> Iterator[_Chunk]:
    while True:
        before = reader.line_num
        try:
            rows = list(islice(reader, _ROWS_PER_PIECE))
        except csv.Error as error:
            message = f"{table.name}: {path}, line {reader.line_num} or before: {error}"
            raise SourceError(message) from None
        if not rows:
            return
        lines: Sequence[int] = range(before + 1, reader.line_num + 1)
        if len(lines) > len(rows):  # texts that go over several lines
            lines = list(accumulate(map(_lines_of, rows[:-1]), initial=before + 1))
        if [] in rows:
            lines = [line for line, row in zip(lines, rows, strict=True) if row]
            rows = [row for row in rows if row]
        if rows:
            yield _Chunk(rows, lines)


def _csv_piece(
    rows: list[list[str]],
    width: int,
    places: Sequence[int | None],
    place: Callable[[int], str],
    table: Table,
    strings: Strings,
) -> Piece:
    bad: dict[int, str] = {}
    if set(map(len, rows)) != {width}:
        for number, row in enumerate(rows):
            if len(row) != width:
                bad[number] = f"{len(row)} columns, and the header has {width}"
        rows = [row if len(row) == width else [""] * width for row in rows]
    transposed = list(zip(*rows, strict=True))
    texts: list[Sequence[str | None]] = [
        [None] * len(rows) if column is None else transposed[column] for column in places
    ]
    return Piece(rows_of_texts(table, texts, strings).without(bad), place)


def _lines_of(row: list[str]) -> int:
    """A row has as many lines as there are line ends inside of its texts, and one more."""
    return 1 + sum(len(re.findall("\r\n|\r|\n", text)) for text in row)


def _columns_of(header: Sequence[str], path: Path, table: Table) -> list[int | None]:
    """Where each field is in a row; None for an optional one that is not there."""
    names = [name.strip() for name in header]
    places: list[int | None] = []
    for field in table.fields:
        name = ".".join(field.source)
        if name in names:
            places.append(names.index(name))
        elif field.type.optional:
            places.append(None)
        else:
            known = ", ".join(names) or "nothing"
            raise SourceError(f"{table.name}: {path}:1: no column {name!r}; the header has {known}")
    return places


# ------------------------------------------------------------------------------------- lines


def _json_pieces(file: TextIO, path: Path, table: Table, strings: Strings) -> Iterator[Piece]:
    numbered = ((number, line) for number, line in enumerate(file, 1) if not line.isspace())
    while chunk := list(islice(numbered, _ROWS_PER_PIECE)):
        values: list[object] = []
        bad: dict[int, str] = {}
        for row, (_, line) in enumerate(chunk):
            try:
                values.append(read_value(line.encode()))
            except BadEvent as error:
                bad[row] = str(error)
                values.append(None)
        yield Piece(
            rows_of_json(table, values, strings).without(bad),
            _at_line(path, [number for number, _ in chunk]),
        )


def _line_pieces(file: TextIO, path: Path, table: Table, strings: Strings) -> Iterator[Piece]:
    addresses = table.fields[0].type.kind in (Kind.IP, Kind.CIDR)

    def values() -> Iterator[tuple[int, str]]:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, _REMARK.split(text, maxsplit=1)[0] if addresses else text

    numbered = values()
    while chunk := list(islice(numbered, _ROWS_PER_PIECE)):
        yield Piece(
            rows_of_texts(table, [[text for _, text in chunk]], strings),
            _at_line(path, [number for number, _ in chunk]),
        )


# ------------------------------------------------------------------------------------- Parquet


def _read_parquet(path: Path, table: Table, strings: Strings) -> Read:
    import pyarrow
    import pyarrow.parquet

    from cep.tables.frames import read_frame

    try:
        frame = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise SourceError(f"{table.name}: {path} is not a Parquet file: {error}") from None
    return read_frame(frame, table, strings, str(path))
