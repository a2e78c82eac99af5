"""The reference matcher of a whole rule: which runs start, survive and are reported.

    reference_findings(rule, events, watermark_ms) = what is decided by then, in canonical order

For each key, every event is offered to all runs in order of (start, preference), as the rule's
policy says; what one run does with an event is in `matcher.reference`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from dsl.model import (
    Arrow,
    Contiguity,
    Expr,
    Fire,
    Link,
    Rule,
    Runs,
    Skip,
    Symbol,
    leading_silence,
)
from matcher import limits
from matcher.derivative import Item, ending, heads
from matcher.evaluate import evaluate
from matcher.reference import (
    END_OF_TIME_MS,
    ENDING,
    FINISH,
    NEVER_MS,
    Bound,
    ReferenceEvent,
    ReferenceMatch,
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
from matcher.shared_matches import matches_max, shares_matches


@dataclass(frozen=True, slots=True)
class ReferenceResolution:
    """The event at `position` says that what was detected for `key` is over.

    With a `phase` other than 0 time says so, as of a window of which it was the newest event.
    """

    key: tuple[object, ...]
    at_ms: int
    position: int
    phase: int = 0

    def order(self) -> tuple[object, ...]:
        return self.at_ms, self.phase, self.position, tuple(map(str, self.key))


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The row of a key came, or went (`alive` is false), at a place of the stream.

    Event time had reached `at_ms` by then, and the next record was that at `position`.
    """

    at_ms: int
    position: int
    key: tuple[object, ...]
    alive: bool

    @property
    def place(self) -> Place:
        return self.at_ms, self.position


@dataclass(slots=True)
class Findings:
    """What a rule finds; `capped`, `cancelled` and `skips_missed` count as `Counters` do."""

    matches: list[ReferenceMatch] = field(default_factory=list)
    resolutions: list[ReferenceResolution] = field(default_factory=list)
    capped: int = 0
    cancelled: int = 0
    skips_missed: int = 0
    forgotten: int = 0


def reference_matches(
    rule: Rule,
    events: Sequence[ReferenceEvent],
    watermark_ms: int = END_OF_TIME_MS,
    rows: Sequence[KeyRow] = (),
) -> list[ReferenceMatch]:
    """All matches of `rule` over `events`, which must be sorted by (ts, position).

    `rows` come and go in order; they are those of the table that the rule takes its keys from.
    """
    return reference_findings(rule, events, watermark_ms, rows).matches


def reference_findings(
    rule: Rule,
    events: Sequence[ReferenceEvent],
    watermark_ms: int = END_OF_TIME_MS,
    rows: Sequence[KeyRow] = (),
) -> Findings:
    """`reference_matches`, with the resolutions and counters.

    `events` are all those of the stream that some rule reads: a census counts them.
    """
    found = Findings()
    keys: dict[tuple[object, ...], KeyRuns] = {}
    full = False
    changes = list(rows)
    for number, event in enumerate(events, 1):
        while changes and changes[0].place <= _place(event):
            _come_or_go(changes.pop(0), rule, keys, found)
        for key, seen in keys_that_see(rule, event):
            if rule.key_table is None:
                keys.setdefault(key, KeyRuns(rule, key, found))
            if key in keys:
                keys[key].offer(seen, full)
        if number % limits.CENSUS_ROWS == 0:
            full = _census(list(keys.values()), event.ts, found)
    for change in changes:
        _come_or_go(change, rule, keys, found)
    for runs in keys.values():
        runs.pass_time(watermark_ms)
    found.matches.sort(key=ReferenceMatch.order)
    found.resolutions.sort(key=ReferenceResolution.order)
    return found


def _come_or_go(
    row: KeyRow, rule: Rule, keys: dict[tuple[object, ...], KeyRuns], found: Findings
) -> None:
    """A row makes its key known; when it goes, the key and all that is its own go with it."""
    if row.alive and row.key not in keys:
        keys[row.key] = KeyRuns(rule, row.key, found)
        keys[row.key].silent_since = (row.at_ms, -1)
    elif not row.alive and row.key in keys:
        runs = keys.pop(row.key)
        runs.pass_time(row.at_ms)
        runs.drop_spent(row.at_ms)
        found.cancelled += runs.pending


def _census(keys: Sequence[KeyRuns], at_ms: int, found: Findings) -> bool:
    """Forget the oldest of too many keys; returns whether there are too many runs."""
    for runs in keys:
        runs.pass_time(at_ms)
        runs.drop_spent(at_ms)
    opened = sorted(runs.open_ms for runs in keys if runs.open_ms is not None)
    excess = len(opened) - limits.OPEN_KEYS_MAX
    for runs in keys:
        if excess > 0 and runs.open_ms is not None and runs.open_ms <= opened[excess - 1]:
            runs.open_ms = None
            found.forgotten += 1
    by_events = [runs for runs in keys if runs.rule.key_table is None]
    silent = sorted(runs.silent_since[0] for runs in by_events if runs.silent_since is not None)
    excess = len(silent) - limits.KNOWN_KEYS_MAX
    for runs in by_events:
        since = runs.silent_since
        if excess > 0 and since is not None and since[0] <= silent[excess - 1]:
            runs.silent_since = None
            found.forgotten += 1
    return sum(runs.pending for runs in keys if not runs.shared) > limits.RUNS_PER_RULE_MAX


# --------------------------------------------------------------------------- what a rule sees


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as one key sees it: whether it is in the alphabet, cancels, resolves."""

    event: ReferenceEvent
    visible: bool
    cancels: bool
    resolves: bool


def keys_that_see(rule: Rule, event: ReferenceEvent) -> Iterator[tuple[tuple[object, ...], Seen]]:
    """The keys that see an event."""
    places = [step.key for step in rule.steps if step.event == event.event]
    places += [symbol.key for symbol in rule.alphabet if symbol.event == event.event]
    visible: set[tuple[object, ...]] = set()
    if _keys_among(rule.alphabet, event):
        visible = {key_of(event, paths) for paths in places}
    cancels = _keys_among(rule.policy.cancel, event)
    resolves = _keys_among(rule.policy.resolve, event)
    for key in visible | cancels | resolves:
        if None not in key:
            yield key, Seen(event, key in visible, key in cancels, key in resolves)


def _keys_among(symbols: Sequence[Symbol], event: ReferenceEvent) -> set[tuple[object, ...]]:
    return {
        key_of(event, symbol.key)
        for symbol in symbols
        if symbol.event == event.event and _holds(symbol.condition, event)
    }


def _holds(condition: Expr | None, event: ReferenceEvent) -> bool:
    return condition is None or evaluate(condition, environment_of(event, (), ())) is True


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
UNBOUNDED = 2**62
EVERYTHING: Place = (END_OF_TIME_MS, 0)
NOTHING: Place = (NEVER_MS, 0)


def _place(event: ReferenceEvent) -> Place:
    return event.ts, event.position


class KeyRuns:
    """All runs of one key, and what the rule's policy makes of them.

    `room` is how many more runs the key may have; `open_ms` is when something was detected last, if
    it has not been resolved since.  A silence counts from `silent_since`.
    """

    def __init__(self, rule: Rule, key: tuple[object, ...], found: Findings) -> None:
        self.rule = rule
        self.policy = rule.policy
        self.key = key
        self.found = found
        self.attempts: list[Attempt] = []
        self.waiting: list[Attempt] = []  # those to which the event has not been offered yet
        self.open_ms: int | None = None
        self.shared = shares_matches(rule)
        self.runs_max = rule.policy.runs_max or limits.RUNS_PER_KEY_MAX
        if self.shared:
            self.runs_max = UNBOUNDED
        self.room = self.runs_max
        self.horizon = NOTHING
        self.offered = -1  # position of the event at hand
        self.silence, self.pattern = leading_silence(rule.pattern)
        self.silent_since: Place | None = None
        self.rung = False  # the silence has been reported

    # ---- an event

    @property
    def pending(self) -> int:
        return sum(attempt.pending for attempt in self.attempts)

    def offer(self, seen: Seen, full: bool) -> None:
        """With `full` there is no room for further runs."""
        event = seen.event
        self.offered = event.position
        self.pass_time(event.ts)
        self.drop_spent(event.ts)
        if seen.cancels:
            self.found.cancelled += self.pending
            self.attempts = []
        if seen.resolves and self.open_ms is not None:
            self.open_ms = None
            self.found.resolutions.append(ReferenceResolution(self.key, *_place(event)))
        if seen.visible and not self._is_over():
            self._event(event, full)
        known = self.silence is None or self.silent_since is not None
        if seen.visible and (not known or self._ends_silence(event)):
            self.silent_since, self.rung = _place(event), False

    def _is_over(self) -> bool:
        """Whether the rule has fired once for this key."""
        return self.open_ms is not None and self.policy.fire is Fire.ONCE

    def drop_spent(self, ts: int) -> None:
        """Let go of runs that can do nothing any more at `ts`."""
        for attempt in self.attempts:
            attempt.threads = [
                thread
                for thread in attempt.threads
                if thread.final or last_ms(self.rule, thread) >= ts
            ]
        self.attempts = [attempt for attempt in self.attempts if attempt.threads]

    def _event(self, event: ReferenceEvent, full: bool) -> None:
        before = len(self.found.matches)
        self._decide_by_next(event)
        self.drop_spent(event.ts)
        self.room = 0 if full and not self.shared else self.runs_max - self.pending
        self.horizon = NOTHING
        self.waiting, self.attempts = self.attempts, []
        while self.waiting:
            self._advance(self.waiting.pop(0), event)
        if _place(event) > self.horizon:
            self._begin(event)
        if self.shared:
            self._leave_out(before)

    def _leave_out(self, before: int) -> None:
        """Of the matches from number `before` on, those with the newest events are reported."""
        made = self.found.matches[before:]
        made.sort(key=lambda one: [_place(event) for _, event in reversed(one.bound)], reverse=True)
        self.found.matches[before:] = made[: matches_max(self.rule)]
        self.found.capped += len(made[matches_max(self.rule) :])

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
                later = sum(not other.final for other in before[number + 1 :])
                closes = self.policy.fire is Fire.CLOSE  # what goes on takes its place first
                self.room += 0 if closes else later
                self._complete(attempt, completed, event.ts, timer=False)
                self.room += later if closes else 0
                break
        self._finish(attempt, event.ts, timer=False)
        if attempt.threads:
            self.attempts.append(attempt)

    def _begin(self, event: ReferenceEvent) -> None:
        """Let the event start runs, if it fits and the policy agrees."""
        if self.pattern is None or not self._quiet(event.ts):
            return
        whole = Thread((), (Item(Link(Arrow(), (), self.pattern)),))
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
        self.room += self.pending
        replaced, self.attempts = self.attempts, []
        for attempt in replaced:
            attempt.threads = [thread for thread in attempt.threads if thread.final]
            self._finish(attempt, at_ms, timer=False)

    # ---- one run

    def _move(self, attempt: Attempt, thread: Thread, event: ReferenceEvent) -> Thread | None:
        """Offer `event` to one run: it becomes some of `attempt.threads`, or completes."""
        rule, key = self.rule, self.key
        possible = heads(thread.rest)
        blocked = set(thread.blocked)
        if thread.bound:
            for number, head in enumerate(possible):
                if any(forbids(rule, key, thread, absence, event) for absence in head.absent):
                    blocked.add(number)
            end = ending(thread.rest)
            if end is not None and any(fits(rule, key, thread, step, event) for step in end.absent):
                blocked.add(ENDING)
        taken = [
            head
            for number, head in enumerate(possible)
            if number not in blocked
            and in_gap(head, thread, event)
            and fits(rule, key, thread, head.step, event)
        ]
        kept = frozenset[object]().union(*(head.keeps for head in taken))
        taken = [head for head in taken if not head.leaves & kept]
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
        by = bound[-1][1].position if timer else self.offered
        self.found.matches.append(ReferenceMatch(self.rule, self.key, at_ms, timer, bound, by))
        if self.policy.resolve or self.policy.fire is Fire.ONCE:
            self.open_ms = at_ms
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

    # ---- silences

    def _ends_silence(self, event: ReferenceEvent) -> bool:
        nothing = Thread((), ())
        absent = () if self.silence is None else self.silence.absent
        return any(fits(self.rule, self.key, nothing, step, event) for step in absent)

    def _quiet(self, ts: int) -> bool:
        """Whether the silence that the pattern begins with, if any, has lasted long enough."""
        if self.silence is None:
            return True
        return self.silent_since is not None and ts - self.silent_since[0] > self.silence.for_ms

    def _ring(self, before_ms: int) -> None:
        """Report a silence that is the whole pattern, once, when it has lasted long enough."""
        if self.silence is None or self.pattern is not None or self.silent_since is None:
            return
        since_ms, position = self.silent_since
        at_ms = since_ms + self.silence.for_ms
        if self.rung or at_ms >= before_ms:
            return
        self.rung = True
        if self._is_over():
            return
        if self.policy.resolve or self.policy.fire is Fire.ONCE:
            self.open_ms = at_ms
        found = ReferenceMatch(self.rule, self.key, at_ms, True, (), position)
        self.found.matches.append(found)

    # ---- time

    def pass_time(self, before_ms: int) -> None:
        """Decide what is due before `before_ms`, earliest first, then by start and preference."""
        self.horizon = NOTHING
        self._ring(before_ms)
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
                self._expire(attempt, number, at_ms, timer=True)
            self._put_back(attempt)

    def _put_back(self, attempt: Attempt) -> None:
        if attempt.threads:
            before = [_place(each.start) < _place(attempt.start) for each in self.attempts]
            self.attempts.insert(sum(before), attempt)

    def _decide_by_next(self, event: ReferenceEvent) -> None:
        """Complete the runs for which it is enough that `event` is not a forbidden one."""
        for attempt in list(self.attempts):
            if not any(attempt is other for other in self.attempts):
                continue  # ended by the match of another
            for number in range(len(attempt.threads)):
                if number < len(attempt.threads) and self._decides(attempt.threads[number], event):
                    self.attempts.remove(attempt)
                    self._expire(attempt, number, event.ts, timer=False)
                    self._put_back(attempt)

    def _decides(self, thread: Thread, event: ReferenceEvent) -> bool:
        end = ending(thread.rest)
        return (
            end is not None
            and end.next
            and due_ms(self.rule, thread) is not None
            and not any(fits(self.rule, self.key, thread, step, event) for step in end.absent)
        )

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

    def _expire(self, attempt: Attempt, number: int, at_ms: int, *, timer: bool) -> None:
        """The absence that a run waits for has held, by time or by the next event."""
        thread = attempt.threads[number]
        ended = replace(thread, blocked=thread.blocked | {ENDING})
        attempt.threads[number] = ended
        if not where_holds(self.rule, self.key, thread.bound):
            return
        if self.policy.every:
            self._report(thread.bound, at_ms, timer=timer)
        else:
            self._complete(attempt, ended, at_ms, timer=timer)
