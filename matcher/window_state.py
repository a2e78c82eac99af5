"""The windows of one rule or derived field: their store, and how time has moved over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.timed_rows import TimedRows
from matcher.unsaved import Unsaved
from matcher.window_kernel import close_due, collect, take
from matcher.window_layout import (
    CLOSE,
    COUNTED,
    DUE_KEYS,
    ENTRIES,
    HOPPING,
    KEYS_USED,
    NEVER,
    NEXT_DUE_MS,
    OPTION_CAP_MS,
    OPTION_DONE_MS,
    OPTION_EVERY,
    OPTION_KIND,
    OPTION_LOOK,
    OPTION_SIZE_MS,
    ROW_CELLS,
)
from matcher.window_leaving import leave_all
from matcher.window_store import WindowStore, free_left
from matcher.window_write import Rows

Ints = NDArray[np.int64]

COLLECTIONS_PER_WINDOW = 4
"""How often keys that fell silent are forgotten; it bounds memory, not meaning."""


class WindowState:
    """The windows of one rule or derived field: the store, and how time has moved over it.

    `unsaved` are the events that have entered windows since the last checkpoint: a row's values are
    the step and the values kept of the event.
    """

    def __init__(
        self, places: int, ops: Sequence[tuple[int, int]], walked: bool, options: Ints
    ) -> None:
        self.options = options
        self.store = WindowStore(places, ops, walked)
        self.unsaved: Unsaved[TimedRows] = Unsaved()
        self._places = places
        self._width = ROW_CELLS + len(ops)
        self._out = _rows(256, self._width)
        self._collected_ms = NEVER

    def take(self, events: Ints, watermark_ms: int = NEVER) -> Ints:
        """The rows of these events, none of them after the watermark."""
        self._out.counts[:] = 0
        begin = 0
        if len(self._out.taken) < len(events):
            self._out = self._out._replace(taken=np.empty(2 * len(events), np.int64))
        self.store.will_change(len(events))
        while begin < len(events):
            memory, options = self.store.memory, self.options
            begin = take(begin, events, watermark_ms, memory, options, self._out)
            if begin < len(events):
                self.store.reserve(min(len(events) - begin, 4096))
                self._reserve_rows(min(len(events) - begin, 4096))
        if self._out.counts[1] and self.unsaved.parts is not None:
            self._remember(events[self._out.taken[: self._out.counts[1]]])
        return self._out.rows[: self._out.counts[0]]

    def _remember(self, events: Ints) -> None:
        """These events have entered windows and are in no checkpoint yet."""
        masks = events[:, EVENT_MASK]
        steps = np.log2(masks & -masks).astype(np.int64)
        columns = (EVENT_TS, EVENT_POSITION)
        values = events[:, EVENT_VALUES : EVENT_VALUES + self._places]
        rows = TimedRows.of(
            events[:, EVENT_KEY],
            *(events[:, column] for column in columns), steps, *values.T,
        )  # fmt: skip
        live = int(self.store.memory.totals[ENTRIES])
        self.unsaved.add(rows, len(events), rows.newest_ms, live)

    def close(self, watermark_ms: int) -> Ints:
        """The rows of windows that time has ended, of keys without an event since."""
        self._out.counts[0] = 0
        self.store.give_back()
        if not self._is_due(watermark_ms):
            return self._out.rows[:0]
        self.store.will_change(int(self.store.memory.totals[DUE_KEYS]))
        memory, place = self.store.memory, 0
        end = int(memory.totals[DUE_KEYS])
        while True:
            place = close_due(place, watermark_ms, memory, self.options, self._out)
            if place >= end:
                break
            self._reserve_rows(64)
        self.options[OPTION_DONE_MS] = watermark_ms
        return self._out.rows[: self._out.counts[0]]

    def leave(self, keys: Ints, watermark_ms: int) -> Ints:
        """The rows of windows of these keys that events have left, without an event since."""
        self._out.counts[0] = 0
        self.store.will_change(len(keys))
        place = 0
        while True:
            memory = self.store.memory
            place = leave_all(place, keys, watermark_ms, memory, self.options, self._out)
            if place >= len(keys):
                return self._out.rows[: self._out.counts[0]]
            self._reserve_rows(64)

    def _is_due(self, watermark_ms: int) -> bool:
        options = self.options
        if options[OPTION_LOOK] != CLOSE:
            return False
        if options[OPTION_KIND] != HOPPING:
            return bool(self.store.memory.totals[NEXT_DUE_MS] < watermark_ms)
        size_ms, every, done = (
            int(options[place]) for place in (OPTION_SIZE_MS, OPTION_EVERY, OPTION_DONE_MS)
        )
        return done - (done - size_ms) % every + every <= watermark_ms

    def settle(self, watermark_ms: int) -> None:
        """What the rows spoke of is let go; now and then, silent keys are forgotten."""
        memory, options = self.store.memory, self.options
        free_left(memory)
        counted = options[OPTION_KIND] == COUNTED
        span_ms = int(options[OPTION_CAP_MS if counted else OPTION_SIZE_MS])
        if watermark_ms - self._collected_ms > span_ms // COLLECTIONS_PER_WINDOW:
            if memory.totals[ENTRIES]:
                self.store.will_change(int(memory.totals[KEYS_USED]))
                memory = self.store.memory
                collect(watermark_ms, memory, options)
                free_left(memory)
            self._collected_ms = watermark_ms

    def _reserve_rows(self, events: int) -> None:
        options = self.options
        hops = int(options[OPTION_SIZE_MS]) // int(options[OPTION_EVERY])
        each = 3 + (hops + 2 if options[OPTION_KIND] == HOPPING else 0)
        size = int(self._out.counts[0])
        if size + each * min(events, 64) > len(self._out.rows):
            grown = _rows(2 * (size + each * min(events, 64)), self._width)
            grown.rows[:size] = self._out.rows[:size]
            self._out = self._out._replace(rows=grown.rows, floats=grown.floats)


def _rows(count: int, width: int) -> Rows:
    rows = np.zeros((count, width), np.int64)
    return Rows(rows, rows.view(np.float64), np.empty(0, np.int64), np.zeros(2, np.int64))
