"""NDJSON bytes, dicts or Arrow tables → a batch of columns; never an exception for bad data.

    decode(data, first_position) = rows + dead letters + number ignored, together what was received

Of each event only the type and the fields that rules read are decoded.  Chunks of lines go through
msgspec into structs and from there field by field into columns.  A line that this cannot vouch for
(malformed, a wrong type, out of range, a tie in rounding …) is read again by `matcher.record`, one
line at a time, which gives either the exact values or the reason.  So fast and slow agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from matcher.assemble import Assembler, Reader
from matcher.batch import BytesChunk, Column
from matcher.building import Building, DeadLetter, Decoded
from matcher.convert import Converter, Doubtful, converter, loose_converter
from matcher.lines import Lines, split_lines
from matcher.schema import Schema
from matcher.strings import Strings
from matcher.structs import Chunk, Structs

if TYPE_CHECKING:
    from matcher.frames import Frames

__all__ = ["DeadLetter", "Decoded", "Decoder"]

CHUNK_LINES = 2048
"""Lines decoded at a time: enough to spread the cost of NumPy calls, few enough for the cache."""

_ENVELOPE = b'"specversion"'  # of CloudEvents, which go the slow way
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class EventIndex(dict[str, int]):
    """Discriminator → index in `Schema.events`; -1 for types that no rule reads."""

    def __missing__(self, name: str) -> int:
        return -1


class Decoder:
    """Decodes for one schema; keeps nothing between calls but the interner's codes."""

    def __init__(self, schema: Schema, strings: Strings) -> None:
        self.schema = schema
        self.strings = strings
        self.events = {event.discriminator: event for event in schema.events}
        self.index = EventIndex({event.discriminator: i for i, event in enumerate(schema.events)})
        self.assembler = Assembler(schema, strings)
        self.structs = Structs(schema)
        self._converters = [self.converter(reader) for reader in self.assembler.readers]
        self._narrow = True  # until a chunk needs the wide structs

    def decode(self, data: bytes, first_position: int) -> Decoded:
        """The events of NDJSON `data`; line k has position first_position + k.

        Lines end with \\n or \\r\\n, the last one may lack it.  Blank lines keep their number but
        are not received.
        """
        lines = split_lines(data)
        building = Building(self.assembler, BytesChunk(data), lines.start, lines.end)
        for begin in range(0, len(lines), CHUNK_LINES):
            stop = min(begin + CHUNK_LINES, len(lines))
            chunk = self._objects(data, lines, begin, stop, building)
            self.add_chunk(chunk, self._converters, building)
        position = lines.number + first_position
        return building.finish(position, self.events, lambda line: lines.of(data, line))

    def decode_dicts(self, events: Sequence[dict[str, Any]], first_position: int) -> Decoded:
        """Python dicts as JSON objects; datetime, timedelta, Decimal and NumPy scalars too."""
        return self._frames.decode_dicts(events, first_position)

    def decode_arrow(self, table: Any, first_position: int) -> Decoded:
        """A pyarrow Table, or anything that exports an Arrow stream, with one row per event."""
        return self._frames.decode_arrow(table, first_position)

    @cached_property
    def _frames(self) -> Frames:
        from matcher.frames import Frames  # needs pyarrow, which takes long to load

        return Frames(self)

    # ---------------------------------------------------------------- bytes → structs

    def _objects(
        self, data: bytes, lines: Lines, begin: int, stop: int, building: Building
    ) -> Chunk:
        """Structs of the lines [begin, stop) as far as there are; the others are doubtful.

        msgspec takes any white space between values, also none.  But when every line begins with {
        and ends with }, no object can span lines; and if there are as many objects as lines, no
        line holds two.
        """
        piece = data[lines.start[begin] : lines.end[stop - 1]]
        if lines.plain[begin:stop].all() and _is_utf8(piece) and _ENVELOPE not in piece:
            objects = self._decode_lines(piece)
            if objects is not None and len(objects) == stop - begin:
                return Chunk(self.structs, objects, np.arange(begin, stop), not self._narrow)
        found: list[Any] = []
        at: list[int] = []
        for i in range(begin, stop):
            line = lines.of(data, i)
            if lines.plain[i] and _is_utf8(line) and _ENVELOPE not in line:
                try:
                    found.append(self.structs.wide.decode(line))
                    at.append(i)
                    continue
                except _UNDECODABLE:
                    pass
            building.doubtful.append(i)
        return Chunk(self.structs, found, np.array(at, np.int64), True)

    def _decode_lines(self, piece: bytes) -> list[Any] | None:
        """None if any line is not as the structs want it."""
        try:
            if self._narrow:
                try:
                    return self.structs.narrow.decode_lines(piece)
                except msgspec.ValidationError:
                    objects = self.structs.wide.decode_lines(piece)
                    self._narrow = False
                    return objects
            return self.structs.wide.decode_lines(piece)
        except _UNDECODABLE:
            return None

    # ---------------------------------------------------------------- structs → columns

    def add_chunk(self, chunk: Chunk, converters: Sequence[Converter], building: Building) -> None:
        """Adds the rows of decoded objects to `building`; one converter for each reader."""
        names = self.structs.types(chunk.objects)
        types = np.fromiter(map(self.index.__getitem__, names), np.int16, len(names))
        read = types >= 0
        if not read.all():
            building.ignored += len(types) - int(np.count_nonzero(read))
            objects = list(compress(chunk.objects, read))
            chunk = Chunk(self.structs, objects, chunk.line[read], chunk.wide)
            types = types[read]
        if not len(types):
            return

        def read_column(reader: int) -> tuple[Column, Doubtful]:
            source = self.assembler.readers[reader].source
            return converters[reader](chunk.values(source), chunk.wide)

        building.add(*self.assembler.assemble(chunk.line, types, read_column, chunk.present))

    def converter(self, reader: Reader) -> Converter:
        """From the values the structs give for the field."""
        loose = self.structs.loose(reader.source)
        return (loose_converter if loose else converter)(reader.type, self.strings)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
