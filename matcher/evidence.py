"""The bytes of events that runs hold as evidence, by position, for as long as a run holds them.

A batch of which many events are held is kept as it came, a segment; from others, and from segments
most of whose events have been let go, the held events are copied out one by one.  Either way the
memory stays within a small factor of the evidence that is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.batch import Batch, RawLines

Ints = NDArray[np.int64]

SEGMENT_SHARE = 0.25
"""A batch is kept whole while at least this share of its events is held."""

ROWS_MIN = 4096
"""Fewer events than this are not worth tidying up."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`positions` in rising order; event i is row `rows[i]` of `raw`."""

    positions: Ints
    rows: Ints
    raw: RawLines

    @staticmethod
    def of(batch: Batch) -> Segment:
        if (batch.position[1:] > batch.position[:-1]).all():
            return Segment(batch.position, np.arange(len(batch)), batch.raw)
        rows = np.argsort(batch.position, kind="stable")
        return Segment(batch.position[rows], rows, batch.raw)

    def places(self, positions: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """(place of each position in this segment, whether it is there)."""
        if not len(self.positions):
            return np.zeros(len(positions), np.int64), np.zeros(len(positions), np.bool_)
        places = np.searchsorted(self.positions, positions).clip(max=len(self.positions) - 1)
        return places, self.positions[places] == positions

    def lines(self, positions: Ints) -> tuple[dict[int, bytes], Ints]:
        """The bytes of those of `positions` that are in this segment, and the other positions."""
        places, found = self.places(positions)
        lines = self.raw.lines(self.rows[places[found]])
        return dict(zip(positions[found].tolist(), lines, strict=True)), positions[~found]


class Evidence:
    """See the module head; `held` gives the positions that runs hold now."""

    def __init__(self, held: Callable[[], Ints]) -> None:
        self._held = held
        self._segments: list[Segment] = []
        self._single: dict[int, bytes] = {}
        self._rows_max = ROWS_MIN

    def hold(self, batch: Batch, bound: Sequence[Ints]) -> None:
        """Keep the events of `batch` at the positions in `bound`."""
        positions = _distinct(bound)
        if not len(positions):
            return
        segment = Segment.of(batch)
        if len(positions) >= SEGMENT_SHARE * len(batch):
            self._segments.append(segment)
        else:
            lines, _ = segment.lines(positions)
            self._single |= lines
        if self._rows() > self._rows_max:
            self._tidy()

    def read(self, positions: Ints, batch: Batch | None = None) -> dict[int, bytes]:
        """position → bytes, for positions that are held or in `batch`."""
        wanted = _distinct([positions])
        found: dict[int, bytes] = {}
        segments = [*self._segments] if batch is None else [Segment.of(batch), *self._segments]
        for segment in segments:
            if len(wanted):
                lines, wanted = segment.lines(wanted)
                found |= lines
        for position in wanted.tolist():
            found[position] = self._single[position]
        return found

    def load(self, lines: dict[int, bytes]) -> None:
        """Take over events read from a snapshot."""
        self._single |= lines

    def _rows(self) -> int:
        return len(self._single) + sum(len(segment.rows) for segment in self._segments)

    def _tidy(self) -> None:
        """Let go of what no run holds."""
        held = _distinct([self._held()])
        kept = []
        for segment in self._segments:
            _, live = segment.places(held)
            if live.sum() >= SEGMENT_SHARE * len(segment.rows):
                kept.append(segment)
            else:
                lines, _ = segment.lines(held[live])
                self._single |= lines
        self._segments = kept
        singles = np.fromiter(self._single, np.int64, len(self._single))
        alive = singles[np.isin(singles, held, assume_unique=True)]
        self._single = {position: self._single[position] for position in alive.tolist()}
        self._rows_max = max(ROWS_MIN, 2 * self._rows())


def _distinct(parts: Sequence[Ints]) -> Ints:
    """The distinct positions, rising; by a table of flags when they lie close together."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return np.empty(0, np.int64)
    first = min(int(part.min()) for part in parts)
    last = max(int(part.max()) for part in parts)
    apart = _common_zero_bits(parts)
    if (last >> apart) - (first >> apart) > 16 * sum(map(len, parts)):
        return np.unique(np.concatenate(parts))
    first >>= apart
    present = np.zeros((last >> apart) - first + 1, np.bool_)
    for part in parts:
        present[(part >> apart) - first] = True
    distinct: Ints = (np.flatnonzero(present) + first) << apart
    return distinct


def _common_zero_bits(parts: Sequence[Ints]) -> int:
    """How many of the lowest bits are zero in every position: those of records are far apart."""
    bits = 0
    for part in parts:
        bits |= int(np.bitwise_or.reduce(part))
    return (bits & -bits).bit_length() - 1 if bits else 0
