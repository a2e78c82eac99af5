"""A window rule in motion: its windows, and the way from a batch to its matches.

    advance(batch, watermark): events → rows of windows → condition → what fires → matches

A match binds the last event of its window; what the output says of the others is in its `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl.model import WindowFire
from matcher.atoms import BatchAtoms
from matcher.buffers import EVENT_KEY, EVENT_VALUES
from matcher.keys import KeyCodec
from matcher.layout import is_float
from matcher.ordering import order_by
from matcher.page_data import PageData
from matcher.results import Found, Resolved
from matcher.runs import NONE, SLOT_HEAD
from matcher.saved import Saved
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.strings import Strings
from matcher.window_layout import (
    CLOSED,
    DUE_KEYS,
    EDGE,
    ENTRIES,
    ENTRY_VALUES,
    HOPPING,
    KEYS_USED,
    NEVER,
    OPTION_KIND,
    OPTION_LOOK,
    ROW_AT,
    ROW_KEY,
    ROW_KIND,
    ROW_POSITION,
    ROW_STEP,
    SLOT_TAIL,
    TAKEN,
)
from matcher.window_pages import WindowPages
from matcher.window_plan import SEEN_AS_OF, WindowPlan
from matcher.window_rows import newest_of_due, rises
from matcher.window_state import WindowState

Ints = NDArray[np.int64]

BEFORE_EVENTS, AT_EVENT, AFTER_EVENTS = -1, 0, 1
"""`Found.timer`: whether a match is decided before, by, or after the events of its time."""

_as_found: Callable[[Iterable[Any]], Found] = partial(tuple.__new__, Found)
"""`Found._make` without its check: there are many matches."""


class WindowLane:
    """State and motion of one window rule; see the module head."""

    def __init__(self, plan: WindowPlan, number: int, schema: Schema, strings: Strings) -> None:
        self.plan = plan
        self.owner = f"rule/{plan.rule.name}"
        self.keys = KeyCodec([key.type for key in plan.rule.keys], strings)
        self._number = number
        self._selection = Selection(plan, schema, self.keys)
        measures = plan.measures
        self.state = WindowState(
            len(plan.columns), measures.ops, measures.walked, plan.options.copy()
        )
        self._floats = [place for place, type_ in enumerate(plan.measures.types) if is_float(type_)]
        assert plan.rule.window is not None
        self.span_ms = plan.rule.window.shape.size_ms
        self._once = plan.rule.window.fire is WindowFire.ONCE
        self.phase = BEFORE_EVENTS if plan.options[OPTION_KIND] == HOPPING else AFTER_EVENTS
        self.done: set[int] = set()  # keys that a rule that fires once has fired for
        self.resolved: list[Resolved] = []
        self.matched = 0
        self._first_ts = NEVER
        self._pages = WindowPages(
            self.owner,
            plan.rule.pattern_version,
            self.state,
            measures.types,
            self.keys,
            strings,
            lambda: self.done,
        )

    # ------------------------------------------------------------------ motion

    def advance(self, keyed: BatchKeys, atoms: BatchAtoms | None, watermark_ms: int) -> list[Found]:
        """Matches decided by the batch and by time reaching the watermark."""
        self._first_ts = int(keyed.batch.ts[0]) if len(keyed.batch) else -NEVER
        events = None if atoms is None else self._events(keyed, atoms)
        found = self._moved(events, keyed, atoms, watermark_ms)
        self.state.settle(watermark_ms)
        self.matched += len(found)
        return found

    def _events(self, keyed: BatchKeys, atoms: BatchAtoms) -> Ints | None:
        """The events that enter windows, each key's together."""
        events = self._selection.events(keyed, atoms)
        if events is None:
            return None
        if len(self.plan.rule.keys) > 1:  # a selection by several columns is in event order
            events = events[order_by(np.ascontiguousarray(events[:, EVENT_KEY]))]
        if self._floats:
            events = events.copy()
        for place in self._floats:  # one zero: a negative one is no value of its own
            column = events[:, EVENT_VALUES + place].view(np.float64)
            column += 0.0
        return events

    def _moved(
        self, events: Ints | None, keyed: BatchKeys, atoms: BatchAtoms | None, watermark_ms: int
    ) -> list[Found]:
        """Take the events in and let time pass."""
        found = [] if events is None else self._matches(self.state.take(events, watermark_ms))
        return found + self._matches(self.state.close(watermark_ms))

    def _matches(self, rows: Ints) -> list[Found]:
        if not len(rows):
            return []
        memory = self.state.store.memory
        fires = self.plan.when.is_true(rows, self.keys, memory)
        if self.plan.options[OPTION_LOOK] == EDGE:
            is_true = fires
            fires = np.zeros(len(rows), np.bool_)
            rises(rows, is_true, memory, fires)
        if not self._once:
            return self._fired(rows[fires])
        first = np.zeros(len(rows), np.bool_)
        for place in np.flatnonzero(fires).tolist():
            key = int(rows[place, ROW_KEY])
            first[place] = key not in self.done
            self.done.add(key)
        self.state.store.touch(rows[first, ROW_KEY])
        return self._fired(rows[first])

    def _fired(self, fired: Ints) -> list[Found]:
        """The matches of rows that fire."""
        if not len(fired):
            return []
        plan = self.plan
        fired = fired[np.lexsort((fired[:, ROW_POSITION], fired[:, ROW_AT]))]  # nearly in order
        timers = np.where(fired[:, ROW_KIND] == CLOSED, self.phase, AT_EVENT).tolist()
        at_ms, positions, steps, keys = (
            fired[:, column].tolist() for column in (ROW_AT, ROW_POSITION, ROW_STEP, ROW_KEY)
        )
        alone = [(step,) for step in range(max(steps) + 1)]
        columns = (
            *(at_ms, timers, positions, repeat(self._number), positions),
            *(zip(positions, strict=True), map(alone.__getitem__, steps), repeat(()), keys),
            plan.measures.scalars(plan.told, fired, self.state.store.memory),
        )
        return list(map(_as_found, zip(*columns, strict=False)))

    def newly_held(self) -> Ints:
        """Positions of events that may be the last of a window that time will end."""
        return self._newest(self._first_ts)

    # ------------------------------------------------------------------ state

    def snapshot(self, watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        return self._pages.snapshot(watermark_ms, self.matched)

    def restore(self, saved: Saved) -> None:
        """Fill empty windows; raises PageMismatch."""
        if saved.head:
            self.matched, self.done = self._pages.restore(saved)

    def held(self) -> Ints:
        """Positions of all events held as evidence."""
        return self._newest(NEVER)

    def _newest(self, since_ms: int) -> Ints:
        memory = self.state.store.memory
        positions = np.empty(int(memory.totals[DUE_KEYS]), np.int64)
        return positions[: newest_of_due(memory, since_ms, positions)]

    @property
    def oldest_looked_up(self) -> int | None:
        """No row will be looked up for a condition as of a position before this one."""
        memory = self.state.store.memory
        if not self.plan.looks_up or not memory.totals[KEYS_USED]:
            return None
        newest = memory.keys[memory.keys[:, SLOT_HEAD] != NONE, SLOT_TAIL]
        return int(
            memory.entries[newest, ENTRY_VALUES + self.plan.measures.place(SEEN_AS_OF)].min()
        )

    def losses(self) -> tuple[int, ...]:
        """In the order of `LOSSES`: nothing is lost but events without a key."""
        return 0, 0, self.null_keys, 0, 0, 0

    @property
    def null_keys(self) -> int:
        return self._selection.null_keys

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`: entries stand for runs, and none is refused."""
        totals = self.state.store.memory.totals
        taken, entries, keys = (int(totals[at]) for at in (TAKEN, ENTRIES, KEYS_USED))
        unkeyed, held = self.null_keys, self.state.store.bytes
        return taken, self.matched, 0, 0, unkeyed, entries, keys, held, 0, 0, len(self.done)
