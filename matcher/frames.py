"""Arrow tables and data frames → a batch of columns, column by column.

A table means what its rows mean as JSON objects: a timestamp column is a timestamp, a duration a
duration, a decimal a decimal, a struct column a record.  NaN is a bad value, as it is in JSON.  As
with JSON, what cannot be read in the simple way is read again by `matcher.record`, row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.assemble import Assembler, Reader
from matcher.batch import NULL, Column
from matcher.building import Building, Decoded
from matcher.codes import REFUSED
from matcher.frame_rows import TableChunk
from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.scan_plan import STRING_DOMAIN, TEXT_KINDS, Plan
from matcher.storage import Doubtful, column_of, nulls, scaled
from matcher.strings import Strings
from matcher.timestamps import BAD_TIMESTAMP, timestamps_ms

if TYPE_CHECKING:
    from matcher.decode import Decoder


class Frames:
    """The decoder's entrance for tables."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._assembler = Assembler(decoder.schema)
        self._index = {event.discriminator: i for i, event in enumerate(decoder.schema.events)}
        self._domains = [_domain(reader, decoder.plan) for reader in self._assembler.readers]

    def decode_arrow(self, frame: Any, first_position: int) -> Decoded:
        table = frame if isinstance(frame, pa.Table) else pa.table(frame)
        places = np.arange(table.num_rows)
        chunk = TableChunk(table)
        schema, strings = self._decoder.schema, self._decoder.strings
        building = Building(schema, strings, chunk, places, places)
        self._read_table(table, building)
        return building.finish(places + first_position, self._decoder.events, chunk.event)

    def _read_table(self, table: Any, building: Building) -> None:
        columns = table.column_names
        if "type" not in columns or "specversion" in columns or not _is_text(table["type"].type):
            building.doubtful.extend(range(table.num_rows))
            return
        texts, index = _texts(table["type"])
        of_text = np.array([self._index.get(text, -1) for text in texts] + [-1], np.int16)
        types = of_text[index]
        building.doubtful.extend(np.flatnonzero(index < 0).tolist())  # no type
        line = np.flatnonzero(types >= 0)
        building.ignored += int(np.count_nonzero(index >= 0)) - len(line)
        whole = len(line) == len(types)
        types = types[line]

        def read_column(reader: int) -> tuple[Column, Doubtful]:
            spec = self._assembler.readers[reader]
            try:
                column, bad = self._column(reader, _at(table, spec.source))
                if whole:
                    return column, bad
                return column[line], None if bad is None else bad[line]
            except LookupError:
                return nulls(spec.type.kind, len(line)), np.ones(len(line), np.bool_)

        def present(source: tuple[str, ...]) -> NDArray[np.bool_]:
            return ~_null_mask(_at(table, source))[line]

        if len(line):
            building.add(*self._assembler.assemble(line, types, read_column, present))

    def _column(self, reader: int, values: Any) -> tuple[Column, Doubtful]:
        """An Arrow column in storage form; a type that has no way of its own goes by value."""
        declared = self._assembler.readers[reader].type
        if pa.types.is_null(values.type):
            return nulls(declared.kind, len(values)), None
        strings = self._decoder.strings
        if _is_text(values.type):
            if declared.kind in TEXT_KINDS:
                return self._codes(values, self._domains[reader])
            texts, index = _texts(values)
            column, doubtful = _of_texts(declared, texts, strings)
            padded: Any = np.append(column, nulls(declared.kind, 1))  # index -1: null
            return padded[index], None if doubtful is None else np.append(doubtful, False)[index]
        if declared.kind in _OF_NUMBERS:
            numbers = _numbers(declared.kind, values)
            if numbers is not None:
                return _of_numbers(declared, numbers, _null_mask(values))
        return column_of(values.to_pylist(), len(values), declared, strings)

    def _codes(self, values: Any, domain: int) -> tuple[Column, Doubtful]:
        """Texts as their codes; of a dictionary each text is looked up once."""
        if pa.types.is_dictionary(values.type):
            if len(values.dictionary) > len(values):  # most of it belongs to other rows
                return self._codes(values.dictionary_decode(), domain)
            column, doubtful = self._codes(values.dictionary, domain)
            index = values.indices.cast(pa.int64()).fill_null(len(column)).to_numpy()
            padded: Any = np.append(column, NULL)
            return padded[index], None if doubtful is None else np.append(doubtful, False)[index]
        if pa.types.is_string_view(values.type):
            values = values.cast(pa.large_string())
        if not len(values):
            return nulls(Kind.STRING, 0), None
        octets, bounds = _octets(values)
        ascii_only = octets[bounds[0] :].max(initial=0) <= _ASCII_MAX
        if not ascii_only and not _is_utf8(values):
            return nulls(Kind.STRING, len(values)), np.ones(len(values), np.bool_)
        codes = self._decoder.codes.of_texts(octets, bounds, _null_mask(values), domain)
        return codes, None if domain == STRING_DOMAIN else codes == REFUSED


def _domain(reader: Reader, plan: Plan) -> int:
    """That of the texts of a reader; those of all its event types are the same."""
    event = 0 if reader.owned is None else int(reader.owned.argmax())
    return int(plan.domains[reader.column, event])


_ASCII_MAX = 127


def _octets(values: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of an array of texts, and where each text begins and the last one ends."""
    _, offsets, data = values.buffers()
    size = np.int64 if pa.types.is_large_string(values.type) else np.int32
    rows = slice(values.offset, values.offset + len(values) + 1)
    bounds = np.frombuffer(offsets, size)[rows].astype(np.int64)
    octets = np.frombuffer(data or b"", np.uint8)[: bounds[-1]]
    octets.flags.writeable = False  # as those of lines, so that kernels are compiled for one type
    return octets, bounds


def _is_utf8(values: Any) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


_OF_NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.TIMESTAMP, Kind.DURATION})
_UNITS_PER_MS = {"us": 1_000, "ns": 1_000_000}


def _numbers(kind: Kind, values: Any) -> NDArray[Any] | None:
    """int64 or float64, anything where null; None for a type that does not stand for `kind`."""
    arrow = values.type
    if pa.types.is_timestamp(arrow) or pa.types.is_duration(arrow):
        if kind is not (Kind.TIMESTAMP if pa.types.is_timestamp(arrow) else Kind.DURATION):
            return None
        ticks = _filled(values.cast(pa.int64()), 0)
        if arrow.unit == "ms":
            return ticks
        return ticks * 1_000 if arrow.unit == "s" else ticks // _UNITS_PER_MS[arrow.unit]
    if pa.types.is_integer(arrow) and not pa.types.is_uint64(arrow):
        return _filled(values.cast(pa.int64()), 0)
    if pa.types.is_floating(arrow):
        return _filled(values.cast(pa.float64()), 0.0)
    return None


def _filled(values: Any, null: float) -> NDArray[Any]:
    """The values, `null` where they are null; they may be those of the table, to be read only."""
    filled: NDArray[Any] = (values.fill_null(null) if values.null_count else values).to_numpy()
    return filled


def _of_texts(declared: Type, texts: list[str], strings: Strings) -> tuple[Column, Doubtful]:
    """Distinct texts as values of the declared type."""
    if declared.kind is Kind.STRING:
        return strings.codes(texts), None
    if declared.kind is Kind.TIMESTAMP:
        ms = timestamps_ms(texts)
        return ms, ms == BAD_TIMESTAMP
    return column_of(texts, len(texts), declared, strings)


def _of_numbers(
    declared: Type, numbers: NDArray[Any], null: NDArray[np.bool_]
) -> tuple[Column, Doubtful]:
    """Numbers in the storage form of the declared type."""
    column: Column
    match declared.kind:
        case Kind.FLOAT:
            column = numbers.astype(np.float64)
            bad = ~np.isfinite(column)
            column[null] = np.nan
            return column, bad
        case Kind.DECIMAL:
            column, doubtful = scaled(numbers.astype(np.float64), declared.scale)
            bad = (column == NULL) if doubtful is None else doubtful | (column == NULL)
        case _:
            if numbers.dtype == np.float64:
                bad = ~(np.abs(numbers) < 2**53) | (np.floor(numbers) != numbers)
                numbers = np.where(bad, 0.0, numbers)
            else:
                bad = numbers == NULL
            column = numbers.astype(np.int64)
            if declared.kind is Kind.TIMESTAMP:
                bad |= (column < TIMESTAMP_MS_MIN) | (column > TIMESTAMP_MS_MAX)
    if null.any():
        column[null] = NULL
        bad &= ~null
    return column, bad


def _at(table: Any, source: tuple[str, ...]) -> Any:
    """The column of a field, all null if there is none; LookupError if it cannot have fields."""
    if source[0] not in table.column_names:
        return pa.nulls(table.num_rows)
    values = _in_one(table[source[0]])
    for name in source[1:]:
        if pa.types.is_null(values.type):
            return values
        if not pa.types.is_struct(values.type):
            raise LookupError(name)
        if values.type.get_field_index(name) < 0:
            return pa.nulls(table.num_rows)
        values = pc.struct_field(values, name)
    return values


def _in_one(values: Any) -> Any:
    """A column as one array; only one of several chunks is copied."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _is_text(arrow: Any) -> bool:
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or arrow == pa.string_view()
    )


def _texts(values: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The texts of a column and the index of each row's among them, -1 for null."""
    if isinstance(values, pa.ChunkedArray):
        values = _in_one(values)
    encoded = values if _is_small_dictionary(values) else _encoded(values)
    index = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    return encoded.dictionary.to_pylist(), index


def _is_small_dictionary(values: Any) -> bool:
    """Whether the texts can be taken from a dictionary as it is."""
    if not pa.types.is_dictionary(values.type):
        return False
    texts = values.dictionary
    return len(texts) <= len(values) and not texts.null_count and _is_utf8(texts)


def _encoded(values: Any) -> Any:
    if pa.types.is_dictionary(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    return values.dictionary_encode()


def _null_mask(values: Any) -> NDArray[np.bool_]:
    if not values.null_count:
        return np.zeros(len(values), np.bool_)
    mask: NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    return mask
