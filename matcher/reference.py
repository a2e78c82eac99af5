"""The reference matcher: the meaning of a rule as plain code, slow and obviously right.

It knows no automaton, no columns and no byte code: the rest of a pattern is a list of links, and
the next possible steps are read off that list.  Here is what one run can do;
`matcher.reference_policy` has all the runs of a rule, and the matches.  The fast matcher must equal
them on every rule and log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from dsl.model import (
    Arrow,
    Bind,
    Choice,
    Link,
    Path,
    Pattern,
    Repeat,
    Rule,
)
from dsl.model import Sequence as SequencePattern
from matcher.evaluate import Environment, evaluate
from matcher.record import Record

END_OF_TIME_MS = 2**62
NEVER_MS = -END_OF_TIME_MS


@dataclass(frozen=True, slots=True)
class ReferenceEvent:
    """`ts` in ms; `record` holds the typed fields of the event type named `event`."""

    ts: int
    position: int
    event: str
    record: Record


@dataclass(frozen=True, slots=True)
class ReferenceMatch:
    """`bound` is (step index, event) in binding order; `at_ms` the last event or the deadline.

    `by` is the event that decided the match, or the last one bound when a timer did.
    """

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    bound: Bound
    by: ReferenceEvent

    @property
    def positions(self) -> tuple[tuple[int, int], ...]:
        return tuple((step, event.position) for step, event in self.bound)

    def order(self) -> tuple[object, ...]:
        steps, places = zip(*self.positions, strict=True)
        return (self.at_ms, self.timer, self.by.position, places[0], places, steps)


Bound: TypeAlias = tuple[tuple[int, ReferenceEvent], ...]


# --------------------------------------------------------------------------- the rest of a pattern


@dataclass(frozen=True, slots=True)
class Item:
    """A link still to be matched; `again` when it repeats a loop that has begun."""

    link: Link
    again: bool = False


Rest: TypeAlias = tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A step that may bind the next event, and what is left of the pattern when it does."""

    step: int
    arrow: Arrow
    absent: tuple[int, ...]
    again: bool
    rest: Rest


def heads(rest: Rest, absent: tuple[int, ...] = ()) -> list[Head]:
    """The steps that may come next, most preferred first."""
    if not rest or rest[0].link.to is None:
        return []
    link, again, tail = rest[0].link, rest[0].again, rest[1:]
    forbidden = absent + link.absent
    match link.to:
        case Bind(step):
            return [Head(step, link.arrow, forbidden, again, tail)]
        case Choice(options):
            found = [
                head
                for option in options
                for head in heads((Item(replace(link, to=option), again),), absent)
            ]
        case SequencePattern(first, links):
            inner = (Item(replace(link, to=first), again), *map(Item, links))
            found = heads(inner, absent)
        case Repeat(node, least, most, _):
            left = None if most is None else most - 1
            more: Rest = ()
            if left != 0:
                again_node = Repeat(node, max(0, least - 1), left, link.to.greedy)
                more = (Item(Link(Arrow(), (), again_node), again=True),)
            found = [
                replace(head, rest=head.rest + more)
                for head in heads((Item(replace(link, to=node), again),), absent)
            ]
    found = [replace(head, rest=head.rest + tail) for head in found]
    assert link.to is not None
    if not _nullable(link.to):
        return found
    past = heads(tail, forbidden)
    return past + found if _skips_first(link.to) else found + past


def _nullable(pattern: Pattern) -> bool:
    match pattern:
        case Bind():
            return False
        case Choice(options):
            return any(_nullable(option) for option in options)
        case Repeat(node, least, _, _):
            return least == 0 or _nullable(node)
        case SequencePattern(first, links):
            return _nullable(first) and all(
                link.to is not None and _nullable(link.to) for link in links
            )


def _skips_first(pattern: Pattern) -> bool:
    return isinstance(pattern, Repeat) and not pattern.greedy


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run may complete now: at once, or when nothing in `absent` came in time."""

    absent: tuple[int, ...]
    timed: bool
    absent_for_ms: int | None


def ending(rest: Rest) -> Ending | None:
    absent: tuple[int, ...] = ()
    for item in rest:
        absent += item.link.absent
        if item.link.to is None:
            return Ending(absent, True, item.link.absent_for_ms)
        if not _nullable(item.link.to):
            return None
    return Ending((), False, None)


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


def in_gap(arrow: Arrow, thread: Thread, event: ReferenceEvent) -> bool:
    if not thread.bound:
        return True
    gap_ms = event.ts - thread.bound[-1][1].ts
    return (arrow.min_gap_ms is None or gap_ms >= arrow.min_gap_ms) and (
        arrow.max_gap_ms is None or gap_ms <= arrow.max_gap_ms
    )


def fits(
    rule: Rule, key: tuple[object, ...], thread: Thread, number: int, event: ReferenceEvent
) -> bool:
    step = rule.steps[number]
    if step.event != event.event or key_of(event, step.key) != key:
        return False
    if step.condition is None:
        return True
    bound = _records(thread.bound)
    bound.setdefault(number, []).append(event.record)  # aggregates include the candidate
    return evaluate(step.condition, Environment(event.record, bound, key)) is True


def where_holds(rule: Rule, key: tuple[object, ...], bound: Bound) -> bool:
    if rule.where is None:
        return True
    return evaluate(rule.where, Environment(None, _records(bound), key)) is True


def _records(bound: Bound) -> dict[int, list[Record]]:
    records: dict[int, list[Record]] = {}
    for step, event in bound:
        records.setdefault(step, []).append(event.record)
    return records


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
