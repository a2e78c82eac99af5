"""What is left of a pattern: the derivative after each event, for the reference matcher.

    heads(rest) = the steps that may bind the next event, most preferred first, each with what is
                  left of the pattern when it does

The rest of a pattern is a list of links still to be matched.  Nothing here knows events, states or
counters; see `matcher.reference` for how runs use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from dsl.model import AnyOrder, Arrow, Bind, Choice, Contiguity, Link, Pattern, Repeat, Silence
from dsl.model import Sequence as SequencePattern


@dataclass(frozen=True, slots=True)
class Item:
    """A link still to be matched.

    `again` when it repeats a loop that has begun; `round` when it is that loop itself, so that its
    arrow and absences do not concern its exit.  `inside` names the possessive loops it belongs to.
    """

    link: Link
    again: bool = False
    round: bool = False
    inside: frozenset[object] = frozenset()


Rest: TypeAlias = tuple[Item, ...]


class Absence(NamedTuple):
    """`step` must not occur: for so long after the last event, or (None) at all."""

    step: int
    for_ms: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """A step that may bind the next event, and what is left of the pattern when it does.

    A head that `leaves` a possessive loop gives way to any that `keeps` in it.
    """

    step: int
    arrow: Arrow
    absent: tuple[Absence, ...]
    again: bool
    rest: Rest
    keeps: frozenset[object] = frozenset()
    leaves: frozenset[object] = frozenset()


def heads(rest: Rest, absent: tuple[Absence, ...] = (), again: bool = False) -> list[Head]:
    """The steps that may come next; `absent` stands before `rest`, as the start of a round with
    `again`."""
    if not rest or rest[0].link.to is None:
        return []
    item, tail = rest[0], rest[1:]
    link, again = item.link, item.again or again
    assert link.to is not None
    forbidden = absent + tuple(Absence(step, link.absent_for_ms) for step in link.absent)
    loop = _possessive(item)
    found = [
        replace(
            head,
            keeps=head.keeps | item.inside | loop,
            rest=(*_marked(head.rest, item.inside), *tail),
        )
        for head in _first_events(link, link.to, again, absent, forbidden)
    ]
    if not nullable(link.to):
        return found
    past = [
        replace(head, leaves=head.leaves | loop)
        for head in heads(tail, absent if item.round else forbidden, again and not item.round)
    ]
    return past + found if _skips_first(link.to) else found + past


def _first_events(
    link: Link,
    pattern: Pattern,
    again: bool,
    absent: tuple[Absence, ...],
    forbidden: tuple[Absence, ...],
) -> list[Head]:
    """The heads of `pattern` alone, reached by `link`; `absent` are `forbidden` without its own."""
    match pattern:
        case Bind(step):
            return [Head(step, link.arrow, forbidden, again, ())]
        case Choice(options):
            return [
                head
                for option in options
                for head in heads((Item(replace(link, to=option), again),), absent)
            ]
        case SequencePattern(first, links):
            inner = (Item(replace(link, to=first), again), *map(Item, links))
            return heads(inner, absent, again)
        case Repeat():
            return _round(link, pattern, again, absent)
        case AnyOrder(parts, count):
            return [
                Head(step, link.arrow, forbidden, again, _others(pattern, number, left))
                for number, part in enumerate(parts if count else ())
                for step, left in _one_event(part)
            ]
        case Silence():
            raise TypeError("a silence binds nothing")


def _round(link: Link, loop: Repeat, again: bool, absent: tuple[Absence, ...]) -> list[Head]:
    if loop.most == 0:
        return []
    left = None if loop.most is None else loop.most - 1
    more: Rest = ()
    if left != 0 or loop.possessive:
        rounds = replace(loop, least=max(0, loop.least - 1), most=left)
        more = (Item(Link(loop.arrow, loop.until, rounds), again=True, round=True),)
    inside = frozenset({loop.node}) if loop.possessive else frozenset()
    return [
        replace(head, rest=(*_marked(head.rest, inside), *more))
        for head in heads((Item(replace(link, to=loop.node), again),), absent)
    ]


def _marked(rest: Rest, inside: frozenset[object]) -> Iterator[Item]:
    return (replace(item, inside=item.inside | inside) for item in rest)


def _possessive(item: Item) -> frozenset[object]:
    """The name of a possessive loop; one that begins differs from the rounds of any before it."""
    loop = item.link.to
    if not isinstance(loop, Repeat) or not loop.possessive:
        return frozenset()
    return frozenset({loop.node if item.round else object()})


def _one_event(part: Pattern) -> list[tuple[int, Pattern | None]]:
    """The steps that may bind the part's next event, each with what is left of the part then."""
    match part:
        case Bind(step):
            return [(step, None)]
        case Choice(options):
            return [found for option in options for found in _one_event(option)]
        case Repeat(node, least, most):
            most = None if most is None else most - 1
            left = None if most == 0 else replace(part, least=max(0, least - 1), most=most)
            return [(step, left) for step, _ in _one_event(node)]
        case _:
            raise TypeError(f"no part of any order: {part}")


def _others(pattern: AnyOrder, number: int, left: Pattern | None) -> Rest:
    parts = list(pattern.parts)
    parts[number : number + 1] = [] if left is None else [left]
    count = pattern.count - (left is None)
    rest = replace(pattern, parts=tuple(parts), count=count)
    return (Item(Link(pattern.arrow, pattern.absent, rest), round=True),)


def nullable(pattern: Pattern) -> bool:
    match pattern:
        case Bind():
            return False
        case Choice(options):
            return any(nullable(option) for option in options)
        case Repeat(node, least, _, _):
            return least == 0 or nullable(node)
        case AnyOrder(parts, count):
            return sum(nullable(part) for part in parts) >= count
        case Silence():
            return True
        case SequencePattern(first, links):
            return nullable(first) and all(
                link.to is not None and nullable(link.to) for link in links
            )


def _skips_first(pattern: Pattern) -> bool:
    return isinstance(pattern, Repeat) and not pattern.greedy


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run may complete now: at once, or when nothing in `absent` came in time.

    With `next` the very next event decides, if it comes in time.
    """

    absent: tuple[int, ...]
    timed: bool
    absent_for_ms: int | None
    next: bool = False


def ending(rest: Rest) -> Ending | None:
    absent: tuple[int, ...] = ()
    for item in rest:
        if not item.round:
            absent += item.link.absent
        if item.link.to is None:
            strict = item.link.arrow.contiguity is Contiguity.STRICT
            return Ending(absent, True, item.link.absent_for_ms, strict)
        if not nullable(item.link.to):
            return None
    return Ending((), False, None)
