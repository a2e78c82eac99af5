"""The windows of one rule or derived field as pages: the events that entered, and what keys have.

    restore(all pages taken so far) = state        for every later batch

The events in a key's windows are always the last of those that entered, so events are only added,
until their time is over, and of a key it is enough to say how many there are.  What runs over the
events is counted anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from dsl.model import Type
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.journal import PAGE_BYTES, Journal
from matcher.keys import KeyCodec
from matcher.layout import is_text
from matcher.ledger import Content, Ledger, Written
from matcher.narrow import narrowed, widened
from matcher.ordering import order_by
from matcher.page_data import PageData
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY
from matcher.saved import Head, PageMismatch, Saved
from matcher.strings import Strings
from matcher.timed_rows import ROW_POSITION, ROW_TS, ROW_VALUES, TimedRows, timed_form
from matcher.window_layout import (
    COUNTED,
    ENTRIES,
    ENTRY_POSITION,
    ENTRY_STEP,
    ENTRY_TS,
    ENTRY_VALUES,
    LOADED,
    NEVER,
    NEXT_DUE_MS,
    OPTION_CAP_MS,
    OPTION_DONE_MS,
    OPTION_KIND,
    OPTION_SIZE_MS,
    SESSION,
    TAKEN,
)
from matcher.window_rows import lines_of, live_entries, set_flags
from matcher.window_state import WindowState

FORMAT = "windows 3"
KEYS_PER_PAGE = 8_192

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lines:
    """Of keys: how many events are in the windows, how many came since they were empty, whether the
    condition held, and whether the key is among those that are done."""

    counts: Ints
    numbers: Ints
    hot: Bools
    done: Bools

    @property
    def sizes(self) -> Ints:
        return 24 * ((self.counts > 0) | self.done)


class WindowPages:
    """Saves and restores one `WindowState`.

    `types` are of the values kept, `version` is of what the state depends on; `done` gives the set
    of keys that the rule remembers besides.
    """

    def __init__(
        self,
        owner: str,
        version: str,
        state: WindowState,
        types: Sequence[Type],
        keys: KeyCodec,
        strings: Strings,
        done: Callable[[], set[int]] = set,
    ) -> None:
        self._version = version
        self._state = state
        self._types = types
        self._done = done
        self._keys = keys
        values = [(str(place), is_text(type_)) for place, type_ in enumerate(types)]
        self._form = timed_form([("step", False), *values], keys, strings)
        self._head = Head(owner)
        self._owner = owner
        self._ledger: Ledger[Lines] = Ledger(owner)
        self._journal = Journal(f"{owner}/{_EVENTS}", self._form)
        self._span_ms = _span_ms(state.options)
        self._loaded: list[tuple[Content[Lines], Bools]] = []

    def snapshot(self, watermark_ms: int, matched: int = 0) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        state, totals = self._state, self._state.store.memory.totals
        pages = self._ledger.snapshot(state.store.take_changed(), self)
        if self._span_ms is None and self._is_too_much():
            state.unsaved.give_up()
        unsaved = state.unsaved.take()
        if unsaved is None:
            self._journal.clear()
            unsaved = self._all_entries()
        for rows, newest_ms in unsaved:
            self._journal.add(rows, newest_ms)
        if self._span_ms is not None:
            self._journal.expire(watermark_ms - self._span_ms)
        pages |= self._journal.take()
        if not pages and not totals[TAKEN] and not matched:
            return {}
        closed_ms = int(state.options[OPTION_DONE_MS])
        return pages | self._head.take(
            FORMAT, self._version, closed_ms, int(totals[TAKEN]), matched
        )

    def restore(self, saved: Saved, adopted: bool = False) -> tuple[int, set[int]]:
        """Fill an empty state; (matches so far, keys that are done).  Raises PageMismatch.

        What is `adopted` from elsewhere will be in the next snapshot as a whole.
        """
        format_, version, closed_ms, taken, matched = self._head.restore(saved.head, 5)
        if format_ != FORMAT:
            raise PageMismatch(f"page format {format_}, this version reads {FORMAT}")
        if version != self._version:
            raise PageMismatch("the window has changed")
        self._ledger.restore(saved.pages, self)
        entries = self._journal.restore(saved.more.get(_EVENTS, {}))
        keys = np.concatenate([_NO_KEYS, *(c.keys[marked] for c, marked in self._loaded)])
        counts, numbers, hot, done = (
            np.concatenate([_NO_KEYS, *(getattr(c.body, name)[m] for c, m in self._loaded)])
            for name in ("counts", "numbers", "hot", "done")
        )
        if entries:
            self._enter(_last_of_keys(TimedRows.joined(entries), keys, counts))
        state = self._state
        state.options[OPTION_DONE_MS] = closed_ms
        found = counts > 0
        set_flags(state.store.memory, keys[found], numbers[found], hot[found] != 0)
        totals = state.store.memory.totals
        totals[NEXT_DUE_MS], totals[TAKEN] = NEVER, taken
        state.store.take_changed()
        state.unsaved.take()
        if adopted:
            self._head, self._ledger = Head(self._owner), Ledger(self._owner)
            self._journal = Journal(self._journal.name, self._form)
            state.unsaved.give_up()
            state.store.touch(self.all_keys())
        return matched, set(keys[done != 0].tolist())

    # ------------------------------------------------------------------ keys

    def all_keys(self) -> Ints:
        table = self._state.store.memory.keys
        done = np.fromiter(self._done(), np.int64)
        return np.union1d(table[table[:, SLOT_HEAD] != NONE, SLOT_KEY], done)

    def has_state(self, keys: Ints) -> Bools:
        return self._lines(keys).sizes > 0

    def pages(self, keys: Ints) -> Iterator[Written]:
        for begin in range(0, len(keys), KEYS_PER_PAGE):
            part = keys[begin : begin + KEYS_PER_PAGE]
            lines = self._lines(part)
            columns = lines.counts, lines.numbers, lines.hot.astype(int), lines.done.astype(int)
            fields = [self._keys.packed(part), *map(narrowed, columns)]
            yield Written(part, lines.sizes, msgspec.msgpack.encode(fields))

    def read(self, data: bytes) -> Content[Lines]:
        keys, counts, numbers, hot, done = msgspec.msgpack.decode(data)
        lines = Lines(widened(counts), widened(numbers), widened(hot) != 0, widened(done) != 0)
        return Content(self._keys.unpacked(keys), lines.sizes, lines)

    def load(self, parts: list[tuple[Content[Lines], Bools]]) -> None:
        self._loaded = parts

    def _lines(self, keys: Ints) -> Lines:
        counts, numbers = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        hot, done = np.empty(len(keys), np.bool_), self._done()
        lines_of(keys, self._state.store.memory, counts, numbers, hot)
        is_done = np.fromiter((key in done for key in keys.tolist()), np.bool_, len(keys))
        return Lines(counts, numbers, hot, is_done)

    # ------------------------------------------------------------------ events

    def _all_entries(self) -> list[tuple[TimedRows, int]]:
        memory = self._state.store.memory
        count = int(memory.totals[ENTRIES])
        if not count:
            return []
        keys, order = np.empty(count, np.int64), np.empty(count, np.int64)
        live_entries(memory, keys, order)
        columns = [ENTRY_TS, ENTRY_POSITION, ENTRY_STEP]
        columns += range(ENTRY_VALUES, ENTRY_VALUES + len(self._types))
        rows = TimedRows(keys, np.ascontiguousarray(memory.entries[order][:, columns].T))
        in_time = rows.where(np.argsort(rows.rows[ROW_TS], kind="stable"))
        return [(in_time, in_time.newest_ms)]

    def _is_too_much(self) -> bool:
        """Whether most of what was saved cannot be in windows any more, without a time for it."""
        row_bytes = 8 * (ROW_VALUES + 3 + len(self._types))
        live_bytes = row_bytes * int(self._state.store.memory.totals[ENTRIES])
        return sum(page.size for page in self._journal.pages) > 2 * live_bytes + PAGE_BYTES

    def _enter(self, rows: TimedRows) -> None:
        """Take entries, key by key, as they were."""
        events = np.zeros((len(rows.keys), EVENT_VALUES + len(self._types)), np.int64)
        events[:, EVENT_KEY] = rows.keys
        events[:, EVENT_TS], events[:, EVENT_POSITION] = rows.rows[ROW_TS], rows.rows[ROW_POSITION]
        events[:, EVENT_MASK] = 1 << rows.rows[ROW_VALUES]
        events[:, EVENT_VALUES:] = rows.rows[ROW_VALUES + 1 :].T
        options = self._state.options
        kind = int(options[OPTION_KIND])
        options[OPTION_KIND] = LOADED
        self._state.take(events)
        options[OPTION_KIND] = kind


_EVENTS = "events"
_NO_KEYS = np.empty(0, np.int64)


def _span_ms(options: Ints) -> int | None:
    """How long an event may be in windows that are not over; None: there is no bound.

    An event in a window is older than the newest by less than the window lasts, and the newest
    keeps the window by as much again.
    """
    size_ms, cap_ms = int(options[OPTION_SIZE_MS]), int(options[OPTION_CAP_MS])
    if options[OPTION_KIND] in (COUNTED, SESSION):
        return None if cap_ms == -NEVER else 2 * (cap_ms + size_ms)
    return 2 * size_ms


def _last_of_keys(rows: TimedRows, keys: Ints, counts: Ints) -> TimedRows:
    """Of each key the last `counts` rows, key by key; none of a key that has fewer.

    There are fewer when their time is over, and so is then that of those that are left.
    """
    ordered = rows.where(order_by(rows.keys))
    found, first, sizes = np.unique(ordered.keys, return_index=True, return_counts=True)
    by_key = np.argsort(keys)
    place = np.searchsorted(keys, found, sorter=by_key).clip(max=max(len(keys) - 1, 0))
    wanted = np.zeros(len(found), np.int64)
    if len(keys):
        known = keys[by_key[place]] == found
        wanted[known] = counts[by_key[place[known]]]
    wanted[wanted > sizes] = 0
    number = np.arange(len(ordered.keys)) - np.repeat(first, sizes)
    return ordered.where(number >= np.repeat(sizes - wanted, sizes))
