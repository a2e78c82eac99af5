"""Events too far ahead of the clock when they came into the log are set aside, as dead letters.

One such event would move the watermark past all others, and those would be late.  Which events they
are is decided by what the log recorded when it took them, so a replay sets the same ones aside; a
log that records nothing (a file, standard input) has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cep import limits
from cep.ports import DeadLetterRow, Ingest
from cep.values import iso_time
from matcher.batch import Batch


def set_aside(batch: Batch, ingests: Sequence[Ingest]) -> tuple[Batch, list[DeadLetterRow]]:
    """The events that may take part, and the others in order of position."""
    if not ingests:
        return batch, []
    begins = np.array([ingest.first_position for ingest in ingests], np.int64)
    latest = np.array([ingest.latest_ms for ingest in ingests], np.int64)
    ingest_of = np.searchsorted(begins, batch.position, side="right") - 1
    ahead = batch.ts > latest[ingest_of]
    if not ahead.any():
        return batch, []
    letters = [
        _letter(batch, int(row), ingests[int(ingest_of[row])]) for row in np.flatnonzero(ahead)
    ]
    return batch.take(np.flatnonzero(~ahead)), letters


def _letter(batch: Batch, row: int, ingest: Ingest) -> DeadLetterRow:
    reason = (
        f"quarantined: its time {iso_time(int(batch.ts[row]))} is too far ahead of its ingest at "
        f"{iso_time(ingest.recorded_ms)}"
    )
    raw = batch.raw.line(row)[: limits.DEAD_LETTER_RAW_BYTES]
    return DeadLetterRow(int(batch.position[row]), reason, raw)
