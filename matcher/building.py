"""From sure and doubtful rows to what a decoder returns: the second look, and the merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsl.model import EventType
from matcher.batch import Batch, Column, RawChunk, RawLines
from matcher.limits import DEAD_LETTER_RAW_BYTES
from matcher.record import BadEvent, Record, read_event
from matcher.schema import Schema, leaves
from matcher.storage import nulls, to_storage
from matcher.strings import Strings


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
class Rows:
    """Rows of a batch being built; `line` says which of the lines (or dicts …) a row is."""

    line: NDArray[np.int64]
    event_type: NDArray[np.int16]
    ts: NDArray[np.int64]
    columns: list[Column]

    def take(self, rows: NDArray[np.integer]) -> Rows:
        columns = [column[rows] for column in self.columns]
        return Rows(self.line[rows], self.event_type[rows], self.ts[rows], columns)


@dataclass(slots=True)
class Building:
    """Collects the rows of one call; `start` and `end` are the places of lines in `chunk`."""

    schema: Schema
    strings: Strings
    chunk: RawChunk
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    parts: list[Rows] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    ignored: int = 0

    def add(self, rows: Rows, unsure: NDArray[np.bool_]) -> None:
        """Takes the sure rows; the lines of the others get a second look."""
        if unsure.any():
            self.doubtful.extend(rows.line[unsure].tolist())
            rows = rows.take(np.flatnonzero(~unsure))
        self.parts.append(rows)

    def finish(
        self,
        position: NDArray[np.int64],
        events: Mapping[str, EventType],
        event: Callable[[int], bytes | Mapping[str, object]],
    ) -> Decoded:
        """`position` is that of each line; `event(line)` what `matcher.record` is to read."""
        dead: list[DeadLetter] = []
        good: list[tuple[int, EventType, int, Record]] = []
        for line in sorted(self.doubtful):
            try:
                found = read_event(events, event(line))
            except BadEvent as error:
                raw = self.chunk.line(int(self.start[line]), int(self.end[line]))
                raw = raw[:DEAD_LETTER_RAW_BYTES]
                dead.append(DeadLetter(int(position[line]), str(error), raw))
                continue
            if found is None:
                self.ignored += 1
            else:
                good.append((line, *found))
        rows = _merge(self.parts, _rows_of(good, self.schema, self.strings))
        raw_lines = RawLines.of(self.chunk, self.start[rows.line], self.end[rows.line])
        batch = Batch(rows.ts, position[rows.line], rows.event_type, rows.columns, raw_lines)
        return Decoded(batch, dead, len(position), self.ignored)


def _rows_of(
    events: Sequence[tuple[int, EventType, int, Record]], schema: Schema, strings: Strings
) -> Rows:
    """Rows of (line, event type, ts, record), one at a time."""
    columns = [nulls(spec.type.kind, len(events)) for spec in schema.columns]
    for row, (_, event, _, fields) in enumerate(events):
        for leaf in leaves(event):
            scalar = fields[leaf.path]
            if scalar is not None:
                column = columns[schema.column(event.name, leaf.path)]
                column[row] = to_storage(scalar, strings)
    index = schema.event_index
    return Rows(
        np.array([line for line, *_ in events], np.int64),
        np.array([index[event.name] for _, event, *_ in events], np.int16),
        np.array([ts for _, _, ts, _ in events], np.int64),
        columns,
    )


def _merge(parts: Sequence[Rows], late: Rows) -> Rows:
    """The rows of `parts`, which are in order of line, and the ones in between."""
    if len(parts) == 1 and not len(late.line):
        return parts[0]
    parts = [*parts, late]
    rows = Rows(
        np.concatenate([part.line for part in parts]),
        np.concatenate([part.event_type for part in parts]),
        np.concatenate([part.ts for part in parts]),
        [np.concatenate([part.columns[i] for part in parts]) for i in range(len(late.columns))],
    )
    return rows.take(np.argsort(rows.line, kind="stable")) if len(late.line) else rows
