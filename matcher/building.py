"""From sure and doubtful rows to what a decoder returns: the second look, and the merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsl.model import EventType
from matcher.assemble import Assembler, Rows, merge
from matcher.batch import Batch, RawChunk, RawLines
from matcher.limits import DEAD_LETTER_RAW_BYTES
from matcher.record import BadEvent, Record, read_event


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
class Building:
    """Collects the rows of one call; `start` and `end` are the places of lines in `chunk`."""

    assembler: Assembler
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
        rows = merge(self.parts, self.assembler.rows_of(good))
        raw_lines = RawLines.of(self.chunk, self.start[rows.line], self.end[rows.line])
        batch = Batch(rows.ts, position[rows.line], rows.event_type, rows.columns, raw_lines)
        return Decoded(batch, dead, len(position), self.ignored)
