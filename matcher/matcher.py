"""The matcher of a partition: every rule's partial matches, moved forward batch by batch.

    state', matches = advance(state, batch, watermark)

Batches must arrive in order of (event time, position), each row at or before the watermark that
comes with it.  How the stream is cut into batches changes nothing, nor does a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dsl.model import Aggregate, Expr, Path, Rule
from matcher import limits, places
from matcher.atoms import Atoms
from matcher.batch import Batch
from matcher.compact import CompactLane
from matcher.cycles import no_search_for_cycles
from matcher.derived import DerivedFields
from matcher.evidence import Evidence, by_class, class_of
from matcher.families import families
from matcher.fitting import BatchFitting
from matcher.lane import Lane, LaneBatch
from matcher.lookup.reference_data import ReferenceData
from matcher.lookup.table import Table
from matcher.moments import Moment
from matcher.page_data import PageData, all_made
from matcher.pair_plan import pair_of
from matcher.pairs import PairLane
from matcher.plan import Plan, compile_rule
from matcher.postings import Postings
from matcher.programs import UnsupportedRule
from matcher.results import Found, Results
from matcher.saved import NOTHING as NOTHING_SAVED
from matcher.saved import by_owner, owner_of
from matcher.schema import Schema, derived_in, outputs
from matcher.selection import BatchKeys
from matcher.shared_matches import shares_matches
from matcher.start_groups import KIND as STARTS
from matcher.start_groups import Group, Groups
from matcher.strings import Strings
from matcher.told import Told
from matcher.window_plan import compile_window
from matcher.windows import WindowLane
from matcher.windows_resolved import ResolvedWindowLane

T = TypeVar("T")

END_OF_TIME_MS = 2**62
LOSSES = ("expired", "capped", "unkeyed", "cancelled", "skips_missed", "forgotten")
"""Runs that ran out of time; starts and forks refused; events a rule could not use for want of a
key; runs ended by `cancel on` or with the row of their key; matches that `skip past last` because
their target was missing; open keys forgotten because there were too many."""

NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Bound(NamedTuple):
    """An event of a match: the step it was bound to, its position, and its bytes as received.

    A derived event has no position (-1), and `origin` says what made it.
    """

    step: int
    position: int
    raw: bytes
    origin: str = ""


class Match(NamedTuple):
    """`key` in scalar form; `at_ms` the last event's time, or the deadline when `timer`.

    `phase` and `by` are those of `Found`: what decided the match, and where.  `steps`, `positions`
    and `raw` are columns of `events`, in binding order.  If not empty, so are `derived`, the facts
    that the rule's output tells, `origins`, where there are derived events, and `as_of`, the log
    positions whose rows the events see, where those are not their own.  `values` has the aggregates
    over a window that the output tells.
    """

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    phase: int
    by: int
    steps: tuple[int, ...]
    positions: tuple[int, ...]
    raw: tuple[bytes, ...]
    derived: tuple[Mapping[Path, object], ...] = ()
    values: Mapping[Aggregate, object] = NOTHING
    origins: tuple[str, ...] = ()
    as_of: tuple[int, ...] = ()

    @property
    def timer(self) -> bool:
        """Whether time decided it."""
        return self.phase != 0

    def at(self, by: int, positions: tuple[int, ...]) -> Match:
        """The same match, at other numbers."""
        rule, key, at_ms, phase, _, steps, _, *rest = self
        return tuple.__new__(Match, (rule, key, at_ms, phase, by, steps, positions, *rest))

    @property
    def events(self) -> tuple[Bound, ...]:
        origins = self.origins or ("",) * len(self.steps)
        return tuple(map(Bound, self.steps, self.positions, self.raw, origins))


_as_match: Callable[[Iterable[Any]], Match] = partial(tuple.__new__, Match)
"""`Match._make` without its check: there are many matches."""


class Resolution(NamedTuple):
    """The event at `position` says that what `rule` detected for `key` is over.

    Of a derived event, `origin` says what made it; its position is that of the record behind it, or
    -1 when there is none.  With a `phase` other than 0 time says so, before (-1) or after (1) the
    events of `at_ms`, and the event is the newest that was in the window.
    """

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    position: int
    origin: str = ""
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one rule since it was first deployed, except `runs`, `keys`, `state_bytes`, `open`: now.

    `open` are the keys with a match that has not been resolved, for rules that remember them.
    """

    started: int
    matched: int
    expired: int
    capped: int
    null_keys: int
    runs: int
    keys: int
    state_bytes: int
    cancelled: int = 0
    skips_missed: int = 0
    open: int = 0


class Matcher:
    """All rules over one partition; not thread safe.

    `rows` is the number of events it has been given.  It decides when the state of a rule is
    measured, so whoever restores a snapshot sets it as well.

    With `keep_raw=False` no event bytes are kept and `Bound.raw` is empty: for benchmarks and for
    callers that hold the events themselves.  `also`, by rule, are further expressions that will be
    evaluated over its matches; the schema must have been made with them.  With `at_places` the
    positions it is given are places of records (`matcher.places`), and its matches tell records.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        schema: Schema,
        strings: Strings,
        keep_raw: bool = True,
        also: Mapping[str, Sequence[Expr]] = NOTHING,
        tables: ReferenceData | None = None,
        at_places: bool = False,
    ) -> None:
        self._strings = strings
        self._atoms = Atoms(schema, strings, tables)
        self._groups = Groups()
        self._postings = Postings()
        self._results = Results()
        self._derived = DerivedFields(schema, self._atoms, strings)
        self._lanes = [
            self._lane(rule, number, schema, also.get(rule.name, ()))
            for number, rule in enumerate(rules)
        ]
        told = {field for rule in rules for field in _told(rule, also.get(rule.name, ()))}
        self._families = families(lane for lane in self._lanes if isinstance(lane, PairLane))
        spans = [holder.span_ms for holder in self._holders]
        self._told = Told(sorted(told), schema, strings, spans, self._held_without_end)
        self._evidence = Evidence(spans, self._held_without_end)
        self.rows = 0
        self.uncounted: Collection[str] = ()
        self._watermark_ms = -END_OF_TIME_MS
        self._keep_raw = keep_raw
        self._at_places = at_places

    def _plan(self, rule: Rule, schema: Schema, strings: Strings) -> Plan:
        try:
            return compile_rule(rule, schema, self._atoms, strings)
        except UnsupportedRule as error:
            raise UnsupportedRule(f"rule {rule.name}: {error}") from None

    def _lane(
        self, rule: Rule, number: int, schema: Schema, also: Sequence[Expr]
    ) -> Lane | PairLane | WindowLane | CompactLane:
        if rule.window is not None:
            windows = compile_window(rule, schema, self._atoms, self._strings, also)
            lane = ResolvedWindowLane if windows.resolves else WindowLane
            return lane(windows, number, schema, self._strings)
        plan = self._plan(rule, schema, self._strings)
        if shares_matches(rule):
            return CompactLane(plan, number, schema, self._strings)
        pair = pair_of(plan, schema)
        if pair is None:
            return Lane(plan, number, schema, self._strings, self._postings, self._results)
        types = tuple(key.type for key in plan.rule.keys)
        group = self._groups.of(pair, types, self._strings)
        return PairLane(plan, pair, number, group, self._strings)

    @no_search_for_cycles()
    def advance(self, batch: Batch, watermark_ms: int) -> list[Match]:
        """Matches decided by these events and by time reaching `watermark_ms`, in order."""
        self._watermark_ms = watermark_ms
        found: list[Found] = []
        held: list[tuple[int, NDArray[np.int64]]] = []
        batch = self._derived.extended(batch)
        atoms = self._atoms.evaluate(batch) if len(batch) else None
        if atoms is not None:
            self._derived.compute(batch, atoms, watermark_ms)
        keyed = BatchKeys(batch)
        fitting = BatchFitting(keyed, atoms) if atoms is not None else None
        censuses = self._censuses(batch)
        if fitting is not None:
            for group in self._groups.all:
                group.take(fitting, batch, censuses)
                held.append((class_of(group.span_ms), group.newly_held()))
            for family in self._families:
                found += family.advance(fitting)
        seen = None if atoms is None else LaneBatch(self._postings, keyed, atoms)
        for lane in self._lanes:
            if isinstance(lane, Lane):
                if lane.concerns(seen):
                    found += lane.advance(seen, watermark_ms, censuses)
                    held.append((class_of(lane.span_ms), lane.newly_held()))
            elif isinstance(lane, WindowLane | CompactLane):
                found += lane.advance(keyed, atoms, watermark_ms)
                held.append((class_of(lane.span_ms), lane.newly_held()))
        for group in self._groups.all:
            group.pass_time(watermark_ms, idle=fitting is None)
        for lane in self._lanes:
            if isinstance(lane, PairLane):
                lane.settle()
        found.sort()
        matches = self._matches(batch, found)
        if fitting is not None and (self._keep_raw or self._told):
            self._keep(batch, by_class(held))
        self._evidence.pass_time(watermark_ms)
        self._told.pass_time(watermark_ms)
        for lane in self._lanes:
            if isinstance(lane, Lane):
                lane.settle()
        return matches

    def _keep(self, batch: Batch, held: Mapping[int, NDArray[np.int64]]) -> None:
        """Keep what will be asked for of the events that something has bound."""
        if self._keep_raw:
            self._evidence.hold(batch, held)
        if self._told:
            self._told.keep(batch, held)

    @property
    def _holders(self) -> list[Group | Lane | WindowLane | CompactLane]:
        """Everything that binds events."""
        lanes = [lane for lane in self._lanes if not isinstance(lane, PairLane)]
        return [*self._groups.all, *lanes]

    def _held_without_end(self) -> NDArray[np.int64]:
        """Positions of events held by what has no span."""
        return _positions(each.held() for each in self._holders if each.span_ms is None)

    def _censuses(self, batch: Batch) -> list[Moment]:
        """The rows of the batch after which the state of rules is measured."""
        first = limits.CENSUS_ROWS - self.rows % limits.CENSUS_ROWS - 1
        self.rows += len(batch)
        return [
            Moment(int(batch.ts[row]), int(batch.position[row]))
            for row in range(first, len(batch), limits.CENSUS_ROWS)
        ]

    @property
    def resolutions(self) -> list[Resolution]:
        """What the last `advance` resolved, by (event time, phase, position, rule, key)."""
        lanes = (lane for lane in self._lanes if isinstance(lane, Lane | WindowLane))
        found = []
        for at_ms, phase, position, number, key in (each for at in lanes for each in at.resolved):
            lane = self._lanes[number]
            scalars = lane.keys.scalars(key)
            over = Resolution(lane.plan.rule, scalars, at_ms, position, phase=phase)
            found.append(((at_ms, phase, position, number, tuple(map(str, scalars))), over))
        return [over for _, over in sorted(found, key=itemgetter(0))]

    def follow(self, table: Table, at_ms: int, first: int | None = None) -> None:
        """From `at_ms` on, the keys of rules that take them from `table` are those of its rows.

        With `first`, only what one change wrote from that version on is looked at.  Call it between
        batches, at the same place of the log each time, with the watermark.
        """
        for lane in self._lanes:
            if isinstance(lane, Lane) and lane.plan.rule.key_table == table.declared.name:
                lane.follow(table, first, at_ms)

    def let_go(self) -> None:
        """End what time has passed and nobody has looked at since, so that it is counted.

        Changes no match; partial matches of rules with `matches all` aside, what is left is live.
        """
        for group in self._groups.all:
            group.sweep(self._watermark_ms)
        for lane in self._lanes:
            if isinstance(lane, Lane):
                lane.let_go(self._watermark_ms)
            elif isinstance(lane, PairLane):
                lane.settle()

    def lane_of(self, rule: str) -> Lane | PairLane | WindowLane | CompactLane:
        """The state of one rule; raises KeyError."""
        return {lane.plan.rule.name: lane for lane in self._lanes}[rule]

    def snapshot(self) -> dict[str, bytes]:
        """Pages that changed since the last snapshot, by name; b"" when a page is gone."""
        return all_made(self.freeze())

    def freeze(self) -> dict[str, PageData]:
        """`snapshot`, of which most bytes are still to be made; what comes later changes none."""
        pages: dict[str, PageData] = {}
        for group in self._groups.all:
            pages |= group.snapshot(self._strings, self._watermark_ms)
        for lane in self._lanes:
            pages |= lane.snapshot(self._watermark_ms)
        pages |= self._derived.snapshot(self._watermark_ms)
        return pages | self._evidence.snapshot() | self._told.snapshot()

    def restore(
        self, pages: Mapping[str, bytes], elsewhere: Sequence[Mapping[str, bytes]] = ()
    ) -> list[str]:
        """Load the state that snapshots gave, of which `pages` are all; rules without start empty.

        What rules share is looked for in the pages of `elsewhere`, too, and then belongs to the
        next snapshot.  Returns the names of pages that belong to nothing here.  Raises PageMismatch
        when a page belongs to another version of its rule.
        """
        own, others = by_owner(pages), [by_owner(each) for each in elsewhere]
        starts = {owner: saved for owner, saved in own.items() if owner.startswith(STARTS)}
        for number, other in enumerate(others):
            starts |= {f"{o}@{number}": saved for o, saved in other.items() if o.startswith(STARTS)}
        for group in self._groups.all:
            group.restore(self._strings, starts)
        for lane in self._lanes:
            lane.restore(own.get(lane.owner, NOTHING_SAVED))
        self._derived.restore(own, others)
        self._evidence.restore(own, others)
        self._told.restore(own, others)
        owners = {owner.owner for owner in (*self._groups.all, *self._lanes)}
        owners.update(self._derived.owners, self._evidence.owners, self._told.owners)
        return [name for name in pages if owner_of(name) not in owners]

    @property
    def counters(self) -> dict[str, Counters]:
        return {lane.plan.rule.name: Counters(*lane.counters()) for lane in self._lanes}

    @property
    def spans(self) -> dict[str, int | None]:
        """For how long (ms) a partial match of each rule may go on; None: for ever."""
        holders = ((at, at.group if isinstance(at, PairLane) else at) for at in self._lanes)
        return {lane.plan.rule.name: holder.span_ms for lane, holder in holders}

    @property
    def losses(self) -> dict[str, int]:
        """Of all rules that are not `uncounted`; `LOSSES` says what is counted."""
        counted = [lane for lane in self._lanes if lane.plan.rule.name not in self.uncounted]
        losses = zip((0,) * len(LOSSES), *(lane.losses() for lane in counted), strict=True)
        return dict(zip(LOSSES, map(sum, losses), strict=True))

    @property
    def capped(self) -> dict[str, int]:
        """How many partial matches each rule was refused; of rules that are not `uncounted`."""
        place = LOSSES.index("capped")
        refused = {lane.plan.rule.name: lane.losses()[place] for lane in self._lanes}
        return {name: n for name, n in refused.items() if n and name not in self.uncounted}

    def _matches(self, batch: Batch, found: list[Found]) -> list[Match]:
        """The matches with their rules, key scalars and event bytes."""
        if not found:
            return []
        at_ms, phases, by, numbers, _, bound, steps, _, keys, values = zip(*found, strict=True)
        sizes = list(map(len, bound))
        flat = np.fromiter(chain.from_iterable(bound), np.int64, sum(sizes))
        raw, told = self._raw_of(flat, batch), self._told.read(flat, batch) if self._told else {}
        positions = flat.tolist()
        lines = _cut(map(raw.__getitem__, positions), sizes)
        facts: Iterable[tuple[Mapping[Path, object], ...]] = repeat(())
        if told:
            facts = _cut((told.get(at, NOTHING) for at in positions), sizes)
        if self._at_places:
            by = tuple(places.records_of(np.array(by)).tolist())
            bound = tuple(_cut(places.records_of(flat).tolist(), sizes))
        rules = [self._lanes[number].plan.rule for number in numbers]
        scalars = self._scalars(numbers, keys)
        told_values = [NOTHING if each is None else each for each in values]
        columns = (rules, scalars, at_ms, phases, by, steps, bound, lines, facts, told_values)
        rest = repeat(()), repeat(())  # neither origins nor positions to look up as of
        return list(map(_as_match, zip(*columns, *rest, strict=False)))

    def _scalars(self, numbers: Iterable[int], keys: Iterable[int]) -> list[tuple[object, ...]]:
        """The scalars of keys of lanes; those of one key are made once."""
        whose = list(zip(numbers, keys, strict=True))
        known = {each: self._lanes[each[0]].keys.scalars(each[1]) for each in set(whose)}
        return list(map(known.__getitem__, whose))

    def _raw_of(self, positions: NDArray[np.int64], batch: Batch) -> dict[int, bytes]:
        """The bytes of events, from this batch or from what is held."""
        if not self._keep_raw:
            return dict.fromkeys(positions.tolist(), b"")
        return self._evidence.read(positions, batch)

    def lines(self, positions: NDArray[np.int64]) -> dict[int, bytes]:
        """The bytes of events that partial matches hold, by position."""
        return self._evidence.read(positions)

    @property
    def oldest_looked_up(self) -> int | None:
        """The least position as of which the condition of a window may still look rows up."""
        lanes = (lane for lane in self._lanes if isinstance(lane, WindowLane))
        found = [at for lane in lanes if (at := lane.oldest_looked_up) is not None]
        return min(found, default=None)

    def held(self) -> NDArray[np.int64]:
        """Positions of the events that partial matches hold."""
        return _positions(each.held() for each in self._holders)


def _positions(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _cut(items: Iterable[T], sizes: Sequence[int]) -> list[tuple[T, ...]]:
    """Consecutive tuples of these sizes."""
    rest, size = iter(items), sizes[0]
    if size and sizes.count(size) == len(sizes):
        return list(zip(*[rest] * size, strict=True))
    return [tuple(islice(rest, size)) for size in sizes]


def _told(rule: Rule, also: Sequence[Expr]) -> set[tuple[str, Path]]:
    """(event type, path) of the derived fields that a rule's output tells."""
    told = (field for expr in (*outputs(rule), *also) for field in derived_in(expr, "", rule))
    return {(event, field.path) for event, field in told}
