"""One rule in motion: its plan, its runs, and the way from a batch to its matches.

A lane hands the events that may matter to the kernel, makes room when the kernel asks, and reads
the matches back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Aggregate
from matcher import limits
from matcher.absence import census, most_runs, sweep
from matcher.advance import advance
from matcher.atoms import BatchAtoms
from matcher.buffers import (
    EVENT_KEY,
    EVENT_POSITION,
    EVENT_TS,
    Out,
    Scratch,
)
from matcher.chains import mark_held, read_matches
from matcher.evidence import Evidence
from matcher.host import Host
from matcher.keys import KeyCodec
from matcher.lookup.table import Table
from matcher.plan import Plan
from matcher.runs import (
    CANCELLED,
    CAPPED,
    CHANGED,
    CLOCKS,
    EXPIRED,
    FORGOTTEN,
    FULL,
    KEYS,
    MATCHED,
    NODE_POSITION,
    NODE_STEP,
    NODES,
    NONE,
    OPEN,
    RUNS,
    SKIPS_MISSED,
    SLOT_RUNS,
    STARTED,
    Store,
)
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.silence import ring_due, write_clocks
from matcher.snapshot import dump, restore
from matcher.strings import Strings
from matcher.table_keys import rows_of
from matcher.tables import (
    FORKS,
    NO_LIMIT_MS,
    OPENS,
    PURE_SILENCE,
    STARTS,
    TIMERS,
    WITHIN_MS,
)

Ints = NDArray[np.int64]

SWEEPS_PER_WINDOW = 8
"""How often expired runs of silent keys are collected; it bounds memory, not meaning."""


class Found(NamedTuple):
    """A match as the kernel leaves it; the fields stand in canonical order, so matches sort.

    `timer` is 0 for a match decided by its last event; by time, 1 when the events at `at_ms` come
    first, and -1 when they no longer matter.  `by` is the position of the event that decided it, or
    of the last one bound when time did.  `steps` and `positions` are in binding order; `rule`
    is the number of the rule.  A match without events has the position it counts from as `by` and
    `first`, and `text` to order its keys by.  `values` is for windows only.
    """

    at_ms: int
    timer: int
    by: int
    rule: int
    first: int
    positions: tuple[int, ...]
    steps: tuple[int, ...]
    text: tuple[str, ...]
    key: int
    values: Mapping[Aggregate, object] | None = None


class Moment(NamedTuple):
    """The place of an event in the order of the stream."""

    ts: int
    position: int


class Resolved(NamedTuple):
    """A resolution as the kernel leaves it; the fields stand in canonical order.

    `phase` is 0 unless time resolved, before (-1) or after (1) the events of `at_ms`.
    """

    at_ms: int
    phase: int
    position: int
    rule: int
    key: int


class Lane:
    """State and motion of one rule; see the module head."""

    def __init__(self, plan: Plan, number: int, schema: Schema, strings: Strings) -> None:
        self.plan = plan
        self._number = number
        self.page = f"rule/{plan.rule.name}"
        self.keys = KeyCodec([key.type for key in plan.rule.keys], strings)
        self._store = Store(len(plan.layout.registers), plan.layout.places)
        self._selection = Selection(plan, schema, self.keys)
        self._swept_ms = -NO_LIMIT_MS
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
        self._out = _out(64, 256)
        self.resolved: list[Resolved] = []

    # ------------------------------------------------------------------ motion

    def advance(
        self,
        keyed: BatchKeys,
        atoms: BatchAtoms | None,
        watermark_ms: int,
        censuses: Sequence[Moment] = (),
    ) -> list[Found]:
        """Matches decided by the batch and by time reaching the watermark.

        `censuses` are the rows of the batch after which the rule's state is measured.
        """
        self._out.counts[1] = 0
        self.resolved = []
        found: list[Found] = []
        events = None if atoms is None else self._selection.events(keyed, atoms)
        if censuses and self._may_be_crowded(events):
            for moment in censuses:
                if events is not None:
                    before = _until(events, moment)
                    self._run(events[before])
                    found += self._read()
                    events = events[~before]
                self._take_census(moment.ts)
                found += self._read()
        if events is not None:
            self._run(events)
            found += self._read()
        if self._waits() and self._sweep_is_due(watermark_ms):
            self._sweep(watermark_ms)
            found += self._read()
        return found

    def follow(self, table: Table, first: int | None, at_ms: int) -> None:
        """See `Matcher.follow`; only for the table of the rule's keys."""
        rows = rows_of(table, first, self.keys, self._store.memory)
        self._store.reserve(0, 0, 0, 0, len(rows.keys))
        write_clocks(rows.keys, rows.alive, at_ms, self.plan.tables, self._store.memory)

    def newly_held(self) -> Ints:
        """Positions of events bound in the last `advance` and still held by a run."""
        nodes = self._store.memory.nodes
        bound = self._out.bound[: self._out.counts[1]]
        live: Ints = bound[nodes[bound, NODE_STEP] != NONE]
        positions: Ints = nodes[live, NODE_POSITION]
        return positions

    def _run(self, events: Ints) -> None:
        store, begin = self._store, 0
        while begin < len(events):
            begin = advance(
                begin,
                events,
                self.plan.tables,
                store.memory,
                self._out,
                self._scratch,
            )
            self._host.check()
            if begin < len(events):
                self._make_room()

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
        if full != totals[FULL]:
            totals[FULL], totals[CHANGED] = full, 1
        self._store.forget_oldest(limits.OPEN_KEYS_MAX, self._clocks_max())

    def _clocks_max(self) -> int:
        """How many keys may be known; those of a table's rows are bounded by the table."""
        return limits.KNOWN_KEYS_MAX if self.plan.rule.key_table is None else NO_LIMIT_MS

    def _may_be_open(self) -> int:
        """How many keys are open, or may be when what is pending has been decided."""
        totals = self._store.memory.totals
        return int(totals[OPEN] + totals[RUNS] + totals[CLOCKS])

    def _waits(self) -> bool:
        """Whether the passing of time can change anything."""
        totals, options = self._store.memory.totals, self.plan.tables.options
        return bool(totals[RUNS] or (options[PURE_SILENCE] and totals[CLOCKS]))

    def _sweep_is_due(self, watermark_ms: int) -> bool:
        options = self.plan.tables.options
        if options[TIMERS] or options[PURE_SILENCE]:
            return watermark_ms > self._swept_ms
        window_ms = min(int(options[WITHIN_MS]), 2**40)
        return watermark_ms - self._swept_ms > window_ms // SWEEPS_PER_WINDOW

    def _sweep(self, watermark_ms: int) -> None:
        store = self._store
        if self.plan.tables.options[TIMERS]:
            self._reserve_out(int(store.memory.totals[RUNS]), 0)
            store.reserve(0, 0, 0, int(store.memory.totals[KEYS]))
        if self.plan.tables.options[PURE_SILENCE]:
            clocks = int(store.memory.totals[CLOCKS])
            self._reserve_out(clocks, 0)
            store.reserve(0, 0, 0, clocks)
            ring_due(watermark_ms, self.plan.tables, store.memory, self._out)
        sweep(
            watermark_ms,
            self.plan.tables,
            store.memory,
            self._out,
            self._scratch,
        )
        self._host.check()
        self._swept_ms = watermark_ms

    def _make_room(self) -> None:
        """Double what may be short, for the key with the most runs."""
        store, options = self._store, self.plan.tables.options
        held = int(store.memory.keys[:, SLOT_RUNS].max(initial=0))
        more = held * int(options[FORKS]) + int(options[STARTS])
        store.reserve(more, held + more, 1, 1, 1)
        if len(self._scratch.line) < held + more:
            self._scratch = self._scratch._replace(line=np.zeros(2 * (held + more), np.int32))
        self._reserve_out(2 * held + more + 1, held + more, 1)

    def _reserve_out(self, matches: int, bound: int, resolved: int = 0) -> None:
        out, counts = self._out, self._out.counts[:3].tolist()
        sizes = len(out.at_ms), len(out.bound), len(out.resolved)
        wanted = [
            used + more for used, more in zip(counts, (matches, bound, resolved), strict=True)
        ]
        if all(size >= enough for size, enough in zip(sizes, wanted, strict=True)):
            return
        grown = _out(
            *(
                size if size >= enough else 2 * enough
                for size, enough in zip(sizes, wanted, strict=True)
            )
        )
        for old, new in zip(out, grown, strict=True):
            new[: len(old)] = old
        self._out = grown

    def _read(self) -> list[Found]:
        """Take what was found out of the kernel's buffer and let go of the evidence."""
        out = self._out
        for at_ms, position, key in out.resolved[: out.counts[2]].tolist():
            self.resolved.append(Resolved(at_ms, 0, position, self._number, key))
        out.counts[2] = 0
        count = int(out.counts[0])
        if not count:
            return []
        begin = np.zeros(count + 1, np.int64)
        steps = np.zeros(8 * count, np.int64)
        positions = np.zeros(8 * count, np.int64)
        size = read_matches(count, out, self._store.memory, begin, steps, positions)
        if size > len(steps):
            steps, positions = np.zeros(size, np.int64), np.zeros(size, np.int64)
            read_matches(count, out, self._store.memory, begin, steps, positions)
        out.counts[0] = 0
        rows, number = begin.tolist(), self._number
        bound_by, places = tuple(steps[:size].tolist()), tuple(positions[:size].tolist())
        at_ms, timer, keys = out.at_ms[:count], out.timer[:count], out.key[:count]
        by = out.by[:count].tolist()
        columns = at_ms.tolist(), timer.tolist(), by, keys.tolist(), rows[:-1], rows[1:]
        since = out.since[:count].tolist()
        return [
            Found(
                at_ms,
                timer,
                (places[end - 1] if timer else by) if begin < end else since[match],
                number,
                places[begin] if begin < end else since[match],
                places[begin:end],
                bound_by[begin:end],
                () if begin < end else tuple(map(str, self.keys.scalars(key))),
                key,
            )
            for match, (at_ms, timer, by, key, begin, end) in enumerate(zip(*columns, strict=True))
        ]

    # ------------------------------------------------------------------ state

    def changed(self) -> bool:
        """Whether the state differs from the last `dump`."""
        return bool(self._store.memory.totals[CHANGED])

    def dump(self, strings: Strings, evidence: Evidence) -> bytes:
        self._store.memory.totals[CHANGED] = 0
        raw = evidence.read(self.held())
        return dump(self.plan, self._store, self.keys, strings, raw)

    def restore(self, strings: Strings, data: bytes) -> dict[int, bytes]:
        self._store, raw = restore(self.plan, self.keys, strings, data)
        self._store.memory.totals[CHANGED] = 0
        return raw

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
            self._selection.null_keys,
            int(totals[CANCELLED]),
            int(totals[SKIPS_MISSED]),
            int(totals[FORGOTTEN]),
        )

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`."""
        totals = self._store.memory.totals
        places = (STARTED, MATCHED, EXPIRED, CAPPED)
        history = [int(totals[place]) for place in places]
        return (
            *history,
            self._selection.null_keys,
            int(totals[RUNS]),
            int(max(totals[KEYS], totals[CLOCKS])),
            self._store.bytes,
            int(totals[CANCELLED]),
            int(totals[SKIPS_MISSED]),
            int(totals[OPEN]),
        )


def _until(events: Ints, moment: Moment) -> NDArray[np.bool_]:
    """Which events come no later than `moment`."""
    ts = events[:, EVENT_TS]
    same = (ts == moment.ts) & (events[:, EVENT_POSITION] <= moment.position)
    until: NDArray[np.bool_] = (ts < moment.ts) | same
    return until


def _out(matches: int, bound: int, resolved: int = 16) -> Out:
    at_ms, timer, by, key, node, since = (np.zeros(matches, np.int64) for _ in range(6))
    return Out(
        at_ms,
        timer,
        by,
        key,
        node,
        since,
        np.zeros(bound, np.int64),
        np.zeros((resolved, 3), np.int64),
        np.zeros(4, np.int64),
    )
