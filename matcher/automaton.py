"""Pattern → automaton with counters: the position automaton (Glushkov 1961) of the pattern.

A state is "the last bound event fits this place of the pattern"; state 0 is "nothing bound yet".
Transitions leave a state in order of preference, the SQL row-pattern order: a greedy loop before
its exit, a left alternative before a right one.  Bounded repetition counts in a register instead of
unrolling, so `{1000}` costs one counter.

The automaton knows nothing of conditions: a transition names the step whose condition must hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dsl.model import AnyOrder, Bind, Choice, Contiguity, Link, Pattern, Repeat, Sequence, Silence
from matcher.any_order import any_order
from matcher.states import Absence, Automaton, Count, End, Exit, Fragment, Guard, State, Transition


def automaton(pattern: Pattern | None) -> Automaton:
    """The automaton of a rule's pattern, without its leading silence (None: nothing else)."""
    builder = Builder()
    if pattern is not None:
        fragment = builder.fragment(pattern)
        builder.states[0].transitions = list(fragment.entries)
        for exit in fragment.exits:
            builder.states[exit.state].end = exit.end
    for state in builder.states:
        state.transitions += state.reluctant
    return Automaton(tuple(builder.states), builder.counters)


class Builder:
    """States and counters made so far."""

    def __init__(self) -> None:
        self.states = [State(None)]
        self.counters = 0
        self.loops = 0

    def counter(self) -> int:
        self.counters += 1
        return self.counters - 1

    def state(self, step: int) -> int:
        self.states.append(State(step))
        return len(self.states) - 1

    def fragment(self, pattern: Pattern) -> Fragment:
        match pattern:
            case Bind(step):
                state = self.state(step)
                return Fragment((Transition(state),), (Exit(state, End(())),))
            case Choice(options):
                parts = [self.fragment(option) for option in options]
                return Fragment(
                    tuple(entry for part in parts for entry in part.entries),
                    tuple(exit for part in parts for exit in part.exits),
                    any(part.nullable for part in parts),
                )
            case Repeat():
                return self._repeat(pattern)
            case Sequence():
                return self._sequence(pattern)
            case AnyOrder():
                return any_order(pattern, self)
            case Silence():
                raise TypeError("a silence has no places")

    def _repeat(self, repeat: Repeat) -> Fragment:
        inner = len(self.states)
        body = self.fragment(repeat.node)
        least = 0 if body.nullable else repeat.least
        entries, enough = body.entries, tuple[Guard, ...]()
        if repeat.most != 1:
            counter = self.counter()
            entries = tuple(_counted(entry, Count(counter, again=False)) for entry in entries)
            enough = (Guard(counter, least=least),) if least > 1 else ()
            self._loop(repeat, body, counter)
        loop: frozenset[int] = frozenset()
        if repeat.possessive:
            self._close(self.states[inner:])
            loop = self._name()
            entries = tuple(replace(entry, keeps=entry.keeps | loop) for entry in entries)
        exits = tuple(Exit(exit.state, End(exit.end.guards + enough)) for exit in body.exits)
        nullable = least == 0
        return Fragment(entries, exits, nullable, nullable and not repeat.greedy, loop)

    def _loop(self, repeat: Repeat, body: Fragment, counter: int) -> None:
        """The ways back, from each exit of the body to each entry."""
        room = () if repeat.most is None else (Guard(counter, most=repeat.most - 1),)
        until = tuple(Absence(step) for step in repeat.until)
        for exit in body.exits:
            back = [
                replace(
                    _counted(entry, Count(counter, again=True)),
                    guards=exit.end.guards + room,
                    arrow=entry.arrow or repeat.arrow,
                    absent=until + entry.absent,
                    again=True,
                )
                for entry in self._renamed(body.entries)
            ]
            self.add(exit.state, back, reluctant=not repeat.greedy)

    def _sequence(self, sequence: Sequence) -> Fragment:
        links = (None, *sequence.links)
        parts = [self.fragment(sequence.first)]
        parts += [self.fragment(link.to) for link in sequence.links if link.to is not None]
        exits: list[Exit] = []
        for place, part in enumerate(parts):
            rest, after = links[place + 1 :], parts[place + 1 :]
            ways = tuple(_entries(rest, after))
            end = _end(rest, after)
            for exit in part.exits:
                guarded = [replace(way, guards=exit.end.guards + way.guards) for way in ways]
                self.add(exit.state, guarded)
                if end is not None:
                    guards = exit.end.guards + end.guards
                    exits.append(Exit(exit.state, replace(end, guards=guards)))
        nullable = len(parts) == len(links) and all(part.nullable for part in parts)
        return Fragment(tuple(_entries(links, parts)), tuple(exits), nullable)

    def add(self, state: int, ways: Iterable[Transition], reluctant: bool = False) -> None:
        """Further ways on from a state; they leave the possessive loops closed around it."""
        here = self.states[state]
        ways = [replace(way, leaves=way.leaves | here.closed) for way in ways]
        if reluctant:
            here.reluctant[:0] = ways
        else:
            here.transitions += ways

    def _close(self, states: list[State]) -> None:
        """All ways so far between these states keep in the loop, all later ones leave it."""
        loop = self._name()
        for state in states:
            state.closed |= loop
            for ways in (state.transitions, state.reluctant):
                ways[:] = [replace(way, keeps=way.keeps | loop) for way in ways]

    def _name(self) -> frozenset[int]:
        self.loops += 1
        return frozenset({self.loops})

    def _renamed(self, entries: tuple[Transition, ...]) -> list[Transition]:
        """The entries of a loop body once more: the possessive loops they enter are new ones."""
        named = {loop for entry in entries for loop in entry.keeps | entry.leaves}
        names = {loop: name for loop in sorted(named) for name in self._name()}
        return [
            replace(
                entry,
                keeps=frozenset(names[loop] for loop in entry.keeps),
                leaves=frozenset(names[loop] for loop in entry.leaves),
            )
            for entry in entries
        ]


def _counted(entry: Transition, count: Count) -> Transition:
    return replace(entry, counts=(*entry.counts, count))


def _entries(
    links: tuple[Link | None, ...], parts: list[Fragment], absent: tuple[Absence, ...] = ()
) -> Iterator[Transition]:
    """The ways into a chain of links: into the first part, or past it when it may bind nothing.

    The first link is None where nothing is known yet of what leads here.
    """
    if not links or not parts:
        return
    link, part = links[0], parts[0]
    arrow = None if link is None else link.arrow
    forbidden = absent
    if link is not None:
        forbidden += tuple(Absence(step, link.absent_for_ms) for step in link.absent)
    into = [
        replace(entry, arrow=entry.arrow or arrow, absent=forbidden + entry.absent)
        for entry in part.entries
    ]
    if not part.nullable:
        yield from into
        return
    past = [
        replace(way, leaves=way.leaves | part.loop)
        for way in _entries(links[1:], parts[1:], forbidden)
    ]
    yield from (past + into if part.skip_first else into + past)


def _end(links: tuple[Link | None, ...], parts: list[Fragment]) -> End | None:
    """How a run completes before any of `links` binds an event; None if it cannot."""
    absent: tuple[int, ...] = ()
    for place, link in enumerate(links):
        assert link is not None, "only the first part has no link before it"
        absent += link.absent
        if link.to is None:
            strict = link.arrow.contiguity is Contiguity.STRICT
            return End((), absent, timed=True, absent_for_ms=link.absent_for_ms, next=strict)
        if not parts[place].nullable:
            return None
    return End(())
