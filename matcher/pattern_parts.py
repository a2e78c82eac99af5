"""What a pattern is made of, for people: its steps, its parts in order, how much of it is left."""

from __future__ import annotations

from dsl.model import AnyOrder, Bind, Choice, Pattern, Repeat, Silence
from dsl.model import Sequence as SequencePattern
from matcher.derivative import Rest


def events_needed(rest: Rest) -> int:
    """The least number of events that complete what is left of a pattern."""
    return sum(_least(item.link.to) for item in rest if item.link.to is not None)


def _least(pattern: Pattern) -> int:
    match pattern:
        case Bind():
            return 1
        case Silence():
            return 0
        case Choice(options):
            return min(map(_least, options))
        case Repeat(node, least):
            return least * _least(node)
        case AnyOrder(parts, count):
            return sum(sorted(map(_least, parts))[:count])
        case SequencePattern(first, links):
            return _least(first) + sum(_least(link.to) for link in links if link.to is not None)


def outermost(pattern: Pattern) -> list[frozenset[int]]:
    """The steps of each part of the outermost sequence, in order; absences are no parts."""
    if not isinstance(pattern, SequencePattern):
        return [steps_in(pattern)]
    parts = [pattern.first, *(link.to for link in pattern.links if link.to is not None)]
    return [steps for steps in map(steps_in, parts) if steps]


def steps_in(pattern: Pattern) -> frozenset[int]:
    """The steps that may bind events."""
    match pattern:
        case Bind(step):
            return frozenset({step})
        case Silence():
            return frozenset()
        case Choice(parts) | AnyOrder(parts):
            return frozenset().union(*map(steps_in, parts))
        case Repeat(node):
            return steps_in(node)
        case SequencePattern(first, links):
            rest = [steps_in(link.to) for link in links if link.to is not None]
            return steps_in(first).union(*rest)


def loop_ends(pattern: Pattern) -> frozenset[int]:
    """The steps that end a loop."""
    match pattern:
        case Repeat(node):
            return loop_ends(node) | frozenset(pattern.until)
        case SequencePattern(first, links):
            rest = [loop_ends(link.to) for link in links if link.to is not None]
            return loop_ends(first).union(*rest)
        case Choice(parts) | AnyOrder(parts):
            return frozenset().union(*map(loop_ends, parts))
        case _:
            return frozenset()
