"""The reference matcher: the meaning of a rule as plain code, slow and obviously right.

It knows no automaton, no columns and no byte code: the rest of a pattern is a list of links, and
the next possible steps are read off that list, in `matcher.derivative`.  Here is what one run can
do; `matcher.reference_policy` has all the runs of a rule, and the matches.  The fast matcher must
equal them on every rule and log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dsl.model import Arrow, Bind, Link, Path, Rule
from matcher.derivative import Absence, Head, Item, Rest, ending, heads
from matcher.evaluate import Environment, evaluate
from matcher.lookup.history import Rows
from matcher.record import Record

END_OF_TIME_MS = 2**62
NEVER_MS = -END_OF_TIME_MS


@dataclass(frozen=True, slots=True)
class ReferenceEvent:
    """`ts` in ms; `record` holds the typed fields of the event type named `event`.

    `rows` is where conditions look rows up, the same for all events.
    """

    ts: int
    position: int
    event: str
    record: Record
    rows: Rows | None = None


@dataclass(frozen=True, slots=True)
class ReferenceMatch:
    """`bound` is (step index, event) in binding order; `at_ms` the last event or the deadline.

    `by` is the position of the event that decided the match, or of the last one bound when time
    did; of a match without events, the position from which it counts.
    """

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    bound: Bound
    by: int

    @property
    def phase(self) -> int:
        """1 if time decided it, when the events of that time had come, else 0."""
        return int(self.timer)

    @property
    def positions(self) -> tuple[tuple[int, int], ...]:
        return tuple((step, event.position) for step, event in self.bound)

    def order(self) -> tuple[object, ...]:
        if not self.bound:
            return (self.at_ms, True, self.by, self.by, (), (), tuple(map(str, self.key)))
        steps, places = zip(*self.positions, strict=True)
        return (self.at_ms, self.timer, self.by, places[0], places, steps)


Bound: TypeAlias = tuple[tuple[int, ReferenceEvent], ...]


# --------------------------------------------------------------------------- one run


def key_of(event: ReferenceEvent, paths: tuple[Path, ...]) -> tuple[object, ...]:
    return tuple(event.record[path] for path in paths)


@dataclass(frozen=True, slots=True)
class Thread:
    """A run: what is bound, what is left, and which heads (or the ending, -1) are blocked.

    With `final`, a candidate of `fire close`: nothing follows, it waits for those preferred to it.
    """

    bound: Bound
    rest: Rest
    blocked: frozenset[int] = frozenset()
    final: bool = False


ENDING = -1
FINISH = Item(Link(Arrow(), (), Bind(ENDING)))


def in_gap(head: Head, thread: Thread, event: ReferenceEvent) -> bool:
    if not thread.bound:
        return True
    arrow, gap_ms = head.arrow, event.ts - thread.bound[-1][1].ts
    return (
        (arrow.min_gap_ms is None or gap_ms >= arrow.min_gap_ms)
        and (arrow.max_gap_ms is None or gap_ms <= arrow.max_gap_ms)
        and all(absence.for_ms is None or gap_ms > absence.for_ms for absence in head.absent)
    )


def forbids(
    rule: Rule,
    key: tuple[object, ...],
    thread: Thread,
    absence: Absence,
    event: ReferenceEvent,
) -> bool:
    in_force = absence.for_ms is None or event.ts - thread.bound[-1][1].ts <= absence.for_ms
    return in_force and fits(rule, key, thread, absence.step, event)


def fits(
    rule: Rule, key: tuple[object, ...], thread: Thread, number: int, event: ReferenceEvent
) -> bool:
    step = rule.steps[number]
    if step.event != event.event or key_of(event, step.key) != key:
        return False
    if step.condition is None:
        return True
    bound = (*thread.bound, (number, event))  # aggregates include the candidate
    return evaluate(step.condition, environment_of(event, bound, key)) is True


def where_holds(rule: Rule, key: tuple[object, ...], bound: Bound) -> bool:
    if rule.where is None:
        return True
    return evaluate(rule.where, environment_of(None, bound, key)) is True


def environment_of(
    own: ReferenceEvent | None, bound: Bound, key: tuple[object, ...]
) -> Environment:
    """What a condition is evaluated in; `own` is the event being tested, if one is."""
    records: dict[int, list[Record]] = {}
    positions: dict[int, list[int]] = {}
    for step, event in bound:
        records.setdefault(step, []).append(event.record)
        positions.setdefault(step, []).append(event.position)
    last = own if own is not None else bound[-1][1]
    record = own.record if own is not None else None
    return Environment(record, records, key, last.rows, last.position, positions, last.position)


def _limit_ms(rule: Rule, thread: Thread) -> int:
    return END_OF_TIME_MS if rule.within_ms is None else thread.bound[0][1].ts + rule.within_ms


def due_ms(rule: Rule, thread: Thread) -> int | None:
    """When the run completes unless something comes; None when it waits for no such moment."""
    end = ending(thread.rest)
    if end is None or not end.timed or ENDING in thread.blocked or thread.final:
        return None
    limit_ms = _limit_ms(rule, thread)
    if end.absent_for_ms is None:
        return limit_ms
    deadline_ms = thread.bound[-1][1].ts + end.absent_for_ms
    return deadline_ms if deadline_ms <= limit_ms else None


def last_ms(rule: Rule, thread: Thread) -> int:
    """The last moment at which the run can go on or complete; NEVER_MS: it cannot any more."""
    moments = [
        _limit_ms(rule, thread)
        if head.arrow.max_gap_ms is None
        else min(thread.bound[-1][1].ts + head.arrow.max_gap_ms, _limit_ms(rule, thread))
        for number, head in enumerate(heads(thread.rest))
        if number not in thread.blocked and not thread.final
    ]
    deadline_ms = due_ms(rule, thread)
    return max([*moments] if deadline_ms is None else [*moments, deadline_ms], default=NEVER_MS)
