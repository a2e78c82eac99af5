"""NDJSON bytes → a batch of columns; what is wrong with an event is a value, never an exception.

    decode(data, first_position) = {rows, dead letters, number ignored}      for any bytes

Of each event only the type and the fields that rules read are decoded.  Chunks of lines go through
msgspec into structs and from there field by field into columns.  A line that this cannot vouch for
(malformed, a wrong type, out of range, a tie in rounding …) is read again by `matcher.record`, one
line at a time, which gives either the exact values or the reason.  So fast and slow agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dsl.model import EventType, Kind
from matcher.batch import NULL, Batch, BytesChunk, Column, RawLines
from matcher.convert import Converter, converter, loose_converter, nulls, to_storage
from matcher.limits import DEAD_LETTER_RAW_BYTES
from matcher.lines import Lines, split_lines
from matcher.record import BadEvent, Record, read_event
from matcher.schema import Schema, leaves
from matcher.strings import Strings
from matcher.structs import Structs

CHUNK_LINES = 2048
"""Lines decoded at a time: enough to spread the cost of NumPy calls, few enough for the cache."""

_ENVELOPE = b'"specversion"'  # of CloudEvents, which go the slow way
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be used; `raw` is cut to `DEAD_LETTER_RAW_BYTES`."""

    position: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """received = len(batch) + len(dead) + ignored; rows and dead letters in order of position."""

    batch: Batch
    dead: list[DeadLetter]
    received: int
    ignored: int


@dataclass(slots=True)
class _Reader:
    """Fills a column from one JSON field, for the event types (`owners`) that declare it alike.

    `owned` is indexed by event type; None when every event type of the schema is an owner.
    """

    column: int
    source: tuple[str, ...]
    optional: bool
    optional_parents: tuple[tuple[str, ...], ...]
    convert: Converter | None  # None: only the slow path can get at the field
    owners: list[int]
    owned: NDArray[np.bool_] | None = None


@dataclass(slots=True)
class _Rows:
    """Rows of a batch being built: `line` is the row's index in `Lines`."""

    line: NDArray[np.int64]
    event_type: NDArray[np.int16]
    ts: NDArray[np.int64]
    columns: list[Column]

    def take(self, rows: NDArray[np.integer]) -> _Rows:
        columns = [column[rows] for column in self.columns]
        return _Rows(self.line[rows], self.event_type[rows], self.ts[rows], columns)


class _EventIndex(dict[str, int]):
    """Discriminator → index in `Schema.events`; -1 for types that no rule reads."""

    def __missing__(self, name: str) -> int:
        return -1


class Decoder:
    """Decodes for one schema; keeps nothing between calls but the interner's codes."""

    def __init__(self, schema: Schema, strings: Strings) -> None:
        self._schema = schema
        self._strings = strings
        self._events = {event.discriminator: event for event in schema.events}
        self._index = _EventIndex({event.discriminator: i for i, event in enumerate(schema.events)})
        self._structs = Structs(schema)
        self._narrow = True  # until a chunk needs the wide structs
        self._readers = self._make_readers()
        self._time_column = np.array(
            [
                schema.column(event.name, (event.time_field,)) if event.time_field else -1
                for event in schema.events
            ],
            np.int64,
        )

    def decode(self, data: bytes, first_position: int) -> Decoded:
        """The events of NDJSON `data`; line k has position first_position + k.

        Lines end with \\n or \\r\\n, the last one may lack it.  Blank lines keep their number but
        are not received.
        """
        lines = split_lines(data)
        parts: list[_Rows] = []
        doubtful: list[int] = []
        ignored = 0
        for begin in range(0, len(lines), CHUNK_LINES):
            stop = min(begin + CHUNK_LINES, len(lines))
            chunk = self._objects(data, lines, begin, stop, doubtful)
            ignored += self._columns(chunk, parts, doubtful)
        dead: list[DeadLetter] = []
        slow = self._read_again(data, lines, sorted(doubtful), first_position, dead)
        ignored += len(doubtful) - len(dead) - len(slow.line)
        rows = _merge([*parts, slow])
        batch = Batch(
            rows.ts,
            lines.number[rows.line] + first_position,
            rows.event_type,
            rows.columns,
            RawLines.of(BytesChunk(data), lines.start[rows.line], lines.end[rows.line]),
        )
        return Decoded(batch, dead, len(lines), ignored)

    # ---------------------------------------------------------------- bytes → structs

    def _objects(
        self, data: bytes, lines: Lines, begin: int, stop: int, doubtful: list[int]
    ) -> _Chunk:
        """Structs of the lines [begin, stop) as far as there are; the others are doubtful.

        msgspec takes any white space between values, also none.  But when every line begins with {
        and ends with }, no object can span lines; and if there are as many objects as lines, no
        line holds two.
        """
        piece = data[lines.start[begin] : lines.end[stop - 1]]
        if lines.plain[begin:stop].all() and _is_utf8(piece) and _ENVELOPE not in piece:
            objects = self._decode_lines(piece)
            if objects is not None and len(objects) == stop - begin:
                return _Chunk(objects, np.arange(begin, stop), not self._narrow)
        found: list[Any] = []
        at: list[int] = []
        for i in range(begin, stop):
            line = data[lines.start[i] : lines.end[i]]
            if lines.plain[i] and _is_utf8(line) and _ENVELOPE not in line:
                try:
                    found.append(self._structs.wide.decode(line))
                    at.append(i)
                    continue
                except _UNDECODABLE:
                    pass
            doubtful.append(i)
        return _Chunk(found, np.array(at, np.int64), True)

    def _decode_lines(self, piece: bytes) -> list[Any] | None:
        """None if any line is not as the structs want it."""
        try:
            if self._narrow:
                try:
                    return self._structs.narrow.decode_lines(piece)
                except msgspec.ValidationError:
                    objects = self._structs.wide.decode_lines(piece)
                    self._narrow = False
                    return objects
            return self._structs.wide.decode_lines(piece)
        except _UNDECODABLE:
            return None

    # ---------------------------------------------------------------- structs → columns

    def _columns(self, chunk: _Chunk, parts: list[_Rows], doubtful: list[int]) -> int:
        """Appends the rows of `chunk` that are sure to `parts`; the number of ignored events."""
        objects, at = chunk.objects, chunk.line
        names = self._structs.types(objects)
        types = np.fromiter(map(self._index.__getitem__, names), np.int16, len(names))
        read = types >= 0
        ignored = len(types) - int(np.count_nonzero(read))
        if ignored:
            objects, at, types = list(compress(objects, read)), at[read], types[read]
        if not objects:
            return ignored
        values = _Values(self._structs, objects)
        unsure = np.zeros(len(objects), np.bool_)
        columns: list[Column | None] = [None] * len(self._schema.columns)
        for reader in self._readers:
            column = self._read(reader, values, types, chunk.wide, unsure)
            earlier = columns[reader.column]
            if earlier is None:
                columns[reader.column] = column
            else:
                assert reader.owned is not None
                columns[reader.column] = np.where(reader.owned[types], column, earlier)
        filled = [column for column in columns if column is not None]
        ts = self._times(types, filled)
        unsure |= ts == NULL
        rows = _Rows(at, types, ts, filled)
        if unsure.any():
            doubtful.extend(at[unsure].tolist())
            rows = rows.take(np.flatnonzero(~unsure))
        parts.append(rows)
        return ignored

    def _read(
        self,
        reader: _Reader,
        values: _Values,
        types: NDArray[np.int16],
        wide: bool,
        unsure: NDArray[np.bool_],
    ) -> Column:
        """The column with null where the event type is not an owner; adds to `unsure`."""
        spec = self._schema.columns[reader.column]
        owned = None if reader.owned is None else reader.owned[types]
        if reader.convert is None:
            unsure |= True if owned is None else owned
            return nulls(spec.type.kind, len(types))
        column, bad = reader.convert(values.of(reader.source), wide)
        null = np.isnan(column) if spec.type.kind is Kind.FLOAT else column == NULL
        if not reader.optional and null.any():
            missing = null
            for parent in reader.optional_parents:
                missing = missing & values.present(parent)
            bad = missing if bad is None else bad | missing
        if bad is not None:
            unsure |= bad if owned is None else bad & owned
        if owned is None or (owned | null).all():
            return column
        return np.where(owned, column, nulls(spec.type.kind, 1))

    def _times(self, types: NDArray[np.int16], columns: list[Column]) -> NDArray[np.int64]:
        """Event time of each row; NULL where the event type has none."""
        ts = np.full(len(types), NULL, np.int64)
        wanted = np.unique(self._time_column)
        if len(wanted) == 1 and wanted[0] >= 0:
            return columns[int(wanted[0])].astype(np.int64, copy=False)
        of_row = self._time_column[types]
        for column in wanted[wanted >= 0]:
            np.copyto(ts, columns[int(column)].astype(np.int64, copy=False), where=of_row == column)
        return ts

    def _make_readers(self) -> list[_Reader]:
        """One for each distinct way some event types fill some column."""
        readers: dict[tuple[object, ...], _Reader] = {}
        for index, event in enumerate(self._schema.events):
            for leaf in leaves(event):
                column = self._schema.column(event.name, leaf.path)
                way = (column, leaf.source, leaf.type, leaf.optional_parents)
                if way not in readers:
                    convert: Converter | None = None
                    if self._structs.reachable(leaf.source):
                        loose = self._structs.loose(leaf.source)
                        make = loose_converter if loose else converter
                        convert = make(leaf.type, self._strings)
                    readers[way] = _Reader(
                        column,
                        leaf.source,
                        leaf.type.optional,
                        leaf.optional_parents,
                        convert,
                        [],
                    )
                readers[way].owners.append(index)
        for reader in readers.values():
            if len(reader.owners) < len(self._schema.events):
                reader.owned = np.zeros(len(self._schema.events), np.bool_)
                reader.owned[reader.owners] = True
        return list(readers.values())

    # ---------------------------------------------------------------- one line at a time

    def _read_again(
        self,
        data: bytes,
        lines: Lines,
        doubtful: list[int],
        first_position: int,
        dead: list[DeadLetter],
    ) -> _Rows:
        """The doubtful lines that turn out well; adds the others to `dead`."""
        good: list[tuple[int, EventType, int, Record]] = []
        for i in doubtful:
            raw = data[lines.start[i] : lines.end[i]]
            try:
                event = read_event(self._events, raw)
            except BadEvent as error:
                position = first_position + int(lines.number[i])
                dead.append(DeadLetter(position, str(error), raw[:DEAD_LETTER_RAW_BYTES]))
                continue
            if event is not None:
                good.append((i, *event))
        return _rows_of(good, self._schema, self._strings)


@dataclass(slots=True)
class _Chunk:
    """Structs, wide or narrow, and the line of each."""

    objects: list[Any]
    line: NDArray[np.int64]
    wide: bool


@dataclass(slots=True)
class _Values:
    """The values of each JSON field of a chunk, extracted once."""

    structs: Structs
    objects: list[Any]
    _known: dict[tuple[str, ...], list[Any]] = field(default_factory=dict)

    def of(self, source: tuple[str, ...]) -> list[Any]:
        here = self.objects
        for depth, getter in enumerate(self.structs.getters(source)):
            values = self._known.get(source[: depth + 1])
            if values is None:
                values = self._known[source[: depth + 1]] = getter(here)
            here = values
        return here

    def present(self, source: tuple[str, ...]) -> NDArray[np.bool_]:
        values = self.of(source)
        return np.fromiter((value is not None for value in values), np.bool_, len(values))


def _rows_of(
    events: Sequence[tuple[int, EventType, int, Record]], schema: Schema, strings: Strings
) -> _Rows:
    """Rows of (line, event type, ts, record)."""
    count = len(events)
    columns = [nulls(spec.type.kind, count) for spec in schema.columns]
    for row, (_, event, _, fields) in enumerate(events):
        for leaf in leaves(event):
            scalar = fields[leaf.path]
            if scalar is not None:
                columns[schema.column(event.name, leaf.path)][row] = to_storage(scalar, strings)
    return _Rows(
        np.array([line for line, *_ in events], np.int64),
        np.array([schema.event_index[event.name] for _, event, *_ in events], np.int16),
        np.array([ts for _, _, ts, _ in events], np.int64),
        columns,
    )


def _merge(parts: list[_Rows]) -> _Rows:
    """The rows of all parts in order of line; the last part need not be in order."""
    rows = _Rows(
        np.concatenate([part.line for part in parts]),
        np.concatenate([part.event_type for part in parts]),
        np.concatenate([part.ts for part in parts]),
        [np.concatenate([part.columns[i] for part in parts]) for i in range(len(parts[0].columns))],
    )
    if len(parts[-1].line):
        return rows.take(np.argsort(rows.line, kind="stable"))
    return rows


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
