"""A batch: events as columns, in the storage form described beside each kind.

bool → int64 0/1, int → int64, float → float64, decimal → int64 scaled by 10**scale, timestamp and
duration → int64 ms, string, enum and ip → int64 code of `Strings`.  Null is `NULL` in int64 columns
and NaN in float64 columns, so every column is one array.  Arrays of a batch are never written to
once it is built: `take` and `concat` make new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind
from matcher.octets import bounds_of, gather
from matcher.strings import NULL

__all__ = ["NULL", "Batch", "Column", "RawLines", "storage_dtype"]

Column: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


def storage_dtype(kind: Kind) -> type[np.int64] | type[np.float64]:
    """float64 for floats, int64 for every other kind."""
    return np.float64 if kind is Kind.FLOAT else np.int64


class RawChunk(Protocol):
    """Where the raw bytes of rows come from; `start` and `end` mean what the chunk says."""

    def line(self, start: int, end: int) -> bytes: ...

    def lines(self, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """Many at once, which may be faster."""
        return list(map(self.line, starts, ends))


@dataclass(frozen=True, slots=True)
class BytesChunk(RawChunk):
    """NDJSON as received; start and end are byte offsets."""

    data: bytes

    def line(self, start: int, end: int) -> bytes:
        return self.data[start:end]

    def lines(self, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        data = self.data
        return [data[start:end] for start, end in zip(starts, ends, strict=True)]


@dataclass(slots=True)
class RawLines:
    """The raw event of each row, rendered only when asked for.

    Row i is `chunks[chunk[i]].line(start[i], end[i])`.  A chunk lives as long as a batch refers to
    it; `take` and `concat` let go of chunks that no row needs any more.
    """

    chunks: tuple[RawChunk, ...]
    chunk: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @staticmethod
    def of(chunk: RawChunk, start: NDArray[np.int64], end: NDArray[np.int64]) -> RawLines:
        return RawLines((chunk,), np.zeros(len(start), np.int32), start, end)

    def __len__(self) -> int:
        return len(self.start)

    def line(self, row: int) -> bytes:
        """The event of `row` as JSON bytes, without the line end."""
        chunk = self.chunks[int(self.chunk[row])]
        return chunk.line(int(self.start[row]), int(self.end[row]))

    def lines(self, rows: NDArray[np.integer]) -> list[bytes]:
        """The events of many rows."""
        starts, ends = self.start[rows].tolist(), self.end[rows].tolist()
        if len(self.chunks) == 1:
            return self.chunks[0].lines(starts, ends)
        places = zip(self.chunk[rows].tolist(), starts, ends, strict=True)
        data = [chunk.data for chunk in self.chunks if isinstance(chunk, BytesChunk)]
        if len(data) == len(self.chunks):
            return [data[chunk][start:end] for chunk, start, end in places]
        readers = [chunk.line for chunk in self.chunks]
        return [readers[chunk](start, end) for chunk, start, end in places]

    def packed(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], bytes]:
        """The events of many rows behind one another: (where each begins and ends, bytes)."""
        if not all(isinstance(chunk, BytesChunk) for chunk in self.chunks):
            lines = self.lines(rows)
            return bounds_of(np.fromiter(map(len, lines), np.int64, len(lines))), b"".join(lines)
        starts, ends, chunk = self.start[rows], self.end[rows], self.chunk[rows]
        bounds = bounds_of(ends - starts)
        octets = np.empty(bounds[-1], np.uint8)
        for number, each in enumerate(self.chunks):
            assert isinstance(each, BytesChunk)
            own = slice(None) if len(self.chunks) == 1 else np.flatnonzero(chunk == number)
            data = np.frombuffer(each.data, np.uint8)
            gather(data, starts[own], ends[own], bounds[:-1][own], octets)
        return bounds, octets.tobytes()

    def take(self, rows: NDArray[np.integer]) -> RawLines:
        raw = RawLines(
            self.chunks, self.chunk.take(rows), self.start.take(rows), self.end.take(rows)
        )
        return raw.without_unused()

    def part(self, start: int, stop: int) -> RawLines:
        """The rows from start to stop, not copied, and all chunks."""
        rows = slice(start, stop)
        return RawLines(self.chunks, self.chunk[rows], self.start[rows], self.end[rows])

    @staticmethod
    def concat(parts: Sequence[RawLines]) -> RawLines:
        index: dict[int, int] = {}
        chunks: list[RawChunk] = []
        renumbered: list[NDArray[np.int32]] = []
        for part in parts:
            table = np.zeros(max(1, len(part.chunks)), np.int32)
            for i, chunk in enumerate(part.chunks):
                table[i] = index.setdefault(id(chunk), len(chunks))
                if table[i] == len(chunks):
                    chunks.append(chunk)
            renumbered.append(table[part.chunk])
        return RawLines(
            tuple(chunks),
            np.concatenate(renumbered),
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.end for part in parts]),
        )

    def without_unused(self) -> RawLines:
        """The same rows, without the chunks that none of them needs."""
        if len(self.chunks) == 1:
            return self
        used = np.zeros(len(self.chunks), np.bool_)
        used[self.chunk] = True
        if used.all():
            return self
        table = (np.cumsum(used) - 1).astype(np.int32)
        chunks = tuple(chunk for chunk, keep in zip(self.chunks, used, strict=True) if keep)
        return RawLines(chunks, table[self.chunk], self.start, self.end)


@dataclass(slots=True)
class Batch:
    """Events as columns of equal length; `columns[i]` is column i of the schema.

    ts: int64 ms of event time.  position: int64 number of the record in its partition.
    event_type: int16 index into `Schema.events`.  as_of: int64 log position whose rows of tables an
    event sees; None when that is its own position.
    """

    ts: NDArray[np.int64]
    position: NDArray[np.int64]
    event_type: NDArray[np.int16]
    columns: list[Column]
    raw: RawLines
    as_of: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def seen_as_of(self) -> NDArray[np.int64]:
        return self.position if self.as_of is None else self.as_of

    def take(self, rows: NDArray[np.integer]) -> Batch:
        """The rows with these numbers, in this order."""
        return Batch(
            self.ts.take(rows),
            self.position.take(rows),
            self.event_type.take(rows),
            [column.take(rows) for column in self.columns],
            self.raw.take(rows),
            None if self.as_of is None else self.as_of.take(rows),
        )

    def part(self, start: int, stop: int) -> Batch:
        """The rows from start to stop, not copied, and all chunks of raw lines."""
        rows = slice(start, stop)
        return Batch(
            self.ts[rows],
            self.position[rows],
            self.event_type[rows],
            [column[rows] for column in self.columns],
            self.raw.part(start, stop),
            None if self.as_of is None else self.as_of[rows],
        )

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """The rows of at least one batch, all of one schema, one after another."""
        assert batches
        if len(batches) == 1:
            return batches[0]
        return Batch(
            np.concatenate([batch.ts for batch in batches]),
            np.concatenate([batch.position for batch in batches]),
            np.concatenate([batch.event_type for batch in batches]),
            [
                np.concatenate([batch.columns[i] for batch in batches])
                for i in range(len(batches[0].columns))
            ],
            RawLines.concat([batch.raw for batch in batches]),
            None
            if all(batch.as_of is None for batch in batches)
            else np.concatenate([batch.seen_as_of for batch in batches]),
        )
