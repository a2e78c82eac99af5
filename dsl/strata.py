"""Which rules read what others emit: strata, each of which only reads what those before it emit.

    stratum(rule) = 0                                    when no rule emits an event type it reads
                  = 1 + the greatest of their emitters'  otherwise

Rules that feed each other in a circle have no stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from dsl.model import Emit, Rule, Type
from dsl.source import Span


def strata(rules: Sequence[Rule]) -> tuple[tuple[Rule, ...], ...]:
    """The rules by stratum, each in their own order.  Raises ValueError for a circle."""
    levels = _levels(rules)
    if len(levels) < len(rules):
        raise ValueError("rules feed each other in a circle")
    count = 1 + max(levels.values(), default=0)
    return tuple(
        tuple(rule for number, rule in enumerate(rules) if levels[number] == level)
        for level in range(count)
    )


def circle(rules: Sequence[Rule]) -> list[Rule]:
    """Rules that feed each other, each the next and the last the first; empty when none do."""
    levels = _levels(rules)
    left = {number: rule for number, rule in enumerate(rules) if number not in levels}
    if not left:
        return []
    feeders: dict[str, list[int]] = {}
    for number, rule in left.items():
        for emit in rule.emits:
            feeders.setdefault(emit.event, []).append(number)
    path: list[int] = []
    number = min(left)
    while number not in path:
        path.append(number)
        number = min(f for event in events_read(rules[number]) for f in feeders.get(event, ()))
    return [rules[number] for number in reversed(path[path.index(number) :])]


def sources(rules: Sequence[Rule], rule: Rule) -> tuple[Rule, ...]:
    """The rules whose events `rule` reads, be it through others, and `rule` itself, in order."""
    wanted, pending = {rule.name}, [rule]
    while pending:
        read = events_read(pending.pop())
        for other in rules:
            if other.name not in wanted and any(emit.event in read for emit in other.emits):
                wanted.add(other.name)
                pending.append(other)
    return tuple(other for other in rules if other.name in wanted)


def events_read(rule: Rule) -> frozenset[str]:
    """The event types that can change what the rule finds or says."""
    found: set[str] = set()
    pending: list[Any] = [rule]
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            pending.extend(value)
        elif is_dataclass(value) and not isinstance(value, Type | Span):
            event = getattr(value, "event", None)
            if isinstance(event, str) and not isinstance(value, Emit):
                found.add(event)
            pending.extend(getattr(value, slot.name) for slot in fields(value))
    return frozenset(found)


def _levels(rules: Sequence[Rule]) -> dict[int, int]:
    """The stratum of every rule, by its number, that is not in a circle or behind one."""
    emitters: dict[str, set[int]] = {}
    for number, rule in enumerate(rules):
        for emit in rule.emits:
            emitters.setdefault(emit.event, set()).add(number)
    if not emitters:
        return dict.fromkeys(range(len(rules)), 0)
    waits: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    for number, rule in enumerate(rules):
        sources = {f for event in events_read(rule) for f in emitters.get(event, ())}
        waits[number] = len(sources)
        for source in sources:
            readers.setdefault(source, []).append(number)
    levels: dict[int, int] = {}
    ready = [number for number, count in waits.items() if not count]
    levels.update(dict.fromkeys(ready, 0))
    while ready:
        number = ready.pop()
        for reader in readers.get(number, ()):
            levels[reader] = max(levels.get(reader, 0), levels[number] + 1)
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    return {number: level for number, level in levels.items() if not waits[number]}
