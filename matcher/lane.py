"""One rule in motion: its plan, its runs, and the way from a batch to its matches.

A lane hands the events that may matter to the kernel, makes room when the kernel asks, and reads
the matches back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matcher import limits
from matcher.absence import census, most_runs, sweep
from matcher.advance import advance
from matcher.atoms import BatchAtoms
from matcher.buffers import (
    EVENT_KEY,
    EVENT_POSITION,
    EVENT_TS,
    Scratch,
)
from matcher.chains import mark_held
from matcher.deadlines import times_of
from matcher.host import Host
from matcher.keys import KeyCodec
from matcher.ledger import Ledger
from matcher.lookup.table import Table
from matcher.moments import Moment
from matcher.motion import (
    DUE_MS,
    NOW_MS,
    SWEPT_MS,
    expect,
    is_due,
    move,
    passed,
)
from matcher.page_data import PageData
from matcher.plan import Plan
from matcher.posting_rows import Need
from matcher.postings import ROWS, STARTING_ROWS, BatchPostings, Posting, Postings
from matcher.results import Found, Resolved, Results
from matcher.runs import (
    CANCELLED,
    CAPPED,
    CHANGED_SPARE,
    CLOCKS,
    EXPIRED,
    FORGOTTEN,
    FULL,
    KEYS,
    MATCHED,
    NODES,
    NONE,
    OPEN,
    RUNS,
    SKIPS_MISSED,
    SLOT_RUNS,
    STARTED,
    Memory,
    Store,
)
from matcher.saved import Head, PageMismatch, Saved
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.silence import ring_due, write_clocks
from matcher.snapshot import KeyedRuns, Rows
from matcher.spans import span_ms
from matcher.strings import Strings
from matcher.table_keys import rows_of
from matcher.tables import (
    FORKS,
    NO_LIMIT_MS,
    OPENS,
    PURE_SILENCE,
    RUNS_PER_KEY,
    SIGNALS,
    SILENCE_MS,
    START_STEPS,
    STARTS,
    TIMERS,
)

Ints = NDArray[np.int64]

FORMAT = "runs 3"
COUNTERS = slice(STARTED, FULL + 1)

FEW_RATIO, FEW_ROWS = 8, 4_096
"""Keys are few when so many times as many are no more than the rows in the rule's lists, a number
of rows aside that are taken quickly either way."""


class LaneBatch:
    """A batch as lanes see it; `of_rules` are those of its postings, as lists."""

    def __init__(self, postings: Postings, keyed: BatchKeys, atoms: BatchAtoms) -> None:
        self.keyed = keyed
        self.atoms = atoms
        self.postings = BatchPostings(postings, keyed, atoms)
        self.of_rules: list[list[int]] = self.postings.of_rules.tolist()


class Lane:
    """State and motion of one rule; see the module head."""

    def __init__(
        self,
        plan: Plan,
        number: int,
        schema: Schema,
        strings: Strings,
        postings: Postings,
        results: Results,
    ) -> None:
        self.plan = plan
        self._number = number
        self.owner = f"rule/{plan.rule.name}"
        self.span_ms = span_ms(plan.tables)
        self.keys = KeyCodec([key.type for key in plan.rule.keys], strings)
        self._store = self._new_store()
        self._was_swept = False
        self._selection = Selection(plan, schema, self.keys)
        self._postings = postings
        self._results = results
        self.place = NONE  # among the rules of `postings`
        self._need = self._needed(schema)
        self._times = times_of(plan.tables)
        slots = np.zeros(64, np.int64)
        floats = slots.view(np.float64)
        self._host = Host(plan.calls, slots, floats, strings, lambda: self._store.memory.nodes)
        self._scratch = Scratch(
            np.zeros(64, np.int32),
            np.zeros(64, np.int64),
            np.zeros(1, np.int64),
            slots,
            floats,
            np.array([self._host.address], np.int64),
        )
        self._head = Head(self.owner)
        self._ledger: Ledger[Rows] = Ledger(self.owner)
        self._keyed = KeyedRuns(plan, self.keys, strings, lambda: self._store)
        self.resolved: list[Resolved] = []

    def _new_store(self) -> Store:
        return Store(len(self.plan.layout.registers), self.plan.layout.places)

    def _needed(self, schema: Schema) -> Need | None:
        """What to take when few keys matter.

        None for rules that hear of every event or of none, and when keys have several parts.
        """
        plan, options = self.plan, self.plan.tables.options
        hears = options[SILENCE_MS] >= 0 or options[SIGNALS]
        if hears or not plan.entries or any(len(entry.key) != 1 for entry in plan.entries):
            return None
        start_steps = int(options[START_STEPS])
        lists = [
            Posting(
                entry,
                schema.event_index[entry.event],
                schema.column(entry.event, entry.key[0]),
                start_steps & sum(1 << step for step, _ in entry.steps),
            )
            for entry in plan.entries
        ]
        self.place, numbers = self._postings.add(lists, len(plan.columns))
        return Need(numbers, start_steps, np.zeros(len(numbers), np.int64))

    # ------------------------------------------------------------------ motion

    def advance(
        self,
        batch: LaneBatch | None,
        watermark_ms: int,
        censuses: Sequence[Moment] = (),
    ) -> list[Found]:
        """Matches decided by the batch, if any, and by time reaching the watermark.

        `censuses` are the rows of the batch after which the rule's state is measured.
        """
        self._results.clear()
        self.resolved = []
        self._times[NOW_MS] = watermark_ms
        if batch is not None and self._few_keys_matter(batch, censuses):
            return self._move(batch)
        found: list[Found] = []
        events = None if batch is None else self._selection.events(batch.keyed, batch.atoms)
        if censuses and self._may_be_crowded(events):
            for moment in censuses:
                if events is not None:
                    before = moment.reached(events[:, EVENT_TS], events[:, EVENT_POSITION])
                    self._run(events[before])
                    found += self._read()
                    events = events[~before]
                self._take_census(moment.ts)
                found += self._read()
        if events is not None:
            self._run(events)
            found += self._read()
        return found + self._pass_time()

    def concerns(self, batch: LaneBatch | None) -> bool:
        """Whether anything can come of the batch, or of time passing."""
        totals = self._store.memory.totals
        if self._need is None or totals[RUNS] or totals[FULL]:
            return True
        return batch is not None and batch.of_rules[self.place][STARTING_ROWS] > 0

    def _few_keys_matter(self, batch: LaneBatch, censuses: Sequence[Moment]) -> bool:
        """Whether to take the rows of those keys alone; a census is then surely not needed."""
        if self._need is None:
            return False
        counts = batch.of_rules[self.place]
        totals = self._store.memory.totals
        keys = int(totals[KEYS]) + counts[STARTING_ROWS]
        if keys * FEW_RATIO > counts[ROWS] + FEW_ROWS:
            return False
        return not censuses or not (
            totals[FULL]
            or keys * int(self.plan.tables.options[RUNS_PER_KEY]) > limits.RUNS_PER_RULE_MAX
        )

    def _move(self, batch: LaneBatch) -> list[Found]:
        """What `advance` does, mostly in one call."""
        assert self._need is not None
        postings, rows = batch.postings, batch.keyed.batch
        listed = min(batch.of_rules[self.place][0], CHANGED_SPARE)
        self._store.will_change(listed + int(self._store.memory.totals[KEYS]))
        count, begin, passed = move(
            self._need,
            postings.bounds,
            postings.lists,
            postings.taken,
            rows.ts,
            rows.position,
            postings.values(self.plan.columns),
            postings.events,
            self._times,
            self.plan.tables,
            self._store.memory,
            self._results.out,
            self._scratch,
        )
        self._host.check()
        if begin < count:
            self._make_room(count - begin)
            self._run(postings.events[begin:count])
        found = self._read() if self._results.out.counts[0] else []
        return found if passed else found + self._pass_time()

    def _pass_time(self) -> list[Found]:
        if not self.waits() or not is_due(self._times):
            return []
        self._sweep(int(self._times[NOW_MS]))
        return self._read()

    def follow(self, table: Table, first: int | None, at_ms: int) -> None:
        """See `Matcher.follow`; only for the table of the rule's keys."""
        rows = rows_of(table, first, self.keys, self._store.memory)
        self._store.reserve(0, 0, 0, 0, len(rows.keys))
        self._store.will_change(len(rows.keys))
        write_clocks(rows.keys, rows.alive, at_ms, self.plan.tables, self._store.memory)

    def newly_held(self) -> Ints:
        """Positions of events bound in the last `advance` and still held by a run.

        Asked for before another lane is moved.
        """
        return self._results.newly_held(self._store.memory)

    def _run(self, events: Ints) -> None:
        store, begin = self._store, 0
        store.will_change(len(events))
        expect(events, self._times)
        while begin < len(events):
            begin = advance(
                begin,
                events,
                self.plan.tables,
                store.memory,
                self._results.out,
                self._scratch,
            )
            self._host.check()
            if begin < len(events):
                self._make_room(len(events) - begin)

    def _may_be_crowded(self, events: Ints | None) -> bool:
        """Whether a census during these events could find too much."""
        options, totals = self.plan.tables.options, self._store.memory.totals
        count = 0 if events is None else len(events)
        opened = self._may_be_open() + count if options[OPENS] else 0
        return (
            bool(totals[FULL])
            or int(totals[CLOCKS]) + count > self._clocks_max()
            or self._most_runs(events) > limits.RUNS_PER_RULE_MAX
            or opened > limits.OPEN_KEYS_MAX
        )

    def _most_runs(self, events: Ints | None) -> int:
        """A number that the rule's runs do not exceed at any time during these events."""
        options, runs = self.plan.tables.options, int(self._store.memory.totals[RUNS])
        if events is None or not options[FORKS]:
            return runs + (0 if events is None else len(events)) * int(options[STARTS])
        if len(self.plan.rule.keys) > 1:  # a selection by several columns is in event order
            events = events[np.argsort(events[:, EVENT_KEY], kind="stable")]
        return int(most_runs(events, self.plan.tables, self._store.memory))

    def _take_census(self, at_ms: int) -> None:
        """Refuse further runs while there are too many, and forget keys when there are."""
        options, totals = self.plan.tables.options, self._store.memory.totals
        many = totals[RUNS] > limits.RUNS_PER_RULE_MAX
        opened = options[OPENS] and self._may_be_open() > limits.OPEN_KEYS_MAX
        if many or opened or totals[CLOCKS] > self._clocks_max():
            self._sweep(at_ms)
        full = many and (
            census(at_ms, self.plan.tables, self._store.memory) > limits.RUNS_PER_RULE_MAX
        )
        totals[FULL] = full
        self._store.forget_oldest(limits.OPEN_KEYS_MAX, self._clocks_max())

    def _clocks_max(self) -> int:
        """How many keys may be known; those of a table's rows are bounded by the table."""
        return limits.KNOWN_KEYS_MAX if self.plan.rule.key_table is None else NO_LIMIT_MS

    def _may_be_open(self) -> int:
        """How many keys are open, or may be when what is pending has been decided."""
        totals = self._store.memory.totals
        return int(totals[OPEN] + totals[RUNS] + totals[CLOCKS])

    def let_go(self, watermark_ms: int) -> None:
        """End the runs whose time is over; what time decides by then has been decided."""
        if self.waits():
            self._sweep(watermark_ms)
            assert not self._read(), "time has passed up to the watermark before"

    def waits(self) -> bool:
        """Whether the passing of time can change anything."""
        totals, options = self._store.memory.totals, self.plan.tables.options
        return bool(totals[RUNS] or totals[FULL] or (options[PURE_SILENCE] and totals[CLOCKS]))

    def _sweep(self, until_ms: int) -> None:
        store, tables = self._store, self.plan.tables
        store.will_change(int(store.memory.totals[KEYS] + store.memory.totals[CLOCKS]))
        if tables.options[TIMERS]:
            self._results.reserve(int(store.memory.totals[RUNS]), 0)
            store.reserve(0, 0, 0, int(store.memory.totals[KEYS]))
        if tables.options[PURE_SILENCE]:
            clocks = int(store.memory.totals[CLOCKS])
            self._results.reserve(clocks, 0)
            store.reserve(0, 0, 0, clocks)
            ring_due(until_ms, tables, store.memory, self._results.out)
        sweep(
            until_ms,
            tables,
            store.memory,
            self._results.out,
            self._scratch,
        )
        self._host.check()
        passed(until_ms, self._times, tables, store.memory)
        self._was_swept = True

    def _make_room(self, left: int) -> None:
        """Room for the key with the most runs; with many events left, for as much as there is."""
        store, options, totals = self._store, self.plan.tables.options, self._store.memory.totals
        held = int(store.memory.keys[:, SLOT_RUNS].max(initial=0))
        more = held * int(options[FORKS]) + int(options[STARTS])
        ahead = left * max(more, 1)
        runs, nodes, keys = (min(int(totals[place]), ahead) for place in (RUNS, NODES, KEYS))
        store.reserve(max(more, runs), max(held + more, nodes), max(1, keys), 1, 1)
        if len(self._scratch.line) < held + more:
            self._scratch = self._scratch._replace(line=np.zeros(2 * (held + more), np.int32))
        self._results.reserve(2 * held + more + 1, held + more, 1)

    def _read(self) -> list[Found]:
        self.resolved += self._results.take_resolved(self._number)
        return self._results.take(self._number, self.keys, self._store.memory)

    def settle(self) -> None:
        """The batch is over: give memory back when time has ended most of what was in it."""
        if self._was_swept:
            self._was_swept = False
            self._give_back()

    def _give_back(self) -> None:
        if self._store.is_roomy:
            self._store = self._keyed.moved(self._new_store())

    # ------------------------------------------------------------------ state

    def snapshot(self, _watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        pages = self._ledger.snapshot(self._store.take_changed(), self._keyed)
        self._give_back()
        counters = self._store.memory.totals[COUNTERS].tolist()
        if not pages and not any(counters):
            return {}
        return pages | self._head.take(FORMAT, self.plan.rule.pattern_version, *counters)

    def restore(self, saved: Saved) -> None:
        """Into an empty lane; raises PageMismatch."""
        if not saved.head:
            return
        size = 2 + COUNTERS.stop - COUNTERS.start
        format_, pattern, *counters = self._head.restore(saved.head, size)
        if format_ != FORMAT:
            raise PageMismatch(f"page format {format_}, this version reads {FORMAT}")
        if pattern != self.plan.rule.pattern_version:
            raise PageMismatch(f"the pattern of {self.plan.rule.name} has changed")
        self._ledger.restore(saved.pages, self._keyed)
        self._store.memory.totals[COUNTERS] = counters
        self._store.take_changed()
        self._times[[SWEPT_MS, DUE_MS]] = -NO_LIMIT_MS

    @property
    def memory(self) -> Memory:
        """The runs as they are, to be read."""
        return self._store.memory

    def held(self) -> Ints:
        """Positions of all events held as evidence."""
        positions = np.empty(int(self._store.memory.totals[NODES]), np.int64)
        mark_held(self._store.memory, positions)
        return positions

    def losses(self) -> tuple[int, ...]:
        """In the order of `matcher.LOSSES`."""
        totals = self._store.memory.totals
        return (
            int(totals[EXPIRED]),
            int(totals[CAPPED]),
            self._null_keys(),
            int(totals[CANCELLED]),
            int(totals[SKIPS_MISSED]),
            int(totals[FORGOTTEN]),
        )

    def _null_keys(self) -> int:
        """How many events the rule could not use for want of a key."""
        if self._need is None:
            return self._selection.null_keys
        return int(self._postings.null_keys[self.place])

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`."""
        totals = self._store.memory.totals
        places = (STARTED, MATCHED, EXPIRED, CAPPED)
        history = [int(totals[place]) for place in places]
        return (
            *history,
            self._null_keys(),
            int(totals[RUNS]),
            int(max(totals[KEYS], totals[CLOCKS])),
            self._store.bytes,
            int(totals[CANCELLED]),
            int(totals[SKIPS_MISSED]),
            int(totals[OPEN]),
        )
