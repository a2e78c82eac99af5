"""`A & B` and `n of (…)`: one state for each step, and registers that say which parts are done.

From every state a way leads to every step, guarded: n parts cost n states and n² ways, not the n!
orders.  One counter holds a bit for each part that binds at most one event, another one counts the
parts done when not all are needed, and each repeated part has a counter of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dsl.model import AnyOrder, Bind, Choice, Pattern, Repeat
from matcher.states import Absence, Count, End, Exit, Fragment, Guard, Transition

if TYPE_CHECKING:
    from matcher.automaton import Builder


@dataclass(frozen=True, slots=True)
class _Part:
    """Taken when `guard` holds, with `amount` added to its counter; `mask` is its own bits."""

    steps: tuple[int, ...]
    least: int
    guard: Guard
    amount: int


def any_order(pattern: AnyOrder, builder: Builder) -> Fragment:
    bits = builder.counter()
    done = builder.counter() if pattern.count < len(pattern.parts) else None
    parts = [_part(part, bits, number, builder) for number, part in enumerate(pattern.parts)]
    states = [[builder.state(step) for step in part.steps] for part in parts]
    counters = {part.guard.counter for part in parts} | {bits}
    absent = tuple(Absence(step) for step in pattern.absent)
    entries: list[Transition] = []
    ways: list[Transition] = []
    for part, places in zip(parts, states, strict=True):
        counter = part.guard.counter
        enter = [Count(other, False, 0) for other in sorted(counters - {counter})]
        enter.append(Count(counter, False, part.amount))
        take = [Count(counter, True, part.amount)]
        guards = [part.guard]
        if done is not None:
            enter.append(Count(done, again=False))
            take.append(Count(done, again=True))
            guards.append(Guard(done, most=pattern.count - 1))
        for place in places:
            entries.append(Transition(place, counts=tuple(enter)))
            ways.append(Transition(place, pattern.arrow, absent, tuple(guards), tuple(take)))
    complete = End((Guard(done, least=pattern.count),) if done is not None else _all_done(parts))
    exits = []
    for places in states:
        for place in places:
            exit = Exit(place, complete)
            builder.go_on(exit, ways)
            exits.append(replace(exit, rank=len(ways)))
    nullable = sum(part.least == 0 for part in parts) >= pattern.count
    return Fragment(tuple(entries), tuple(exits), nullable)


def _part(part: Pattern, bits: int, number: int, builder: Builder) -> _Part:
    least, node = 1, part
    if isinstance(part, Repeat):
        least, node = part.least, part.node
        if part.most != 1:
            room = None if part.most is None else part.most - 1
            return _Part(_steps(node), least, Guard(builder.counter(), most=room), 1)
    return _Part(_steps(node), least, Guard(bits, most=0, mask=1 << number), 1 << number)


def _steps(node: Pattern) -> tuple[int, ...]:
    match node:
        case Bind(step):
            return (step,)
        case Choice(options):
            return tuple(step for option in options for step in _steps(option))
        case _:
            raise TypeError(f"no part of any order: {node}")


def _all_done(parts: list[_Part]) -> tuple[Guard, ...]:
    """Every bit set that must be, every repeated part taken often enough."""
    guards: list[Guard] = []
    required = 0
    for part in parts:
        if part.guard.mask != -1:
            required |= part.amount if part.least else 0
        elif part.least:
            guards.append(Guard(part.guard.counter, least=part.least))
    if required:
        bits = next(part.guard.counter for part in parts if part.guard.mask != -1)
        guards.append(Guard(bits, least=required, mask=required))
    return tuple(guards)
