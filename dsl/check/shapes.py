"""Walks over checked patterns that several passes share."""

from __future__ import annotations

from collections.abc import Iterator

from dsl.model import AnyOrder, Bind, Choice, Link, Pattern, Repeat, Sequence, Silence


def least_events(pattern: Pattern) -> int:
    """The number of events of the shortest match."""
    match pattern:
        case Bind():
            return 1
        case Silence():
            return 0
        case Repeat(node, least):
            return least * least_events(node)
        case Choice(options):
            return min(least_events(option) for option in options)
        case AnyOrder(parts, count):
            return sum(sorted(least_events(part) for part in parts)[:count])
        case Sequence(first, links):
            rest = (least_events(link.to) for link in links if link.to is not None)
            return least_events(first) + sum(rest)


def inner(pattern: Pattern) -> tuple[Pattern, ...]:
    """The patterns directly inside."""
    match pattern:
        case Bind() | Silence():
            return ()
        case Repeat(node):
            return (node,)
        case Choice(options):
            return options
        case AnyOrder(parts):
            return parts
        case Sequence(first, links):
            return (first, *(link.to for link in links if link.to is not None))


def every(pattern: Pattern) -> Iterator[Pattern]:
    """The pattern and all patterns in it."""
    yield pattern
    for part in inner(pattern):
        yield from every(part)


def links(pattern: Pattern) -> Iterator[Link]:
    for part in every(pattern):
        if isinstance(part, Sequence):
            yield from part.links


def first_steps(pattern: Pattern | None) -> list[int]:
    """The steps that the first event may be bound to, if no part is left out."""
    match pattern:
        case Bind(step):
            return [step]
        case Repeat(node) | Sequence(node):
            return first_steps(node)
        case Choice(parts) | AnyOrder(parts):
            return [step for part in parts for step in first_steps(part)]
        case _:
            return []
