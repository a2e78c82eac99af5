"""How far the partial matches of a rule got, and what kept each from going on.

    explored(rule, events, watermark_ms) = for each key, every partial match there ever was

The reference matcher is watched while it matches: what it does is what is told, with the rule's own
policy.  For each partial match there are the events it passed over, with the reason for each step
that could have come next, and what ended it.  Slow, and kept within `CANDIDATES_MAX` for a key: for
a failed test, or a question about one rule and a few keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from dsl.model import Arrow, Link, Rule
from matcher.derivative import Head, Item, ending, heads
from matcher.pattern_parts import events_needed
from matcher.reference import (
    END_OF_TIME_MS,
    ENDING,
    NEVER_MS,
    Bound,
    ReferenceEvent,
    Thread,
    due_ms,
    environment_of,
    fits,
    forbids,
    in_gap,
    key_of,
    last_ms,
    where_holds,
)
from matcher.reference_policy import Attempt, Findings, KeyRow, KeyRuns, Seen, keys_that_see
from matcher.unmet import Unmet, unmet

Key: TypeAlias = tuple[object, ...]
Positions: TypeAlias = tuple[tuple[int, int], ...]


class Why(Enum):
    """Why an event was not bound as a step."""

    OTHER_TYPE = "it is an event of another type"
    OTHER_KEY = "its key for this step is another"
    UNMET = "the step's condition is not true"
    TOO_SOON = "it came before the least gap was over"
    TOO_LATE = "it came after the greatest gap"
    PASSED_BY = "an event before it was already in the way"
    FORBIDDEN = "it is an event that must not occur"
    NOT_QUIET = "the silence before it was not over"
    BUSY = "another partial match was pending"
    GAVE_WAY = "it was taken for another step, or there was no room"


@dataclass(frozen=True, slots=True)
class Miss:
    """Why an event was not bound as `step`; `gap_ms` is since the last bound event, or silence."""

    step: int
    why: Why
    unmet: tuple[Unmet, ...] = ()
    gap_ms: int | None = None
    limit_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """An event that a partial match was offered and did not bind."""

    event: ReferenceEvent
    misses: tuple[Miss, ...]

    @property
    def tells(self) -> bool:
        """Whether the event is of a type that could have come next."""
        return any(miss.why is not Why.OTHER_TYPE for miss in self.misses)


class Ended(Enum):
    """What became of a partial match."""

    WAITING = "it still waits"
    WENT_ON = "it bound a further event"
    MATCHED = "it is a match"
    WITHIN = "`within` ran out"
    GAP = "the greatest gap to the next event ran out"
    FORBIDDEN = "an event came that must not occur"
    NOT_NEXT = "the very next event was another"
    ROW_GONE = "the row of its key went"
    CANCELLED = "an event of `cancel on` came"
    SKIPPED = "a match ended it"
    REPLACED = "a later start took its place"
    NO_ROOM = "the key had too many partial matches"
    SETTLED = "another way of the same start was preferred"


@dataclass(slots=True)
class Candidate:
    """A partial match: what it bound, what came and was not bound, and what ended it.

    `need` is the least number of events that it still needed.  `rejected` are the parts of `where`
    that were not true when the pattern was complete; `due_ms` is when an absence that it waits for
    holds.  `by` is the event that ended it, and `last` why it was not bound.
    """

    bound: Bound
    need: int
    next: tuple[int, ...]
    passed: list[Passed] = field(default_factory=list)
    passed_count: int = 0
    ended: Ended | None = None
    ended_ms: int | None = None
    by: ReferenceEvent | None = None
    absent: int | None = None
    rejected: tuple[Unmet, ...] = ()
    due_ms: int | None = None
    last: Passed | None = None

    @property
    def ts(self) -> int:
        return self.bound[-1][1].ts

    def order(self) -> tuple[object, ...]:
        """The nearest to a match is the greatest; of equals, one of which there is more to say."""
        return (bool(self.rejected), -self.need, len(self.bound), self.tells, self.ts)

    @property
    def tells(self) -> bool:
        """Whether an event or the time was in the way, or is awaited."""
        if self.ended in (None, Ended.WAITING, Ended.SETTLED):
            return self.due_ms is not None or any(passed.tells for passed in self.passed)
        return True


@dataclass(frozen=True, slots=True)
class Explored:
    """All of one key; `starts` are the events that began nothing, with the reasons.

    `silent_ms` is since when a silence counts, if the rule has one and the key is known; `gone_ms`
    when the row of the key went.
    """

    key: Key
    candidates: tuple[Candidate, ...]
    starts: tuple[Passed, ...]
    silent_ms: int | None = None
    left_out: int = 0
    gone_ms: int | None = None

    @property
    def nearest(self) -> Candidate | None:
        """The one that came nearest to a match without being one."""
        short = [each for each in self.candidates if each.ended is not Ended.MATCHED]
        tips = [each for each in short if each.ended is not Ended.WENT_ON or each.rejected]
        return max(tips or short, key=Candidate.order, default=None)


PASSED_MAX = 20
"""Events passed over that are kept with their reasons, for one partial match or the start."""

CANDIDATES_MAX = 1000
"""Partial matches of one key that are remembered; those that got furthest stay."""


def explored(
    rule: Rule,
    events: Iterable[ReferenceEvent],
    watermark_ms: int = END_OF_TIME_MS,
    only: Key | None = None,
    rows: Sequence[KeyRow] = (),
) -> list[Explored]:
    """What became of the keys of a rule of patterns (of `only` one), in the order they came.

    `events` must be sorted by (ts, position); `rows` are those that the rule takes its keys from.
    """
    found = Findings()
    keys: dict[Key, _Watched] = {}
    gone: list[_Watched] = []
    changes = [row for row in rows if only is None or row.key == only]
    for event in events:
        while changes and changes[0].place <= (event.ts, event.position):
            gone += _come_or_go(changes.pop(0), rule, keys, found)
        for key, seen in keys_that_see(rule, event):
            if only is None or key == only:
                if rule.key_table is None and key not in keys:
                    keys[key] = _Watched(rule, key, found)
                if key in keys:
                    keys[key].offer(seen, full=False)
    for change in changes:
        gone += _come_or_go(change, rule, keys, found)
    for runs in keys.values():
        runs.pass_time(watermark_ms)
        runs.drop_spent(watermark_ms)
    return [runs.told() for runs in (*gone, *keys.values())]


def _come_or_go(
    row: KeyRow, rule: Rule, keys: dict[Key, _Watched], found: Findings
) -> list[_Watched]:
    """A row makes its key known; returns the runs of the key when it goes."""
    if row.alive and row.key not in keys:
        keys[row.key] = _Watched(rule, row.key, found)
        keys[row.key].silent_since = (row.at_ms, -1)
    elif not row.alive and row.key in keys:
        runs = keys.pop(row.key)
        runs.go(row.at_ms)
        return [runs]
    return []


class _Watched(KeyRuns):
    """The runs of one key, remembered."""

    def __init__(self, rule: Rule, key: Key, found: Findings) -> None:
        super().__init__(rule, key, found)
        self.candidates: dict[Positions, Candidate] = {}
        self.starts: list[Passed] = []
        self.left_out = 0
        self.gone_ms: int | None = None
        self.tried: set[Positions] = set()  # what the event at hand has made of a run

    def told(self) -> Explored:
        alive = {_positions(t.bound) for attempt in self.attempts for t in attempt.threads}
        for positions, candidate in self.candidates.items():
            if candidate.ended is None:
                candidate.ended = Ended.WAITING if positions in alive else Ended.SETTLED
        silent_ms = None if self.silent_since is None else self.silent_since[0]
        remembered = tuple(self.candidates.values())
        starts = tuple(self.starts)
        return Explored(self.key, remembered, starts, silent_ms, self.left_out, self.gone_ms)

    def go(self, at_ms: int) -> None:
        """The row of the key is no more."""
        self.pass_time(at_ms)
        self.drop_spent(at_ms)
        self._all_end(self.attempts, Ended.ROW_GONE, at_ms, None)
        self.attempts = []
        self.gone_ms = at_ms

    # ---- what the reference does, with an eye on it

    def offer(self, seen: Seen, full: bool) -> None:
        self.pass_time(seen.event.ts)
        self.drop_spent(seen.event.ts)
        if seen.cancels:
            self._all_end(self.attempts, Ended.CANCELLED, seen.event.ts, seen.event)
        super().offer(seen, full)

    def drop_spent(self, ts: int) -> None:
        for attempt in self.attempts:
            for thread in attempt.threads:
                moment_ms = last_ms(self.rule, thread)
                if moment_ms < ts and not thread.final:
                    self._end(thread.bound, *self._ran_out(thread, moment_ms))
        super().drop_spent(ts)

    def _begin(self, event: ReferenceEvent) -> None:
        before = len(self.candidates) + self.left_out
        matches = len(self.found.matches)
        misses = self._misses_of_start(event)
        super()._begin(event)
        began = len(self.candidates) + self.left_out > before or len(self.found.matches) > matches
        if misses and not began:
            self.starts = [*self.starts, Passed(event, misses)][-PASSED_MAX:]

    def _move(self, attempt: Attempt, thread: Thread, event: ReferenceEvent) -> Thread | None:
        before = len(attempt.threads)
        misses = self._misses(thread, event)
        self.tried = set()
        completed = super()._move(attempt, thread, event)
        if not thread.bound:
            return completed
        here = _positions(thread.bound)
        kept = [_positions(each.bound) for each in attempt.threads[before:]]
        went_on = completed is not None or bool(self.tried - {here})
        candidate = self._candidate(thread)
        if here not in kept:
            self._end_by(thread, event, misses, went_on)
        elif not went_on:
            candidate.passed_count += 1
            candidate.passed = [*candidate.passed, Passed(event, misses)][-PASSED_MAX:]
        return completed

    def _keep(self, attempt: Attempt, thread: Thread) -> None:
        candidate = self._candidate(thread)
        self.tried.add(_positions(thread.bound))
        end = ending(thread.rest)
        if end is not None and not end.timed and not where_holds(self.rule, self.key, thread.bound):
            candidate.rejected = self._where(thread.bound)
        capped = self.found.capped
        super()._keep(attempt, thread)
        if self.found.capped > capped:
            self._end(thread.bound, Ended.NO_ROOM, candidate.ts)

    def _expire(self, attempt: Attempt, number: int, at_ms: int, *, timer: bool) -> None:
        thread = attempt.threads[number]
        if not where_holds(self.rule, self.key, thread.bound):
            self._candidate(thread).rejected = self._where(thread.bound)
        super()._expire(attempt, number, at_ms, timer=timer)

    def _report(self, bound: Bound, at_ms: int, *, timer: bool) -> None:
        others = [*self.attempts, *self.waiting]
        self._end(bound, Ended.MATCHED, at_ms)
        super()._report(bound, at_ms, timer=timer)
        left = {id(attempt) for attempt in (*self.attempts, *self.waiting)}
        gone = [attempt for attempt in others if id(attempt) not in left]
        self._all_end(gone, Ended.SKIPPED, at_ms, bound[-1][1])

    def _replace(self, at_ms: int) -> None:
        self._all_end(self.attempts, Ended.REPLACED, at_ms, None)
        super()._replace(at_ms)

    # ---- remembering

    def _candidate(self, thread: Thread) -> Candidate:
        positions = _positions(thread.bound)
        found = self.candidates.get(positions)
        if found is None:
            following = dict.fromkeys(head.step for head in heads(thread.rest))
            found = Candidate(thread.bound, events_needed(thread.rest), tuple(following))
            self.candidates[positions] = found
            if len(self.candidates) > 2 * CANDIDATES_MAX:
                self._forget()
        waits_ms = due_ms(self.rule, thread)
        if waits_ms is not None:
            found.due_ms = waits_ms
        return found

    def _forget(self) -> None:
        ranked = sorted(self.candidates.items(), key=lambda item: item[1].order(), reverse=True)
        self.left_out += len(ranked) - CANDIDATES_MAX
        self.candidates = dict(ranked[:CANDIDATES_MAX])

    def _end(
        self,
        bound: Bound,
        ended: Ended,
        at_ms: int,
        by: ReferenceEvent | None = None,
        absent: int | None = None,
    ) -> None:
        """The first end that is told of a partial match is what ended it; a match is a match."""
        candidate = self.candidates.get(_positions(bound))
        if candidate is None:
            candidate = Candidate(bound, 0, ())
            self.candidates[_positions(bound)] = candidate
        if candidate.ended is None or ended is Ended.MATCHED:
            candidate.ended, candidate.ended_ms = ended, at_ms
            candidate.by, candidate.absent = by, absent

    def _all_end(
        self, attempts: Iterable[Attempt], ended: Ended, at_ms: int, by: ReferenceEvent | None
    ) -> None:
        for attempt in attempts:
            for thread in attempt.threads:
                if not thread.final and thread.bound:
                    self._end(thread.bound, ended, at_ms, by)

    def _end_by(
        self, thread: Thread, event: ReferenceEvent, misses: tuple[Miss, ...], went_on: bool
    ) -> None:
        """A run is no more after `event`: it went on, or something in it was in the way."""
        if went_on:
            self._end(thread.bound, Ended.WENT_ON, event.ts, event)
            return
        candidate = self._candidate(thread)
        candidate.last = Passed(event, misses)
        forbidden = [miss.step for miss in misses if miss.why is Why.FORBIDDEN]
        if forbidden:
            self._end(thread.bound, Ended.FORBIDDEN, event.ts, event, forbidden[0])
        else:
            self._end(thread.bound, Ended.NOT_NEXT, event.ts, event)

    def _ran_out(self, thread: Thread, moment_ms: int) -> tuple[Ended, int]:
        if moment_ms == NEVER_MS:
            return Ended.SETTLED, thread.bound[-1][1].ts
        first_ms = thread.bound[0][1].ts
        within_ms = self.rule.within_ms
        if within_ms is not None and moment_ms == first_ms + within_ms:
            return Ended.WITHIN, moment_ms
        return Ended.GAP, moment_ms

    def _where(self, bound: Bound) -> tuple[Unmet, ...]:
        return unmet(self.rule.where, environment_of(None, bound, self.key))

    # ---- reasons

    def _misses_of_start(self, event: ReferenceEvent) -> tuple[Miss, ...]:
        if self.pattern is None:
            return ()
        whole = Thread((), (Item(Link(Arrow(), (), self.pattern)),))
        found = tuple(self._miss(whole, head, event) for head in heads(whole.rest))
        if all(miss is not None for miss in found):
            return _distinct(miss for miss in found if miss is not None)
        first = heads(whole.rest)[0].step
        if not self._quiet(event.ts):
            since = None if self.silent_since is None else event.ts - self.silent_since[0]
            least_ms = None if self.silence is None else self.silence.for_ms
            return (Miss(first, Why.NOT_QUIET, (), since, least_ms),)
        return (Miss(first, Why.BUSY),)

    def _misses(self, thread: Thread, event: ReferenceEvent) -> tuple[Miss, ...]:
        """Why `event` is none of the steps that may come next, most preferred first."""
        if not thread.bound:
            return ()
        found: list[Miss] = []
        for number, head in enumerate(heads(thread.rest)):
            blocked = number in thread.blocked
            miss = Miss(head.step, Why.PASSED_BY) if blocked else self._miss(thread, head, event)
            found.append(miss or Miss(head.step, Why.GAVE_WAY))
        end = ending(thread.rest)
        if end is not None and ENDING not in thread.blocked:
            found += [
                Miss(step, Why.FORBIDDEN)
                for step in end.absent
                if fits(self.rule, self.key, thread, step, event)
            ]
        return _distinct(found)

    def _miss(self, thread: Thread, head: Head, event: ReferenceEvent) -> Miss | None:
        """Why `event` cannot be bound by `head`; None if it can."""
        rule, key = self.rule, self.key
        step = rule.steps[head.step]
        for absence in head.absent if thread.bound else ():
            if forbids(rule, key, thread, absence, event):
                return Miss(absence.step, Why.FORBIDDEN)
        if step.event != event.event:
            return Miss(head.step, Why.OTHER_TYPE)
        if key_of(event, step.key) != key:
            return Miss(head.step, Why.OTHER_KEY)
        environment = environment_of(event, (*thread.bound, (head.step, event)), key)
        parts = unmet(step.condition, environment)
        if parts:
            return Miss(head.step, Why.UNMET, parts)
        if in_gap(head, thread, event):
            return None
        gap_ms = event.ts - thread.bound[-1][1].ts
        most_ms = head.arrow.max_gap_ms
        if most_ms is not None and gap_ms > most_ms:
            return Miss(head.step, Why.TOO_LATE, (), gap_ms, most_ms)
        waits = [absence.for_ms for absence in head.absent if absence.for_ms is not None]
        least_ms = max([head.arrow.min_gap_ms or 0, *waits])
        return Miss(head.step, Why.TOO_SOON, (), gap_ms, least_ms)


def _distinct(misses: Iterable[Miss]) -> tuple[Miss, ...]:
    return tuple({(miss.step, miss.why): miss for miss in misses}.values())


def _positions(bound: Bound) -> Positions:
    return tuple((step, event.position) for step, event in bound)
