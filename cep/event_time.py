"""Event time of one partition: watermark, late rows, and the buffer that puts rows in order.

    watermark = max(ts of the records so far - lateness, ticks so far)

A row is late when its ts is below the watermark of the records before it; it is split off.  Other
rows wait until ts <= watermark and leave sorted by (ts, position), so the rows that leave are a
function of the log prefix alone, however it was cut into batches.  The watermark never goes back.
A tick (`advance`) is a record of the log too: time that passed in silence, written down first.

`END_OF_TIME_MS` as the watermark means that the source has ended: everything leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cep import limits
from cep.ports import LateRow
from matcher.batch import Batch


@dataclass(frozen=True, slots=True)
class Ordered:
    """What one step of time released: rows in order (None: no row), and the rows that were late.

    `late_ms` has the watermark that each late row was behind.  `began_ms` is the very first
    watermark, when this step brought it.
    """

    batch: Batch | None
    watermark_ms: int
    accepted: int
    late: Batch | None
    began_ms: int | None = None
    late_ms: NDArray[np.int64] | None = None


def late_rows(ordered: Ordered) -> list[LateRow]:
    """The late rows as they are kept."""
    late, watermarks_ms = ordered.late, ordered.late_ms
    if late is None or watermarks_ms is None:
        return []
    columns = (late.position.tolist(), late.ts.tolist(), watermarks_ms.tolist())
    return [
        LateRow(position, ts, watermark, late.raw.line(row)[: limits.DEAD_LETTER_RAW_BYTES])
        for row, (position, ts, watermark) in enumerate(zip(*columns, strict=True))
    ]


class EventTime:
    """Feed batches in position order with `push`; `finish` ends the source."""

    def __init__(self, lateness_ms: int, watermark_ms: int = limits.BEGINNING_OF_TIME_MS) -> None:
        self.watermark_ms = watermark_ms
        self._lateness_ms = lateness_ms
        # Rows with ts > watermark: each part is sorted by (ts, position), and all positions of a
        # part are before those of the next.
        self._waiting: list[Batch] = []

    @property
    def oldest_waiting_position(self) -> int | None:
        # A later part has later positions, but where time goes back the oldest need not be first.
        return int(self._waiting[0].position.min()) if self._waiting else None

    @property
    def has_begun(self) -> bool:
        return self.watermark_ms > limits.BEGINNING_OF_TIME_MS

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting))

    def push(self, batch: Batch) -> Ordered:
        if not len(batch):
            return Ordered(None, self.watermark_ms, 0, None)
        began_ms = None if self.has_begun else int(batch.ts[0]) - self._lateness_ms
        watermarks_ms = self._watermarks(batch.ts)
        is_late = batch.ts < watermarks_ms[:-1]
        late, late_ms = None, None
        if is_late.any():
            late, late_ms = batch.take(np.flatnonzero(is_late)), watermarks_ms[:-1][is_late]
            batch = batch.take(np.flatnonzero(~is_late))
        self.watermark_ms = int(watermarks_ms[-1])
        accepted = len(batch)
        released = self._release(batch)
        return Ordered(released, self.watermark_ms, accepted, late, began_ms, late_ms)

    def advance(self, watermark_ms: int) -> Ordered:
        """Moves the watermark without an event; it never goes back."""
        began_ms = None if self.has_begun else watermark_ms
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        return Ordered(self._release(None), self.watermark_ms, 0, None, began_ms)

    def finish(self) -> Ordered:
        """The source has ended: time moves to its end and every waiting row leaves."""
        return self.advance(limits.END_OF_TIME_MS)

    def restore(self, batch: Batch) -> None:
        """Takes back rows that were waiting at the checkpoint, out of records read again.

        Records before the checkpoint's position with ts <= watermark were released or late then.
        """
        self._keep(batch.take(np.flatnonzero(batch.ts > self.watermark_ms)))

    def _watermarks(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The watermark before each row, and the one after them all."""
        watermarks = np.empty(len(ts) + 1, dtype=np.int64)
        watermarks[0] = self.watermark_ms
        np.subtract(ts, self._lateness_ms, out=watermarks[1:])
        return np.maximum.accumulate(watermarks, out=watermarks)

    def _release(self, batch: Batch | None) -> Batch | None:
        """Takes out what is due: the first rows of each part, and of `batch` once it is sorted."""
        parts, self._waiting = self._waiting, []
        unsorted: list[Batch] = []
        if batch is not None:
            (parts if _is_sorted(batch.ts) else unsorted).append(batch)
        due = []
        for part in parts:
            count = self._due(part)
            if count:
                due.append(part.part(0, count))
            self._keep(part, count)
        if not due and not unsorted:
            return None
        rows = _in_order(Batch.concat([*due, *unsorted]))
        count = self._due(rows)
        if count < len(rows):
            self._keep(rows, count)
            rows = rows.part(0, count)
        rows.raw = rows.raw.without_unused()
        return rows if count else None

    def _due(self, rows: Batch) -> int:
        return int(np.searchsorted(rows.ts, self.watermark_ms, side="right"))

    def _keep(self, batch: Batch, first: int = 0) -> None:
        """Adds the rows from `first` on as a part.

        It is merged with small ones: so each is at least twice as long as the next.  Rows that left
        keep their memory until half of a part has left, so that few rows are copied for each.
        """
        count, parts = len(batch) - first, self._waiting
        if not count:
            return
        base = batch.ts.base
        held = base.size if isinstance(base, np.ndarray) else len(batch)
        if 2 * count < held:
            batch = batch.take(np.arange(first, len(batch)))
        elif first:
            batch = batch.part(first, len(batch))
        while parts and len(parts[-1]) < 2 * len(batch):
            batch = Batch.concat([parts.pop(), batch])
        parts.append(_in_order(batch))


def _in_order(rows: Batch) -> Batch:
    """By time; rows of one time stay as they are."""
    return rows if _is_sorted(rows.ts) else rows.take(np.argsort(rows.ts, kind="stable"))


def _is_sorted(ts: NDArray[np.int64]) -> bool:
    return bool((ts[1:] >= ts[:-1]).all())
