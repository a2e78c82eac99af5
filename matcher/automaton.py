"""Pattern → automaton with counters: the position automaton (Glushkov 1961) of the pattern.

A state is "the last bound event fits this place of the pattern"; state 0 is "nothing bound yet".
Transitions leave a state in order of preference, the SQL row-pattern order: a greedy loop before
its exit, a left alternative before a right one.  Bounded repetition counts in a register instead of
unrolling, so `{1000}` costs one counter.

The automaton knows nothing of conditions: a transition names the step whose condition must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dsl.model import Arrow, Bind, Choice, Link, Pattern, Repeat, Sequence

LOOP_ARROW = Arrow()


@dataclass(frozen=True, slots=True)
class Guard:
    """Counter `counter` must lie in `least..most`; None is no bound."""

    counter: int
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """When the transition is taken: set the counter to 1 (entering the loop) or add 1 (again)."""

    counter: int
    again: bool


@dataclass(frozen=True, slots=True)
class Transition:
    """Bind an event to place `target`; an event that fits a step in `absent` blocks it.

    `again` marks the way back into a loop the run already stands in.
    """

    target: int
    arrow: Arrow
    absent: tuple[int, ...] = ()
    guards: tuple[Guard, ...] = ()
    counts: tuple[Count, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a run in this state completes: at once, or after a trailing absence.

    `absent_for_ms` counts from the last bound event, or is None: until the rule's `within` ends.
    """

    guards: tuple[Guard, ...]
    absent: tuple[int, ...] = ()
    timed: bool = False
    absent_for_ms: int | None = None


@dataclass(slots=True)
class State:
    """`step` is the step whose event was bound last (None for the initial state)."""

    step: int | None
    transitions: list[Transition] = field(default_factory=list)
    reluctant: list[Transition] = field(default_factory=list)  # come after all others
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Automaton:
    """`states[0]` is the initial state; counters are numbered from 0."""

    states: tuple[State, ...]
    counters: int


def automaton(pattern: Pattern) -> Automaton:
    """The automaton of a rule's pattern."""
    builder = _Builder()
    fragment = builder.fragment(pattern)
    builder.states[0].transitions = list(fragment.entries)
    for exit in fragment.exits:
        builder.states[exit.state].end = exit.end
    for state in builder.states:
        state.transitions += state.reluctant
    return Automaton(tuple(builder.states), builder.counters)


@dataclass(frozen=True, slots=True)
class _Exit:
    """A run in `state` has matched the fragment when `end.guards` hold."""

    state: int
    end: End


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A compiled sub-pattern: the ways in, the ways out, and whether it may bind nothing.

    `skip_first` says that binding nothing is preferred (a reluctant `?` or `*`).
    """

    entries: tuple[Transition, ...]
    exits: tuple[_Exit, ...]
    nullable: bool = False
    skip_first: bool = False


class _Builder:
    def __init__(self) -> None:
        self.states = [State(None)]
        self.counters = 0

    def fragment(self, pattern: Pattern) -> _Fragment:
        match pattern:
            case Bind(step):
                self.states.append(State(step))
                state = len(self.states) - 1
                return _Fragment((Transition(state, LOOP_ARROW),), (_Exit(state, End(())),))
            case Choice(options):
                parts = [self.fragment(option) for option in options]
                return _Fragment(
                    tuple(entry for part in parts for entry in part.entries),
                    tuple(exit for part in parts for exit in part.exits),
                    any(part.nullable for part in parts),
                )
            case Repeat():
                return self._repeat(pattern)
            case Sequence():
                return self._sequence(pattern)

    def _repeat(self, repeat: Repeat) -> _Fragment:
        body = self.fragment(repeat.node)
        least = 0 if body.nullable else repeat.least
        nullable = least == 0
        if repeat.most == 1:
            return replace(body, nullable=nullable, skip_first=nullable and not repeat.greedy)
        counter = self.counters
        self.counters += 1
        entries = tuple(_counted(entry, Count(counter, again=False)) for entry in body.entries)
        room = () if repeat.most is None else (Guard(counter, most=repeat.most - 1),)
        for exit in body.exits:
            back = [
                replace(
                    _counted(entry, Count(counter, again=True)),
                    guards=exit.end.guards + room,
                    arrow=LOOP_ARROW,
                    again=True,
                )
                for entry in body.entries
            ]
            state = self.states[exit.state]
            if repeat.greedy:
                state.transitions += back
            else:
                state.reluctant[:0] = back
        enough = (Guard(counter, least=least),) if least > 1 else ()
        exits = tuple(_Exit(exit.state, End(exit.end.guards + enough)) for exit in body.exits)
        return _Fragment(entries, exits, nullable, nullable and not repeat.greedy)

    def _sequence(self, sequence: Sequence) -> _Fragment:
        links = (Link(LOOP_ARROW, (), sequence.first), *sequence.links)
        parts = [None if link.to is None else self.fragment(link.to) for link in links]
        exits: list[_Exit] = []
        for place, part in enumerate(parts):
            if part is None:
                continue
            rest, after = links[place + 1 :], parts[place + 1 :]
            ways = tuple(_entries(rest, after))
            end = _end(rest, after)
            for exit in part.exits:
                self.states[exit.state].transitions += [
                    replace(way, guards=exit.end.guards + way.guards) for way in ways
                ]
                if end is not None:
                    exits.append(
                        _Exit(exit.state, replace(end, guards=exit.end.guards + end.guards))
                    )
        nullable = all(part is not None and part.nullable for part in parts)
        return _Fragment(tuple(_entries(links, parts)), tuple(exits), nullable)


def _counted(entry: Transition, count: Count) -> Transition:
    return replace(entry, counts=(*entry.counts, count))


def _entries(
    links: tuple[Link, ...], parts: list[_Fragment | None], absent: tuple[int, ...] = ()
) -> Iterator[Transition]:
    """The ways into a chain of links: into the first part, or past it when it may bind nothing."""
    if not links or parts[0] is None:
        return
    link, part = links[0], parts[0]
    forbidden = absent + link.absent
    into = [
        replace(entry, arrow=link.arrow, absent=forbidden + entry.absent) for entry in part.entries
    ]
    past = list(_entries(links[1:], parts[1:], forbidden)) if part.nullable else []
    yield from (past + into if part.skip_first else into + past)


def _end(links: tuple[Link, ...], parts: list[_Fragment | None]) -> End | None:
    """How a run completes before any of `links` binds an event; None if it cannot."""
    absent: tuple[int, ...] = ()
    for link, part in zip(links, parts, strict=True):
        absent += link.absent
        if part is None:
            return End((), absent, timed=True, absent_for_ms=link.absent_for_ms)
        if not part.nullable:
            return None
    return End(())
