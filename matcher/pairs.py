"""Two-step rules, `a: A -> b: B`, as a join of two streams within a window.

    matches = for each b, the first start a that is not used up, lies in the window and fits b

Most rules of most rule bases are of this form, and most partial matches of theirs come to nothing.
Here a partial match is an entry in `matcher.starts`, shared by all rules that begin alike, instead
of a run of its own in each; what the general automaton would do with it follows from the entry and
the place up to which the rule has used the key's starts up.  `matcher.pair_plan` says which rules
qualify.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.fitting import BatchFitting, Fitting
from matcher.journal import Journal
from matcher.page_data import PageData
from matcher.pair_plan import Pair
from matcher.pair_scan import (
    FOUND_COLUMNS,
    FOUND_KEY,
    FOUND_POSITION,
    FOUND_START,
    FOUND_TS,
    MATCHED,
    PLACES,
    PRUNED,
    UNSTARTED,
    USED_COLUMNS,
    USED_KEYS,
    USED_POSITION,
    USED_STARTS,
    USED_TOTALS,
    USED_TS,
    Seconds,
    Used,
    count_used,
    find,
    mark_used,
)
from matcher.plan import Plan
from matcher.results import Found
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, grown_keys, new_keys
from matcher.saved import Head, PageMismatch, Saved
from matcher.start_groups import Group
from matcher.starts import SEGMENTS_MAX, START_POSITION, START_TS
from matcher.strings import Strings
from matcher.timed_rows import ROW_POSITION, ROW_TS, TimedRows, timed_form
from matcher.unsaved import Unsaved

Ints = NDArray[np.int64]

FORMAT = "pair 2"


class PairLane:
    """One two-step rule in motion; see `matcher.lane.Lane` for the common parts."""

    def __init__(self, plan: Plan, pair: Pair, number: int, group: Group, strings: Strings) -> None:
        self.plan = plan
        self.owner = f"rule/{plan.rule.name}"
        self.keys = group.codec
        self.group = group
        self.pair = pair
        self._number = number
        self.used = Used(new_keys(16, USED_COLUMNS), np.zeros(USED_TOTALS, np.int64))
        self.appended_before = group.starts.appended
        self.refused_before = group.starts.refused
        self._out = np.zeros((64, FOUND_COLUMNS), np.int64)
        self._place = np.zeros((SEGMENTS_MAX, PLACES), np.int64)
        self._own = tuple(test.own for test in pair.tests)
        self._null_keys = 0
        self._expired = 0
        self._is_counted = True
        self._head = Head(self.owner)
        self._journal = Journal(self.owner, timed_form((), self.keys, strings))
        self._unsaved: Unsaved[TimedRows] = Unsaved()

    def advance(self, fitting: Fitting, places: Ints | None = None) -> list[Found]:
        """Matches of events that fit the second step; of those at `places`, in rising order.

        The group has just taken in the starts of the batch.
        """
        pair, group = self.pair, self.group
        keys, ts, positions = fitting.keys, fitting.ts, fitting.positions
        values = fitting.values(self._own)
        if places is not None:
            keys, ts, positions = keys[places], ts[places], positions[places]
            values = np.ascontiguousarray(values[:, places])
        tests, factors = group.tests(pair.tests)
        floats = values.view(np.float64)
        seconds = Seconds(keys, ts, positions, values, floats, tests, factors)
        begin = found = 0
        while begin < len(keys):
            begin, found = find(
                begin,
                seconds,
                pair.gap_from_ms,
                pair.window_ms,
                group.starts.buffer,
                self.used,
                self._out,
                found,
                self._place,
            )
            if begin < len(keys):
                self._grow(found)
        if found:
            columns = (FOUND_KEY, FOUND_TS, FOUND_POSITION)
            used = TimedRows.of(*(self._out[:found, column] for column in columns))
            live = int(self.used.totals[USED_KEYS])
            self._unsaved.add(used, found, used.newest_ms, live)
        return self._matches(found)

    def count_null_keys(self, rows: BatchFitting) -> None:
        """Count events that the rule cannot use for want of a key."""
        second = rows.rows(self.pair.second, self.pair.second_key, self.keys)
        self._null_keys += self._without_key(second)

    def settle(self) -> None:
        """The batch is over, and time has passed, or starts were let go of."""
        self._is_counted = False

    # ------------------------------------------------------------------ state

    def snapshot(self, watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone.

        Starts are the group's.
        """
        unsaved = self._unsaved.take()
        if unsaved is None:
            self._journal.clear()
            unsaved = self._all_used()
        if unsaved:
            joined = TimedRows.joined([used for used, _ in unsaved])
            self._journal.add(joined, max(newest_ms for _, newest_ms in unsaved))
        self._journal.expire(watermark_ms - self.group.window_ms)
        used, pattern = self.used.totals, self.plan.rule.pattern_version
        counts = [int(used[place]) for place in (MATCHED, PRUNED, UNSTARTED)]
        before = self.appended_before, self.refused_before
        head = self._head.take(FORMAT, pattern, *counts, *before, self._lost())
        return self._journal.take() | head

    def _all_used(self) -> list[tuple[TimedRows, int]]:
        rows = self.used.keys[self.used.keys[:, SLOT_HEAD] != NONE]
        if not len(rows):
            return []
        columns = (SLOT_KEY, USED_TS, USED_POSITION)
        used = TimedRows.of(*(rows[:, column] for column in columns))
        return [(used, used.newest_ms)]

    def restore(self, saved: Saved) -> None:
        """After the group's starts are back; without a page the rule begins now.

        Raises PageMismatch.
        """
        starts = self.group.starts
        if not saved.head:
            keys, rows = starts.live()
            self._use([TimedRows.of(keys, rows[START_TS], rows[START_POSITION])])
            self.appended_before, self.refused_before = starts.appended, starts.refused
            self._unsaved.give_up()
            return
        format_, pattern, *counts, expired = self._head.restore(saved.head, 8)
        if format_ != FORMAT:
            raise PageMismatch(f"page format {format_}, this version reads {FORMAT}")
        if pattern != self.plan.rule.pattern_version:
            raise PageMismatch(f"the pattern of {self.plan.rule.name} has changed")
        self._use(self._journal.restore(saved.pages))
        self.used.totals[[MATCHED, PRUNED, UNSTARTED]] = counts[:3]
        self.appended_before, self.refused_before = counts[3:]
        self._expired, self._is_counted = expired, True

    def _use(self, parts: Sequence[TimedRows]) -> None:
        """The starts of each key are used up to where a part says, the last one first of all."""
        for part in parts:
            used = self.used
            grown = grown_keys(used.keys, int(used.totals[USED_KEYS]), len(part.keys))
            self.used = used._replace(keys=grown)
            mark_used(part.keys, part.rows[ROW_TS], part.rows[ROW_POSITION], self.used)

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`."""
        expired, capped, null_keys, *_ = self.losses()
        starts, used = self.group.starts, self.used.totals
        count_used(starts.buffer, self.used)
        return (
            self._started(),
            int(used[MATCHED]),
            expired,
            capped,
            null_keys,
            starts.entries - int(used[USED_STARTS]),
            self._live_keys(),
            starts.bytes + self.used.keys.nbytes,
        )

    def losses(self) -> tuple[int, ...]:
        """As those of a `Lane`; nothing is cancelled or skipped to."""
        refused = self.group.starts.refused - self.refused_before
        return self._lost(), refused, self._null_keys, 0, 0, 0

    def _lost(self) -> int:
        """How many starts have expired, as of the last batch.

        A start ends matched, pruned by another's match, or expired; so the starts that are neither
        live nor any of the first two have expired.  Those that are over but still among the live
        may be more after a restart; they do not become unexpired.
        """
        if not self._is_counted:
            starts, used = self.group.starts, self.used.totals
            count_used(starts.buffer, self.used)
            live = starts.entries - int(used[USED_STARTS])
            expired = self._started() - live - int(used[MATCHED]) - int(used[PRUNED])
            self._expired, self._is_counted = max(expired, self._expired), True
        return self._expired

    def _started(self) -> int:
        return self.group.starts.appended - self.appended_before - int(self.used.totals[UNSTARTED])

    def live(self) -> tuple[Ints, Ints]:
        """(key of each start that is not used up, its rows), as `Starts.live` has them."""
        keys, rows = self.group.starts.live()
        used = self.used.keys[self.used.keys[:, SLOT_HEAD] != NONE]
        used = used[np.argsort(used[:, SLOT_KEY])]
        if not len(used):
            return keys, rows
        place = np.searchsorted(used[:, SLOT_KEY], keys).clip(max=len(used) - 1)
        last, mine = used[place], used[place, SLOT_KEY] == keys
        ts, position = rows[START_TS], rows[START_POSITION]
        gone = (ts < last[:, USED_TS]) | (
            (ts == last[:, USED_TS]) & (position <= last[:, USED_POSITION])
        )
        left = ~(mine & gone)
        return keys[left], rows[:, left]

    def _live_keys(self) -> int:
        """How many keys have starts that are not used up."""
        return len(np.unique(self.live()[0]))

    # ------------------------------------------------------------------ parts

    def _without_key(self, second: Fitting) -> int:
        """Events that the rule could not use for want of a key; one event counts once per key."""
        assert self.group.taken is not None, "a group takes a batch in before its rules see it"
        first = self.group.taken.null_rows
        if not len(first) or not len(second.null_rows):
            return len(first) + len(second.null_rows)
        if self.pair.first_key == self.pair.second_key:
            return len(np.union1d(first, second.null_rows))
        return len(first) + len(second.null_rows)

    def _grow(self, found: int) -> None:
        used = self.used
        self.used = used._replace(keys=grown_keys(used.keys, int(used.totals[USED_KEYS]), 1))
        if found == len(self._out):
            self._out = np.concatenate([self._out, np.zeros_like(self._out)])

    def _matches(self, found: int) -> list[Found]:
        steps, number = self.pair.steps, self._number
        rows = self._out[:found]
        columns = (FOUND_TS, FOUND_KEY, FOUND_START, FOUND_POSITION)
        return [
            tuple.__new__(Found, (ts, 0, last, number, first, (first, last), steps, (), key, None))
            for ts, key, first, last in zip(*(rows[:, c].tolist() for c in columns), strict=True)
        ]
