"""What an automaton is made of: states, transitions with guards on counters, ways to complete.

A counter is a register of the run that only transitions touch: the rounds of a loop, or a set of
bits that says which parts of `A & B` are done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dsl.model import Arrow


@dataclass(frozen=True, slots=True)
class Guard:
    """Counter `counter`, of which only the bits in `mask` count, must lie in `least..most`."""

    counter: int
    least: int | None = None
    most: int | None = None
    mask: int = -1


@dataclass(frozen=True, slots=True)
class Count:
    """When the transition is taken: add `amount` to the counter (`again`), or set it to that."""

    counter: int
    again: bool
    amount: int = 1


class Absence(NamedTuple):
    """No event may fit `step`: for so long after the last bound event, or (None) at all."""

    step: int
    for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """Bind an event to place `target`; an event that fits a step in `absent` blocks it.

    `arrow is None` takes the arrow of whatever leads here.  `again` marks the way back into a loop
    the run already stands in.  `keeps` and `leaves` name possessive loops: one that leaves a loop
    gives way to one that keeps in it when an event fits both.
    """

    target: int
    arrow: Arrow | None = None
    absent: tuple[Absence, ...] = ()
    guards: tuple[Guard, ...] = ()
    counts: tuple[Count, ...] = ()
    again: bool = False
    keeps: frozenset[int] = frozenset()
    leaves: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class End:
    """How a run in this state completes: at once, or after a trailing absence.

    `absent_for_ms` counts from the last bound event, or is None: until the rule's `within` ends.
    With `next` the very next event decides, if it comes in time.
    """

    guards: tuple[Guard, ...]
    absent: tuple[int, ...] = ()
    timed: bool = False
    absent_for_ms: int | None = None
    next: bool = False


@dataclass(slots=True)
class State:
    """`step` is the step whose event was bound last (None for the initial state).

    The first `end_rank` transitions are preferred to completing here.  `closed` are the possessive
    loops around it: what is added from now on leaves them.
    """

    step: int | None
    transitions: list[Transition] = field(default_factory=list)
    end: End | None = None
    end_rank: int = 0
    closed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Automaton:
    """`states[0]` is the initial state; counters are numbered from 0."""

    states: tuple[State, ...]
    counters: int


@dataclass(frozen=True, slots=True)
class Exit:
    """A run in `state` has matched the fragment when `end.guards` hold.

    The first `rank` transitions of the state are preferred to that; ways on come behind them, and
    take on what is `absent` before them.
    """

    state: int
    end: End
    rank: int = 0
    absent: tuple[Absence, ...] = ()


@dataclass(frozen=True, slots=True)
class Fragment:
    """A compiled sub-pattern: the ways in, the ways out, and whether it may bind nothing.

    `skip_first` says that binding nothing is preferred (a reluctant `?` or `*`); passing by a
    possessive loop leaves `loop`.
    """

    entries: tuple[Transition, ...]
    exits: tuple[Exit, ...]
    nullable: bool = False
    skip_first: bool = False
    loop: frozenset[int] = frozenset()
