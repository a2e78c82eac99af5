"""The matcher of a partition: every rule's partial matches, moved forward batch by batch.

    state', matches = advance(state, batch, watermark)

Batches must arrive in order of (event time, position), each row at or before the watermark that
comes with it.  How the stream is cut into batches changes nothing, nor does a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Rule
from matcher.atoms import Atoms
from matcher.batch import Batch
from matcher.evidence import Evidence
from matcher.fitting import BatchFitting
from matcher.lane import Found, Lane
from matcher.pairs import PAGE_PREFIX, Groups, PairLane, pair_of
from matcher.plan import Plan, compile_rule
from matcher.programs import UnsupportedRule
from matcher.schema import Schema
from matcher.selection import BatchKeys
from matcher.strings import Strings

END_OF_TIME_MS = 2**62
LOSSES = ("expired", "capped", "unkeyed", "cancelled", "skips_missed")
"""Runs that ran out of time; starts and forks refused; events a rule could not use for want of a
key; runs ended by `cancel on`; matches that `skip past last` because their target was missing."""

SHARED_PREFIX = PAGE_PREFIX
"""What the names of pages begin with that belong to several rules."""


class Bound(NamedTuple):
    """An event of a match: the step it was bound to, its position, and its bytes as received."""

    step: int
    position: int
    raw: bytes


class Match(NamedTuple):
    """`key` in scalar form; `at_ms` the last event's time, or the deadline when `timer`.

    `steps`, `positions` and `raw` are columns of `events`, in binding order.
    """

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    steps: tuple[int, ...]
    positions: tuple[int, ...]
    raw: tuple[bytes, ...]

    @property
    def events(self) -> tuple[Bound, ...]:
        return tuple(map(Bound, self.steps, self.positions, self.raw))


class Resolution(NamedTuple):
    """The event at `position` says that what `rule` detected for `key` is over."""

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    position: int


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

    With `keep_raw=False` no event bytes are kept and `Bound.raw` is empty: for benchmarks and for
    callers that hold the events themselves.
    """

    def __init__(
        self, rules: Sequence[Rule], schema: Schema, strings: Strings, keep_raw: bool = True
    ) -> None:
        self._strings = strings
        self._atoms = Atoms(schema, strings)
        self._groups = Groups()
        self._lanes = [
            self._lane(self._plan(rule, schema, strings), number, schema)
            for number, rule in enumerate(rules)
        ]
        self._keep_raw = keep_raw
        self._evidence = Evidence(self._held)

    def _plan(self, rule: Rule, schema: Schema, strings: Strings) -> Plan:
        try:
            return compile_rule(rule, schema, self._atoms, strings)
        except UnsupportedRule as error:
            raise UnsupportedRule(f"rule {rule.name}: {error}") from None

    def _lane(self, plan: Plan, number: int, schema: Schema) -> Lane | PairLane:
        pair = pair_of(plan, schema)
        if pair is None:
            return Lane(plan, number, schema, self._strings)
        types = tuple(key.type for key in plan.rule.keys)
        return PairLane(plan, pair, number, self._groups.of(pair, types, self._strings))

    def advance(self, batch: Batch, watermark_ms: int) -> list[Match]:
        """Matches decided by these events and by time reaching `watermark_ms`, in order."""
        found: list[Found] = []
        held: list[NDArray[np.int64]] = []
        atoms = self._atoms.evaluate(batch) if len(batch) else None
        keyed = BatchKeys(batch)
        fitting = BatchFitting(keyed, atoms) if atoms is not None else None
        if fitting is not None:
            for group in self._groups.all:
                group.take(fitting, batch)
                held.append(group.newly_held())
        for lane in self._lanes:
            if isinstance(lane, Lane):
                found += lane.advance(keyed, atoms, watermark_ms)
                held.append(lane.newly_held())
            elif fitting is not None:
                found += lane.advance(fitting)
        for group in self._groups.all:
            group.pass_time(watermark_ms, idle=fitting is None)
        found.sort()
        matches = self._matches(batch, found)
        if self._keep_raw:
            self._evidence.hold(batch, held)
        return matches

    @property
    def resolutions(self) -> list[Resolution]:
        """What the last `advance` resolved, in order of (event time, position, rule)."""
        found = sorted(
            resolved for lane in self._lanes if isinstance(lane, Lane) for resolved in lane.resolved
        )
        return [
            Resolution(
                self._lanes[number].plan.rule,
                self._lanes[number].keys.scalars(key),
                at_ms,
                position,
            )
            for at_ms, position, number, key in found
        ]

    def snapshot(self) -> dict[str, bytes]:
        """Pages that changed since the last snapshot, by name; b"" when a page is gone."""
        pages = {
            group.page: group.dump(self._strings, self._evidence)
            for group in self._groups.all
            if group.changed()
        }
        for lane in self._lanes:
            if lane.changed():
                pages[lane.page] = (
                    lane.dump(self._strings, self._evidence)
                    if isinstance(lane, Lane)
                    else lane.dump()
                )
        return pages

    def restore(self, pages: Mapping[str, bytes]) -> list[str]:
        """Load the state that `snapshot` gave; rules without a page start empty.

        Returns the names of pages that belong to nothing here.  Raises PageMismatch when a page
        belongs to another version of its rule.
        """
        shared = {name: data for name, data in pages.items() if name.startswith(SHARED_PREFIX)}
        for group in self._groups.all:
            self._evidence.load(group.restore(self._strings, shared))
        for lane in self._lanes:
            data = pages.get(lane.page)
            if isinstance(lane, PairLane):
                lane.restore(data)
            elif data:
                self._evidence.load(lane.restore(self._strings, data))
        owners = {owner.page for owner in (*self._groups.all, *self._lanes)}
        return [name for name in pages if name not in owners]

    @property
    def counters(self) -> dict[str, Counters]:
        return {lane.plan.rule.name: Counters(*lane.counters()) for lane in self._lanes}

    @property
    def losses(self) -> dict[str, int]:
        """Of all rules; `LOSSES` says what is counted."""
        losses = zip((0,) * len(LOSSES), *(lane.losses() for lane in self._lanes), strict=True)
        return dict(zip(LOSSES, map(sum, losses), strict=True))

    def _matches(self, batch: Batch, found: list[Found]) -> list[Match]:
        """The matches with their rules, key scalars and event bytes."""
        raw = self._raw_of(batch, found)
        scalars = self._scalars_of(found)
        matches = []
        for at_ms, timer, _, number, _, positions, steps, _ in found:
            rule, key = self._lanes[number].plan.rule, next(scalars[number])
            lines = tuple(map(raw.__getitem__, positions))
            matches.append(Match(rule, key, at_ms, timer, steps, positions, lines))
        return matches

    def _scalars_of(self, found: list[Found]) -> dict[int, Iterator[tuple[object, ...]]]:
        """Of each rule the keys of its matches in scalar form, in the order of `found`."""
        keys: dict[int, list[int]] = {}
        for match in found:
            keys.setdefault(match.rule, []).append(match.key)
        return {rule: iter(self._lanes[rule].keys.all_scalars(keys[rule])) for rule in keys}

    def _raw_of(self, batch: Batch, found: list[Found]) -> dict[int, bytes]:
        """The bytes of all bound positions, from this batch or from what is held."""
        bound = [match.positions for match in found]
        positions = np.fromiter(chain.from_iterable(bound), np.int64, sum(map(len, bound)))
        if not self._keep_raw:
            return dict.fromkeys(positions.tolist(), b"")
        return self._evidence.read(positions, batch)

    def _held(self) -> NDArray[np.int64]:
        held = [lane.held() for lane in self._lanes if isinstance(lane, Lane)]
        held += [group.held() for group in self._groups.all]
        return np.concatenate([np.empty(0, np.int64), *held])
