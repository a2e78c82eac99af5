"""Two-step rules, `a: A -> b: B`, as a join of two streams within a window.

    matches = for each b, the first start a that is not used up, lies in the window and fits b

Most rules of most rule bases are of this form, and most partial matches of theirs come to nothing.
Here a partial match is an entry in `matcher.starts`, shared by all rules that begin alike, instead
of a run of its own in each; what the general automaton would do with it follows from the entry and
the place up to which the rule has used the key's starts up.  `pair_of` says which rules qualify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsl.model import Bind, Contiguity, Policy, Rule, Skip, Type
from dsl.model import Sequence as SequencePattern
from dsl.version import fingerprint
from matcher.batch import Batch
from matcher.bytecode import Action
from matcher.evidence import Evidence
from matcher.fitting import BatchFitting, Condition, Fitting
from matcher.keys import KeyCodec
from matcher.layout import is_text
from matcher.pair_pages import dump_starts, dump_used, restore_starts, restore_used, use
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
    USED_CHANGED,
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
)
from matcher.plan import Plan
from matcher.results import Found
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, grown_keys, new_keys
from matcher.schema import Schema
from matcher.starts import SEGMENTS_MAX, START_POSITION, START_TS, Starts
from matcher.strings import Strings
from matcher.tables import NO_LIMIT_MS, NO_PROGRAM

Ints = NDArray[np.int64]

VALUES_MAX = 8
"""Values kept with each start of a group; rules that need others make another group."""

PAGE_PREFIX = "starts/"
NO_POSITIONS = np.empty(0, np.int64)

ENTRIES_UNSWEPT = 4_096
"""Starts of silent keys are collected when these many more than twice those kept last time have
come together, or when time passes without events."""


@dataclass(frozen=True, slots=True)
class Value:
    """A derived column kept with starts; `name` is the same in every process."""

    derived: int
    name: str
    text: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """What of a plan `PairLane` needs.

    `tests` are (compare, derived column of the second event, value of the start); keys are the
    columns of a batch that hold their parts; `name` says what the starts are, in every process.
    """

    name: str
    first: Condition
    first_key: tuple[int, ...]
    second: Condition
    second_key: tuple[int, ...]
    tests: tuple[tuple[int, int, Value], ...]
    gap_from_ms: int
    window_ms: int
    steps: tuple[int, int]


def pair_of(plan: Plan, schema: Schema) -> Pair | None:
    """The plan as a pair, or None when the rule needs the automaton."""
    rule, tables = plan.rule, plan.tables
    pattern = rule.pattern
    if rule.skip is not Skip.PAST_LAST or rule.where is not None or len(rule.steps) != 2:
        return None
    if rule.policy != Policy():
        return None
    if not isinstance(pattern, SequencePattern) or len(pattern.links) != 1:
        return None
    first, link = pattern.first, pattern.links[0]
    if not isinstance(first, Bind) or not isinstance(link.to, Bind) or link.absent:
        return None
    if link.arrow.contiguity is not Contiguity.NEXT or (tables.program != NO_PROGRAM).any():
        return None
    a, b = first.step, link.to.step
    kept = tables.actions[tables.action_begin[a] : tables.action_begin[a + 1]]
    if tables.test_begin[a + 1] != tables.test_begin[a] or (kept[:, 0] != Action.STORE).any():
        return None
    limits = [ms for ms in (rule.within_ms, link.arrow.max_gap_ms) if ms is not None]
    conditions = [_condition(plan, step) for step in (a, b)]
    if not limits or None in conditions or len(kept) > VALUES_MAX:
        return None
    window_ms = min(limits)
    values = {int(register): _value(plan, column) for _, register, column, _ in kept}
    tests = tables.tests[tables.test_begin[b] : tables.test_begin[b + 1]].tolist()
    keys = [
        tuple(schema.column(rule.steps[step].event, path) for path in rule.steps[step].key)
        for step in (a, b)
    ]
    assert conditions[0] is not None and conditions[1] is not None
    return Pair(
        name=_name(rule, a, window_ms),
        first=conditions[0],
        first_key=keys[0],
        second=conditions[1],
        second_key=keys[1],
        tests=tuple(
            (compare, plan.columns[own], values[register]) for compare, own, register in tests
        ),
        gap_from_ms=link.arrow.min_gap_ms or 0,
        window_ms=window_ms,
        steps=(a, b),
    )


def _value(plan: Plan, column: int) -> Value:
    source = plan.layout.source(column)
    return Value(plan.columns[column], fingerprint(source), is_text(source.type))


def _name(rule: Rule, step: int, window_ms: int) -> str:
    first = rule.steps[step]
    seen = [symbol.condition for symbol in rule.alphabet if symbol.event == first.event]
    types = [key.type for key in rule.keys]
    return fingerprint(
        first.event, first.condition, first.key, tuple(types), tuple(seen), window_ms
    )


def _condition(plan: Plan, step: int) -> Condition | None:
    """What an event must satisfy to be bound to the step; None when the rule cannot see it."""
    for entry in plan.entries:
        for index, atoms in entry.steps:
            if index == step:
                return Condition(atoms, entry.visible)
    return None


class Group:
    """The starts of all pairs that begin alike, with the values that any of them compares."""

    def __init__(self, pair: Pair, codec: KeyCodec) -> None:
        self.name = pair.name
        self.page = f"{PAGE_PREFIX}{pair.name}"
        self.codec = codec
        self.window_ms = pair.window_ms
        self.values: list[Value] = []
        self.starts = Starts(0, self.window_ms)
        self.taken: Fitting | None = None
        self._first = pair.first
        self._key = pair.first_key
        self._swept_ms = -NO_LIMIT_MS
        self._kept = 0

    def join(self, pair: Pair) -> bool:
        """Make room for what the pair compares; False when that would be too much."""
        wanted = {value for _, _, value in pair.tests} - set(self.values)
        if len(self.values) + len(wanted) > VALUES_MAX:
            return False
        self.values += sorted(wanted, key=lambda value: value.name)
        self.starts = Starts(len(self.values), self.window_ms)
        return True

    def take(self, rows: BatchFitting, batch: Batch) -> None:
        """Take in the starts of a batch that is not empty."""
        taken = self.taken = rows.rows(self._first, self._key, self.codec)
        if len(taken.rows):
            values = taken.values(tuple(value.derived for value in self.values))
            oldest_ms = int(batch.ts[0]) - self.window_ms
            self.starts.append(taken.keys, taken.ts, taken.positions, values, oldest_ms)

    def pass_time(self, watermark_ms: int, idle: bool) -> None:
        """Let go of starts that no later event can reach, now and then."""
        entries = self.starts.entries
        if not entries or not (idle or entries > 2 * self._kept + ENTRIES_UNSWEPT):
            return
        if watermark_ms - self._swept_ms > self.window_ms // 2:
            self.starts.sweep(watermark_ms - self.window_ms)
            self._swept_ms, self._kept = watermark_ms, self.starts.entries

    def dump(self, strings: Strings, evidence: Evidence) -> bytes:
        self.starts.changed = False
        raw = evidence.read(self.held())
        return dump_starts(self.starts, self._named(), self.codec, strings, raw)

    def restore(self, strings: Strings, pages: Mapping[str, bytes]) -> dict[int, bytes]:
        """Take the starts of pages in; returns their bytes by position.  Raises PageMismatch.

        Which rules shared a group when the pages were written does not matter.
        """
        alike = [data for name, data in pages.items() if name.split("/")[1] == self.name and data]
        if not alike:
            return {}
        return restore_starts(self.starts, self._named(), self.codec, strings, alike)

    def changed(self) -> bool:
        return self.starts.changed

    def held(self) -> Ints:
        """Positions of all starts."""
        _, rows = self.starts.live()
        positions: Ints = rows[START_POSITION]
        return positions

    def _named(self) -> list[tuple[str, bool]]:
        return [(value.name, value.text) for value in self.values]

    def newly_held(self) -> Ints:
        """Positions of the events of the last batch that were taken in."""
        return NO_POSITIONS if self.taken is None else self.taken.positions


class Groups:
    """Finds or makes the group of each pair, before any event is seen."""

    def __init__(self) -> None:
        self.all: list[Group] = []
        self._alike: dict[object, list[Group]] = {}
        self._codecs: dict[tuple[Type, ...], KeyCodec] = {}

    def of(self, pair: Pair, types: tuple[Type, ...], strings: Strings) -> Group:
        if types not in self._codecs:
            self._codecs[types] = KeyCodec(types, strings)
        alike = self._alike.setdefault((pair.name, pair.first, pair.first_key), [])
        for group in alike:
            if group.join(pair):
                return group
        group = Group(pair, self._codecs[types])
        if alike:
            group.page += f"/{len(alike)}"
        group.join(pair)
        alike.append(group)
        self.all.append(group)
        return group


class PairLane:
    """One two-step rule in motion; see `matcher.lane.Lane` for the common parts."""

    def __init__(self, plan: Plan, pair: Pair, number: int, group: Group) -> None:
        self.plan = plan
        self.page = f"rule/{plan.rule.name}"
        self.keys = group.codec
        self.group = group
        self.pair = pair
        self._number = number
        self.used = Used(new_keys(16, USED_COLUMNS), np.zeros(USED_TOTALS, np.int64))
        self.appended_before = group.starts.appended
        self.refused_before = group.starts.refused
        self._out = np.zeros((64, FOUND_COLUMNS), np.int64)
        self._place = np.zeros((SEGMENTS_MAX, PLACES), np.int64)
        self._own = tuple(own for _, own, _ in pair.tests)
        self._null_keys = 0
        self._dumped = False

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
        seconds = Seconds(keys, ts, positions, values, values.view(np.float64), self.tests())
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
        return self._matches(found)

    def tests(self) -> Ints:
        """The tests as `Seconds` has them."""
        values = self.group.values
        tests = [(compare, values.index(value)) for compare, _, value in self.pair.tests]
        return np.array(tests, np.int64).reshape(-1, 2)

    def count_null_keys(self, rows: BatchFitting) -> None:
        """Count events that the rule cannot use for want of a key."""
        second = rows.rows(self.pair.second, self.pair.second_key, self.keys)
        self._null_keys += self._without_key(second)

    # ------------------------------------------------------------------ state

    def changed(self) -> bool:
        """Whether the state differs from the last `dump`; starts are the group's."""
        return not self._dumped or bool(self.used.totals[USED_CHANGED])

    def dump(self) -> bytes:
        self._dumped = True
        self.used.totals[USED_CHANGED] = 0
        pattern = self.plan.rule.pattern_version
        return dump_used(self.used, pattern, self.appended_before, self.refused_before, self.keys)

    def restore(self, data: bytes | None) -> None:
        """After the group's starts are back; without a page the rule begins now.

        Raises PageMismatch.
        """
        starts = self.group.starts
        if data:
            rule = self.plan.rule
            self.used, self.appended_before, self.refused_before = restore_used(
                self.used, rule.pattern_version, rule.name, self.keys, data
            )
            self._dumped = True
        else:
            keys, rows = starts.live()
            self.used = use(self.used, keys, rows[START_TS], rows[START_POSITION])
            self.appended_before, self.refused_before = starts.appended, starts.refused
        self.used.totals[USED_CHANGED] = 0

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`."""
        expired, capped, null_keys, *_ = self.losses()
        starts, used = self.group.starts, self.used.totals
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
        """As those of a `Lane`; nothing is cancelled or skipped to.

        A start ends matched, pruned by another's match, or expired; so the starts that are neither
        live nor any of the first two have expired.
        """
        starts, used = self.group.starts, self.used.totals
        count_used(starts.buffer, self.used)
        live = starts.entries - int(used[USED_STARTS])
        expired = self._started() - live - int(used[MATCHED]) - int(used[PRUNED])
        return expired, starts.refused - self.refused_before, self._null_keys, 0, 0, 0

    def _started(self) -> int:
        return self.group.starts.appended - self.appended_before - int(self.used.totals[UNSTARTED])

    def _live_keys(self) -> int:
        """How many keys have starts that are not used up."""
        keys, rows = self.group.starts.live()
        used = self.used.keys[self.used.keys[:, SLOT_HEAD] != NONE]
        used = used[np.argsort(used[:, SLOT_KEY])]
        if len(used):
            place = np.searchsorted(used[:, SLOT_KEY], keys).clip(max=len(used) - 1)
            last, mine = used[place], used[place, SLOT_KEY] == keys
            ts, position = rows[START_TS], rows[START_POSITION]
            gone = (ts < last[:, USED_TS]) | (
                (ts == last[:, USED_TS]) & (position <= last[:, USED_POSITION])
            )
            keys = keys[~(mine & gone)]
        return len(np.unique(keys))

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
