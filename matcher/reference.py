"""The reference matcher: the meaning of a rule as plain code, slow and obviously right.

    reference_matches(rule, events, watermark_ms) = every match decided by then, in canonical order

It knows no automaton, no columns and no byte code: the rest of a pattern is a list of links, the
next possible steps are read off that list, and every start is followed on its own.  Which matches
survive is decided afterwards, by `skip`.  The fast matcher must equal it on every rule and log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from dsl.model import (
    Arrow,
    Bind,
    Choice,
    Contiguity,
    Expr,
    Link,
    Path,
    Pattern,
    Repeat,
    Rule,
    Skip,
)
from dsl.model import Sequence as SequencePattern
from matcher.evaluate import Environment, evaluate
from matcher.record import Record

END_OF_TIME_MS = 2**62


@dataclass(frozen=True, slots=True)
class ReferenceEvent:
    """`ts` in ms; `record` holds the typed fields of the event type named `event`."""

    ts: int
    position: int
    event: str
    record: Record


@dataclass(frozen=True, slots=True)
class ReferenceMatch:
    """`bound` is (step index, event) in binding order; `at_ms` the last event or the deadline."""

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    bound: Bound

    @property
    def positions(self) -> tuple[tuple[int, int], ...]:
        return tuple((step, event.position) for step, event in self.bound)

    def order(self) -> tuple[object, ...]:
        steps, places = zip(*self.positions, strict=True)
        return (self.at_ms, self.timer, places[-1], places[0], places, steps)


Bound: TypeAlias = tuple[tuple[int, ReferenceEvent], ...]


def reference_matches(
    rule: Rule, events: Sequence[ReferenceEvent], watermark_ms: int = END_OF_TIME_MS
) -> list[ReferenceMatch]:
    """All matches of `rule` over `events`, which must be sorted by (ts, position)."""
    found: list[ReferenceMatch] = []
    for key, visible in _by_key(rule, events).items():
        candidates = []
        for place in range(len(visible)):
            match = _first_match(rule, key, visible, place, watermark_ms)
            if match is not None:
                candidates.append((_moment(match), place, match))
        found += _surviving(rule, visible, candidates)
    return sorted(found, key=ReferenceMatch.order)


# --------------------------------------------------------------------------- which matches survive

Moment: TypeAlias = tuple[int, bool, int]  # event time, timer?, position: when something is decided


def _moment(match: ReferenceMatch) -> Moment:
    return match.at_ms, match.timer, match.bound[-1][1].position


def _surviving(
    rule: Rule,
    visible: Sequence[ReferenceEvent],
    candidates: list[tuple[Moment, int, ReferenceMatch]],
) -> Iterator[ReferenceMatch]:
    """One match per start, in the order they were decided; `skip past last` prunes later starts."""
    horizon: tuple[int, bool] | tuple[int, bool, int] = (-END_OF_TIME_MS, False)
    for moment, place, match in sorted(candidates, key=lambda item: (_when(item[0]), item[1])):
        start = visible[place]
        if (start.ts, False, start.position) <= horizon:
            continue
        yield match
        if rule.skip is Skip.PAST_LAST:
            horizon = _when(moment)


def _when(moment: Moment) -> tuple[int, bool, int]:
    """Timers of one deadline are decided together, after every event of that time."""
    at_ms, timer, position = moment
    return (at_ms, True, 0) if timer else (at_ms, False, position)


# --------------------------------------------------------------------------- what a rule sees


def _by_key(
    rule: Rule, events: Sequence[ReferenceEvent]
) -> Mapping[tuple[object, ...], list[ReferenceEvent]]:
    split: dict[tuple[object, ...], list[ReferenceEvent]] = {}
    for event in events:
        if not _in_alphabet(rule, event):
            continue
        places = [step.key for step in rule.steps if step.event == event.event]
        places += [symbol.key for symbol in rule.alphabet if symbol.event == event.event]
        for key in {_key(event, paths) for paths in places}:
            if None not in key:
                split.setdefault(key, []).append(event)
    return split


def _in_alphabet(rule: Rule, event: ReferenceEvent) -> bool:
    return any(
        symbol.event == event.event and _holds(symbol.condition, event) for symbol in rule.alphabet
    )


def _key(event: ReferenceEvent, paths: tuple[Path, ...]) -> tuple[object, ...]:
    return tuple(event.record[path] for path in paths)


def _holds(condition: Expr | None, event: ReferenceEvent) -> bool:
    return condition is None or evaluate(condition, Environment(event.record, {}, ())) is True


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


# --------------------------------------------------------------------------- following one start


@dataclass(frozen=True, slots=True)
class Thread:
    """A run: what is bound, what is left, and which heads (or the ending, -1) are blocked."""

    bound: Bound
    rest: Rest
    blocked: frozenset[int] = frozenset()


ENDING = -1


def _first_match(
    rule: Rule,
    key: tuple[object, ...],
    visible: Sequence[ReferenceEvent],
    place: int,
    watermark_ms: int,
) -> ReferenceMatch | None:
    """The first match of the runs that start at `visible[place]`, or None."""
    start = visible[place]
    whole = Thread((), (Item(Link(Arrow(), (), rule.pattern)),))
    threads = [whole]
    for event in visible[place:]:
        match = _due(rule, key, threads, event.ts)
        if match is not None:
            return match
        if rule.within_ms is not None and event.ts - start.ts > rule.within_ms:
            return None
        following: list[Thread] = []
        for thread in threads:
            completed = _move(rule, key, thread, event, following)
            if completed is not None:
                return ReferenceMatch(rule, key, event.ts, False, completed)
        threads = [thread for thread in following if thread is not whole and thread.bound]
    return _due(rule, key, threads, watermark_ms)


def _move(
    rule: Rule,
    key: tuple[object, ...],
    thread: Thread,
    event: ReferenceEvent,
    following: list[Thread],
) -> Bound | None:
    """Offer `event` to one run: append what it becomes to `following`, or return a completion."""
    possible = heads(thread.rest)
    blocked = set(thread.blocked)
    if thread.bound:
        for number, head in enumerate(possible):
            if any(_fits(rule, key, thread, step, event) for step in head.absent):
                blocked.add(number)
        end = ending(thread.rest)
        if end is not None and any(_fits(rule, key, thread, step, event) for step in end.absent):
            blocked.add(ENDING)
    taken = [
        head
        for number, head in enumerate(possible)
        if number not in blocked
        and _in_gap(head.arrow, thread, event)
        and _fits(rule, key, thread, head.step, event)
    ]
    if not taken:
        strict = Contiguity.STRICT
        blocked |= {n for n, head in enumerate(possible) if head.arrow.contiguity is strict}
        following.append(Thread(thread.bound, thread.rest, frozenset(blocked)))
        return None
    stays = False
    for head in taken:
        child = Thread((*thread.bound, (head.step, event)), head.rest)
        end = ending(child.rest)
        if end is not None and not end.timed:
            if _where_holds(rule, key, child.bound):
                return child.bound
            stays = stays or not head.again
        following.append(child)
    loops = [head for head in possible if head.again]
    if stays and thread.bound and loops and not any(head.again for head in taken):
        following.append(Thread(thread.bound, thread.rest, frozenset(blocked)))
    return None


def _in_gap(arrow: Arrow, thread: Thread, event: ReferenceEvent) -> bool:
    if not thread.bound:
        return True
    gap_ms = event.ts - thread.bound[-1][1].ts
    return (arrow.min_gap_ms is None or gap_ms >= arrow.min_gap_ms) and (
        arrow.max_gap_ms is None or gap_ms <= arrow.max_gap_ms
    )


def _fits(
    rule: Rule, key: tuple[object, ...], thread: Thread, number: int, event: ReferenceEvent
) -> bool:
    step = rule.steps[number]
    if step.event != event.event or _key(event, step.key) != key:
        return False
    if step.condition is None:
        return True
    bound = _records(thread.bound)
    bound.setdefault(number, []).append(event.record)  # aggregates include the candidate
    return evaluate(step.condition, Environment(event.record, bound, key)) is True


def _where_holds(rule: Rule, key: tuple[object, ...], bound: Bound) -> bool:
    if rule.where is None:
        return True
    return evaluate(rule.where, Environment(None, _records(bound), key)) is True


def _records(bound: Bound) -> dict[int, list[Record]]:
    records: dict[int, list[Record]] = {}
    for step, event in bound:
        records.setdefault(step, []).append(event.record)
    return records


def _due(
    rule: Rule, key: tuple[object, ...], threads: list[Thread], before_ms: int
) -> ReferenceMatch | None:
    """The match of the first absence whose deadline has passed; spent endings become blocked."""
    due = []
    for number, thread in enumerate(threads):
        deadline_ms = _deadline_ms(rule, thread)
        if deadline_ms is not None and deadline_ms < before_ms:
            due.append((deadline_ms, number))
    for deadline_ms, number in sorted(due):
        thread = threads[number]
        if _where_holds(rule, key, thread.bound):
            return ReferenceMatch(rule, key, deadline_ms, True, thread.bound)
        threads[number] = replace(thread, blocked=thread.blocked | {ENDING})
    return None


def _deadline_ms(rule: Rule, thread: Thread) -> int | None:
    end = ending(thread.rest)
    if end is None or not end.timed or ENDING in thread.blocked or not thread.bound:
        return None
    limit_ms = END_OF_TIME_MS
    if rule.within_ms is not None:
        limit_ms = thread.bound[0][1].ts + rule.within_ms
    if end.absent_for_ms is None:
        return limit_ms
    deadline_ms = thread.bound[-1][1].ts + end.absent_for_ms
    return deadline_ms if deadline_ms <= limit_ms else None
