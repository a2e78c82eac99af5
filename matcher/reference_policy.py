"""The reference matcher of a whole rule: which runs start, survive and are reported.

    reference_findings(rule, events, watermark_ms) = what is decided by then, in canonical order

For each key, every event is offered to all runs in order of (start, preference), as the rule's
policy says; what one run does with an event is in `matcher.reference`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from dsl.model import Arrow, Contiguity, Expr, Fire, Link, Rule, Runs, Skip, Symbol
from matcher.evaluate import Environment, evaluate
from matcher.limits import RUNS_PER_KEY_MAX
from matcher.reference import (
    END_OF_TIME_MS,
    ENDING,
    FINISH,
    NEVER_MS,
    Bound,
    Item,
    ReferenceEvent,
    ReferenceMatch,
    Thread,
    due_ms,
    ending,
    fits,
    heads,
    in_gap,
    key_of,
    last_ms,
    where_holds,
)


@dataclass(frozen=True, slots=True)
class ReferenceResolution:
    """The event at `position` says that what was detected for `key` is over."""

    key: tuple[object, ...]
    at_ms: int
    position: int


@dataclass(slots=True)
class Findings:
    """What a rule finds; `capped`, `cancelled` and `skips_missed` count as `Counters` do."""

    matches: list[ReferenceMatch] = field(default_factory=list)
    resolutions: list[ReferenceResolution] = field(default_factory=list)
    capped: int = 0
    cancelled: int = 0
    skips_missed: int = 0


def reference_matches(
    rule: Rule, events: Sequence[ReferenceEvent], watermark_ms: int = END_OF_TIME_MS
) -> list[ReferenceMatch]:
    """All matches of `rule` over `events`, which must be sorted by (ts, position)."""
    return reference_findings(rule, events, watermark_ms).matches


def reference_findings(
    rule: Rule, events: Sequence[ReferenceEvent], watermark_ms: int = END_OF_TIME_MS
) -> Findings:
    """`reference_matches`, with the resolutions and counters."""
    found = Findings()
    for key, seen in _by_key(rule, events).items():
        runs = _KeyRuns(rule, key, found)
        for event in seen:
            runs.offer(event)
        runs.pass_time(watermark_ms)
    found.matches.sort(key=ReferenceMatch.order)
    found.resolutions.sort(key=lambda each: (each.at_ms, each.position))
    return found


# --------------------------------------------------------------------------- what a rule sees


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as one key sees it: whether it is in the alphabet, cancels, resolves."""

    event: ReferenceEvent
    visible: bool
    cancels: bool
    resolves: bool


def _by_key(
    rule: Rule, events: Sequence[ReferenceEvent]
) -> Mapping[tuple[object, ...], list[Seen]]:
    split: dict[tuple[object, ...], list[Seen]] = {}
    for event in events:
        places = [step.key for step in rule.steps if step.event == event.event]
        places += [symbol.key for symbol in rule.alphabet if symbol.event == event.event]
        visible: set[tuple[object, ...]] = set()
        if _among(rule.alphabet, event):
            visible = {key_of(event, paths) for paths in places}
        cancels = _keys_among(rule.policy.cancel, event)
        resolves = _keys_among(rule.policy.resolve, event)
        for key in visible | cancels | resolves:
            if None not in key:
                seen = Seen(event, key in visible, key in cancels, key in resolves)
                split.setdefault(key, []).append(seen)
    return split


def _among(symbols: Sequence[Symbol], event: ReferenceEvent) -> bool:
    return bool(_keys_among(symbols, event))


def _keys_among(symbols: Sequence[Symbol], event: ReferenceEvent) -> set[tuple[object, ...]]:
    return {
        key_of(event, symbol.key)
        for symbol in symbols
        if symbol.event == event.event and _holds(symbol.condition, event)
    }


def _holds(condition: Expr | None, event: ReferenceEvent) -> bool:
    return condition is None or evaluate(condition, Environment(event.record, {}, ())) is True


# --------------------------------------------------------------------------- the runs of one key


@dataclass(slots=True, eq=False)
class Attempt:
    """The runs of one start, most preferred first."""

    start: ReferenceEvent
    threads: list[Thread]

    @property
    def pending(self) -> int:
        return sum(not thread.final for thread in self.threads)


Place: TypeAlias = tuple[int, int]  # event time, position
EVERYTHING: Place = (END_OF_TIME_MS, 0)
NOTHING: Place = (NEVER_MS, 0)


def _place(event: ReferenceEvent) -> Place:
    return event.ts, event.position


class _KeyRuns:
    """All runs of one key, and what the rule's policy makes of them.

    `room` is how many more runs the key may have; `open` says that something was detected and has
    not been resolved since.
    """

    def __init__(self, rule: Rule, key: tuple[object, ...], found: Findings) -> None:
        self.rule = rule
        self.policy = rule.policy
        self.key = key
        self.found = found
        self.attempts: list[Attempt] = []
        self.waiting: list[Attempt] = []  # those to which the event has not been offered yet
        self.open = False
        self.runs_max = rule.policy.runs_max or RUNS_PER_KEY_MAX
        self.room = self.runs_max
        self.horizon = NOTHING
        self.event: ReferenceEvent | None = None  # the one being offered

    # ---- an event

    def offer(self, seen: Seen) -> None:
        event = self.event = seen.event
        self.pass_time(event.ts)
        self._drop_spent(event.ts)
        if seen.cancels:
            self.found.cancelled += sum(attempt.pending for attempt in self.attempts)
            self.attempts = []
        if seen.resolves and self.open:
            self.open = False
            self.found.resolutions.append(ReferenceResolution(self.key, *_place(event)))
        if seen.visible and not (self.open and self.policy.fire is Fire.ONCE):
            self._event(event)

    def _drop_spent(self, ts: int) -> None:
        """Let go of runs that can do nothing any more at `ts`."""
        for attempt in self.attempts:
            attempt.threads = [
                thread
                for thread in attempt.threads
                if thread.final or last_ms(self.rule, thread) >= ts
            ]
        self.attempts = [attempt for attempt in self.attempts if attempt.threads]

    def _event(self, event: ReferenceEvent) -> None:
        self.room = self.runs_max - sum(attempt.pending for attempt in self.attempts)
        self.horizon = NOTHING
        self.waiting, self.attempts = self.attempts, []
        while self.waiting:
            self._advance(self.waiting.pop(0), event)
        if _place(event) > self.horizon:
            self._begin(event)

    def _advance(self, attempt: Attempt, event: ReferenceEvent) -> None:
        """Offer the event to the runs of one start; they go on or are reported."""
        before, attempt.threads = attempt.threads, []
        for number, thread in enumerate(before):
            if thread.final:
                attempt.threads.append(thread)
                continue
            self.room += 1
            completed = self._move(attempt, thread, event)
            if completed is not None:
                self.room += sum(not other.final for other in before[number + 1 :])
                self._complete(attempt, completed, event.ts, timer=False)
                break
        self._finish(attempt, event.ts, timer=False)
        if attempt.threads:
            self.attempts.append(attempt)

    def _begin(self, event: ReferenceEvent) -> None:
        """Let the event start runs, if it fits and the policy agrees."""
        whole = Thread((), (Item(Link(Arrow(), (), self.rule.pattern)),))
        if not any(
            fits(self.rule, self.key, whole, head.step, event) for head in heads(whole.rest)
        ):
            return
        if self.policy.runs is Runs.FIRST and self.attempts:
            return
        if self.policy.runs is Runs.LATEST:
            threads = [thread for attempt in self.attempts for thread in attempt.threads]
            if any(thread.bound[-1][1] is event for thread in threads):
                return
            self._replace(event.ts)
        self.room -= 1  # the start itself, which `_advance` counts as one of the runs
        self._advance(Attempt(event, [whole]), event)

    def _replace(self, at_ms: int) -> None:
        """A later start takes the place of all runs; they can grow no more."""
        replaced, self.attempts = self.attempts, []
        for attempt in replaced:
            attempt.threads = [thread for thread in attempt.threads if thread.final]
            self._finish(attempt, at_ms, timer=False)
        self.room = self.runs_max

    # ---- one run

    def _move(self, attempt: Attempt, thread: Thread, event: ReferenceEvent) -> Thread | None:
        """Offer `event` to one run: it becomes some of `attempt.threads`, or completes."""
        rule, key = self.rule, self.key
        possible = heads(thread.rest)
        blocked = set(thread.blocked)
        if thread.bound:
            for number, head in enumerate(possible):
                if any(fits(rule, key, thread, step, event) for step in head.absent):
                    blocked.add(number)
            end = ending(thread.rest)
            if end is not None and any(fits(rule, key, thread, step, event) for step in end.absent):
                blocked.add(ENDING)
        taken = [
            head
            for number, head in enumerate(possible)
            if number not in blocked
            and in_gap(head.arrow, thread, event)
            and fits(rule, key, thread, head.step, event)
        ]
        strict = Contiguity.STRICT
        blocked |= {n for n, head in enumerate(possible) if head.arrow.contiguity is strict}
        stay = Thread(thread.bound, thread.rest, frozenset(blocked))
        accepted = rejected = False
        for head in taken:
            child = Thread((*thread.bound, (head.step, event)), head.rest)
            end = ending(child.rest)
            if end is None or end.timed:
                self._keep(attempt, child)
            elif not where_holds(rule, key, child.bound):
                rejected = True
                self._keep(attempt, child)
            elif self.policy.every:
                accepted = True
                self._report(child.bound, event.ts, timer=False)
                self._keep(attempt, child)
            else:
                return child
        loops = any(head.again for head in possible) and not any(head.again for head in taken)
        forks = all(head.arrow.contiguity is Contiguity.ANY for head in taken)
        if thread.bound and (forks or (loops and rejected and not accepted)):
            self._keep(attempt, stay)
        return None

    def _keep(self, attempt: Attempt, thread: Thread) -> None:
        """Let the run go on, if it can and there is room for it."""
        if last_ms(self.rule, thread) == NEVER_MS:
            return
        if self.room <= 0:
            self.found.capped += 1
            return
        self.room -= 1
        attempt.threads.append(thread)

    # ---- matches

    def _complete(self, attempt: Attempt, thread: Thread, at_ms: int, *, timer: bool) -> None:
        """`thread` is the first of its start to complete: what becomes of the start."""
        fire = self.policy.fire
        if fire is Fire.CLOSE:
            names = [head.step for head in heads((*thread.rest, FINISH))]
            less = frozenset(range(names.index(ENDING), len(names)))
            self._keep(attempt, replace(thread, blocked=less))
            attempt.threads.append(replace(thread, final=True))
            return
        self.room += attempt.pending
        attempt.threads = []
        if fire is Fire.EACH:
            self._keep(attempt, thread)
        self._report(thread.bound, at_ms, timer=timer)

    def _finish(self, attempt: Attempt, at_ms: int, *, timer: bool) -> None:
        """Report a final candidate that no run is preferred to any more."""
        if attempt.threads and attempt.threads[0].final:
            bound = attempt.threads[0].bound
            self.room += attempt.pending
            attempt.threads = []
            self._report(bound, at_ms, timer=timer)

    def _report(self, bound: Bound, at_ms: int, *, timer: bool) -> None:
        by = self.event if self.event is not None and not timer else bound[-1][1]
        self.found.matches.append(ReferenceMatch(self.rule, self.key, at_ms, timer, bound, by))
        self.open = bool(self.policy.resolve) or self.policy.fire is Fire.ONCE
        horizon = self._skip_to(bound, at_ms, timer)
        self.horizon = max(self.horizon, horizon)
        for line in (self.attempts, self.waiting):
            for attempt in [each for each in line if _place(each.start) <= horizon]:
                self.room += attempt.pending
                line.remove(attempt)

    def _skip_to(self, bound: Bound, at_ms: int, timer: bool) -> Place:
        """The last place at which a start is ended by this match."""
        if self.policy.fire is Fire.ONCE:
            return EVERYTHING
        if self.rule.skip is Skip.NONE:
            return NOTHING
        if self.rule.skip is not Skip.PAST_LAST:
            steps = [event for step, event in bound if step == self.policy.skip_to]
            target = steps[0 if self.rule.skip is Skip.FIRST else -1] if steps else None
            if target is not None and target is not bound[0][1]:
                return target.ts, target.position - 1
            self.found.skips_missed += 1
        if timer and self.policy.fire is not Fire.CLOSE:
            return at_ms, END_OF_TIME_MS
        return _place(bound[-1][1])

    # ---- time

    def pass_time(self, before_ms: int) -> None:
        """Decide what is due before `before_ms`, earliest first, then by start and preference."""
        self.horizon = NOTHING
        while True:
            due = [
                (at_ms, place, number)
                for place, attempt in enumerate(self.attempts)
                for at_ms, number in self._due(attempt)
                if at_ms < before_ms
            ]
            if not due:
                return
            at_ms, place, number = min(due)
            attempt = self.attempts.pop(place)
            if attempt.threads[number].final:
                attempt.threads = attempt.threads[number:]
                self._finish(attempt, at_ms, timer=True)
            else:
                self._expire(attempt, number, at_ms)
            if attempt.threads:
                before = [_place(each.start) < _place(attempt.start) for each in self.attempts]
                self.attempts.insert(sum(before), attempt)

    def _due(self, attempt: Attempt) -> Iterator[tuple[int, int]]:
        """When which runs of a start are decided by time alone."""
        latest_ms = NEVER_MS
        for number, thread in enumerate(attempt.threads):
            if thread.final:
                yield latest_ms, number
                return
            latest_ms = max(latest_ms, last_ms(self.rule, thread))
            deadline_ms = due_ms(self.rule, thread)
            if deadline_ms is not None:
                yield deadline_ms, number

    def _expire(self, attempt: Attempt, number: int, at_ms: int) -> None:
        """The absence that a run waits for has held."""
        thread = attempt.threads[number]
        ended = replace(thread, blocked=thread.blocked | {ENDING})
        attempt.threads[number] = ended
        if not where_holds(self.rule, self.key, thread.bound):
            return
        if self.policy.every:
            self._report(thread.bound, at_ms, timer=True)
        else:
            self._complete(attempt, ended, at_ms, timer=True)
