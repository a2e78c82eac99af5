"""Event time of one partition: watermark, late rows, and the buffer that puts rows in order.

    watermark = max(ts of the records so far) - lateness

A row is late when its ts is below the watermark of the records before it; it is split off.  Other
rows wait until ts <= watermark and leave sorted by (ts, position), so the rows that leave are a
function of the log prefix alone, however it was cut into batches.  The watermark never goes back.

`END_OF_TIME_MS` as the watermark means that the source has ended: everything leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cep import limits
from matcher.batch import Batch


@dataclass(frozen=True, slots=True)
class Ordered:
    """What one step of time released: rows in order (None: no row), and the rows that were late.

    `began_ms` is the very first watermark, when this step brought it.
    """

    batch: Batch | None
    watermark_ms: int
    accepted: int
    late: Batch | None
    began_ms: int | None = None


class EventTime:
    """Feed batches in position order with `push`; `finish` ends the source."""

    def __init__(self, lateness_ms: int, watermark_ms: int = limits.BEGINNING_OF_TIME_MS) -> None:
        self.watermark_ms = watermark_ms
        self._lateness_ms = lateness_ms
        self._waiting: Batch | None = None  # in position order, all with ts > watermark

    @property
    def oldest_waiting_position(self) -> int | None:
        return int(self._waiting.position[0]) if self._waiting is not None else None

    @property
    def has_begun(self) -> bool:
        return self.watermark_ms > limits.BEGINNING_OF_TIME_MS

    @property
    def waiting(self) -> int:
        return len(self._waiting) if self._waiting is not None else 0

    def push(self, batch: Batch) -> Ordered:
        if not len(batch):
            return Ordered(None, self.watermark_ms, 0, None)
        # An event too far ahead of the clock at ingest would be set aside here, before it can move
        # the watermark; the time of ingest has to be in the log for that to be repeatable.
        began_ms = None if self.has_begun else int(batch.ts[0]) - self._lateness_ms
        late_rows, watermark_ms = self._late_rows(batch.ts)
        late = None
        if late_rows.any():
            late = batch.take(np.flatnonzero(late_rows))
            batch = batch.take(np.flatnonzero(~late_rows))
        self.watermark_ms = watermark_ms
        accepted = len(batch)
        return Ordered(self._release(batch), watermark_ms, accepted, late, began_ms)

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
        rows = np.flatnonzero(batch.ts > self.watermark_ms)
        if len(rows):
            waiting = [] if self._waiting is None else [self._waiting]
            self._waiting = Batch.concat([*waiting, batch.take(rows)])

    def _late_rows(self, ts: NDArray[np.int64]) -> tuple[NDArray[np.bool_], int]:
        """Which rows are below the watermark at their arrival, and the watermark after them."""
        watermarks = np.empty(len(ts) + 1, dtype=np.int64)
        watermarks[0] = self.watermark_ms
        np.subtract(ts, self._lateness_ms, out=watermarks[1:])
        np.maximum.accumulate(watermarks, out=watermarks)
        return ts < watermarks[:-1], int(watermarks[-1])

    def _release(self, batch: Batch | None) -> Batch | None:
        parts = [part for part in (self._waiting, batch) if part is not None and len(part)]
        self._waiting = None
        if not parts:
            return None
        rows = Batch.concat(parts)
        due = rows.ts <= self.watermark_ms
        if not due.all():
            self._waiting = rows.take(np.flatnonzero(~due))
            if not due.any():
                return None
            rows = rows.take(np.flatnonzero(due))
        return rows if _sorted(rows.ts) else rows.take(np.argsort(rows.ts, kind="stable"))


def _sorted(ts: NDArray[np.int64]) -> bool:
    return bool((ts[1:] >= ts[:-1]).all())
