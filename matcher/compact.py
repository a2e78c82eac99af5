"""A rule that shares its partial matches, in motion: `A ->> B ->> C` with `matches all`.

An event costs the same however many partial matches it continues; those that one completes are
enumerated in time proportional to their number, up to the declared limit, and the rest is counted.
`matcher.shared_matches` says which rules these are, `matcher.compact_scan` how it is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.compact_scan import (
    BEGUN,
    DROPPED,
    EVENT_AT,
    EVENT_MS,
    EVENT_OF,
    EVENT_STEP,
    FOUND_KEY,
    FOUND_POSITIONS,
    FOUND_TS,
    KEYS_USED,
    LEFT_OUT,
    MATCHED,
    NODES_USED,
    TAKEN,
    sweep,
    take,
)
from matcher.compact_store import bytes_used, events_of, filled, grown, new_links
from matcher.deadlines import SWEEPS_PER_WINDOW
from matcher.journal import Journal
from matcher.keys import KeyCodec
from matcher.page_data import PageData
from matcher.plan import Plan
from matcher.results import Found
from matcher.runs import is_roomy
from matcher.saved import Head, PageMismatch, Saved
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.shared_matches import matches_max
from matcher.strings import Strings
from matcher.tables import NO_LIMIT_MS
from matcher.timed_rows import TimedRows, timed_form
from matcher.unsaved import Unsaved

Ints = NDArray[np.int64]

FORMAT = "compact 3"
COUNTERS = (BEGUN, MATCHED, LEFT_OUT, DROPPED)

ROWS_MIN = 4_096
"""Matches that there is room for at once."""


class CompactLane:
    """State and motion of one rule; see the module head."""

    def __init__(self, plan: Plan, number: int, schema: Schema, strings: Strings) -> None:
        assert plan.rule.within_ms is not None, "asked for by `shares_matches`"
        self.plan = plan
        self.owner = f"rule/{plan.rule.name}"
        self.span_ms = plan.rule.within_ms
        self.keys = KeyCodec([key.type for key in plan.rule.keys], strings)
        self._number = number
        self._selection = Selection(plan, schema, self.keys)
        self._steps = len(plan.rule.steps)
        self._within_ms = plan.rule.within_ms
        self._most = matches_max(plan.rule)
        self._links = new_links(self._steps)
        rows = max(ROWS_MIN, 2 * self._most)
        self._found = np.zeros((rows, FOUND_POSITIONS + self._steps), np.int64)
        self._swept_ms = -NO_LIMIT_MS
        self._cut_ms = -NO_LIMIT_MS
        self._newly_held = np.empty(0, np.int64)
        self._head = Head(self.owner)
        self._journal = Journal(self.owner, timed_form([("step", False)], self.keys, strings))
        self._unsaved: Unsaved[TimedRows] = Unsaved()

    # ------------------------------------------------------------------ motion

    def advance(self, keyed: BatchKeys, atoms: BatchAtoms | None, watermark_ms: int) -> list[Found]:
        """Matches decided by the batch; time alone decides nothing."""
        found: list[Found] = []
        events = None if atoms is None else self._selection.events(keyed, atoms)
        self._newly_held = np.empty(0, np.int64)
        if events is not None:
            self._make_note_of(len(events) * (self._steps - 1))
            begin = 0
            while begin < len(events):
                rows, begin = divmod(
                    take(
                        begin,
                        events,
                        self._steps,
                        self._within_ms,
                        self._most,
                        self._links,
                        self._found,
                    ),
                    2**32,
                )
                found += self._read(rows)
                if begin < len(events):
                    self._links = grown(self._links, self._steps)
            self._remember()
        if watermark_ms - self._swept_ms > self._within_ms // SWEEPS_PER_WINDOW:
            self._cut_ms = watermark_ms - self._within_ms
            sweep(self._steps, self._cut_ms, self._links)
            self._swept_ms = watermark_ms
            self._give_back()
        return found

    def _give_back(self) -> None:
        """Exchange arrays that are much larger than what is in them."""
        before = self._links
        if is_roomy(len(before.nodes) + len(before.keys), int(before.totals[NODES_USED])):
            events = events_of(before, self._steps)
            self._links = filled(new_links(self._steps), events, self._within_ms)
            self._links.totals[list(COUNTERS)] = before.totals[list(COUNTERS)]

    def _make_note_of(self, most: int) -> None:
        """Have room to note so many events that are kept."""
        self._links.totals[TAKEN] = 0
        if len(self._links.taken) < most:
            self._links = self._links._replace(taken=np.empty((2 * most, 4), np.int64))

    def _remember(self) -> None:
        """The events that were kept are held, and in no checkpoint yet."""
        taken = self._links.taken[: self._links.totals[TAKEN]]
        self._newly_held = taken[:, EVENT_AT].copy()
        if len(taken):
            live = int(self._links.totals[NODES_USED])
            self._unsaved.add(_rows(taken), len(taken), int(taken[:, EVENT_MS].max()), live)

    def _read(self, rows: int) -> list[Found]:
        table, steps, number = self._found[:rows], tuple(range(self._steps)), self._number
        columns = table[:, FOUND_TS].tolist(), table[:, FOUND_KEY].tolist()
        positions = map(tuple, table[:, FOUND_POSITIONS:].tolist())
        return [
            Found(at_ms, 0, bound[-1], number, bound[0], bound, steps, (), key)
            for at_ms, key, bound in zip(*columns, positions, strict=True)
        ]

    def newly_held(self) -> Ints:
        return self._newly_held

    # ------------------------------------------------------------------ state

    def snapshot(self, watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        unsaved = self._unsaved.take()
        if unsaved is None:
            self._journal.clear()
            events = events_of(self._links, self._steps)
            unsaved = [(_rows(events), int(events[:, EVENT_MS].max()))] if len(events) else []
        for rows, newest_ms in unsaved:
            self._journal.add(rows, newest_ms)
        self._journal.expire(watermark_ms - self._within_ms)
        counters = self._links.totals[list(COUNTERS)].tolist()
        if not any(counters):
            return {}
        version = self.plan.rule.pattern_version
        head = self._head.take(FORMAT, version, self._cut_ms, *counters)
        return self._journal.take() | head

    def restore(self, saved: Saved) -> None:
        """Fill an empty state; raises PageMismatch."""
        if not saved.head:
            return
        format_, version, self._cut_ms, *counters = self._head.restore(saved.head, 7)
        if format_ != FORMAT:
            raise PageMismatch(f"page format {format_}, this version reads {FORMAT}")
        if version != self.plan.rule.pattern_version:
            raise PageMismatch("the pattern has changed")
        if parts := self._journal.restore(saved.pages):
            keys, (ts, positions, steps) = TimedRows.joined(parts)
            events = np.stack([keys, steps, ts, positions], axis=1)
            begins = (steps == 0) & (ts < self._cut_ms)  # let go of, with all that came of it
            self._links = filled(self._links, events[~begins], self._within_ms)
        self._links.totals[list(COUNTERS)] = counters

    def events(self) -> Ints:
        """The events held, with the columns of `Links.taken`."""
        return events_of(self._links, self._steps)

    def held(self) -> Ints:
        """Positions of all events held as evidence."""
        return self.events()[:, EVENT_AT]

    def losses(self) -> tuple[int, ...]:
        """In the order of `LOSSES`: starts that have left the window, matches left out."""
        totals, unkeyed = self._links.totals, self._selection.null_keys
        return int(totals[DROPPED]), int(totals[LEFT_OUT]), unkeyed, 0, 0, 0

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`; the events held stand for runs."""
        totals = self._links.totals
        places = BEGUN, MATCHED, DROPPED, LEFT_OUT
        history = [int(totals[place]) for place in places]
        held, keys = int(totals[NODES_USED]), int(totals[KEYS_USED])
        return *history, self._selection.null_keys, held, keys, bytes_used(self._links)


def _rows(events: Ints) -> TimedRows:
    """As they are saved, of events with the columns of `Links.taken`."""
    columns = (EVENT_OF, EVENT_MS, EVENT_AT, EVENT_STEP)
    return TimedRows.of(*(events[:, column] for column in columns))
