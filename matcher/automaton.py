"""Pattern → automaton with counters: the position automaton (Glushkov 1961) of the pattern.

A state is "the last bound event fits this place of the pattern"; state 0 is "nothing bound yet".
Transitions leave a state in order of preference, the SQL row-pattern order: a greedy loop before
its exit, a left alternative before a right one.  Bounded repetition counts in a register instead of
unrolling, so `{1000}` costs one counter.

The automaton knows nothing of conditions: a transition names the step whose condition must hold.
"""

from __future__ import annotations

from collections.abc import Iterable
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
            state = builder.states[exit.state]
            state.end, state.end_rank = exit.end, exit.rank
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
        entries, exits = body.entries, body.exits
        if repeat.most != 1:
            counter = self.counter()
            entries = tuple(_counted(entry, Count(counter, again=False)) for entry in entries)
            enough = (Guard(counter, least=least),) if least > 1 else ()
            self._loop(repeat, body, counter)
            rank = len(entries) if repeat.greedy else 0
            exits = tuple(
                replace(exit, end=End(exit.end.guards + enough), rank=exit.rank + rank)
                for exit in exits
            )
        loop: frozenset[int] = frozenset()
        if repeat.possessive:
            self._close(self.states[inner:])
            loop = self._name()
            entries = tuple(replace(entry, keeps=entry.keeps | loop) for entry in entries)
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
                    absent=until + exit.absent + entry.absent,
                    again=True,
                )
                for entry in self._renamed(body.entries)
            ]
            self.go_on(exit, back)

    def _sequence(self, sequence: Sequence) -> Fragment:
        links = (None, *sequence.links)
        parts = [self.fragment(sequence.first)]
        parts += [self.fragment(link.to) for link in sequence.links if link.to is not None]
        exits: list[Exit] = []
        for place, part in enumerate(parts):
            rest, after = links[place + 1 :], parts[place + 1 :]
            ways, rank = _entries(rest, after)
            end, passed = _end(rest, after)
            for exit in part.exits:
                guards = exit.end.guards
                self.go_on(
                    exit,
                    (
                        replace(way, guards=guards + way.guards, absent=exit.absent + way.absent)
                        for way in ways
                    ),
                )
                if end is not None:
                    ending = replace(end, guards=guards + end.guards)
                    exits.append(Exit(exit.state, ending, exit.rank + rank, exit.absent + passed))
        nullable = len(parts) == len(links) and all(part.nullable for part in parts)
        entries, _ = _entries(links, parts)
        return Fragment(tuple(entries), tuple(exits), nullable)

    def go_on(self, exit: Exit, ways: Iterable[Transition]) -> None:
        """Add ways on from an exit, in its place among the preferences of the state.

        They leave the possessive loops closed around it.
        """
        state = self.states[exit.state]
        state.transitions[exit.rank : exit.rank] = [
            replace(way, leaves=way.leaves | state.closed) for way in ways
        ]

    def _close(self, states: list[State]) -> None:
        """All ways so far between these states keep in the loop, all later ones leave it."""
        loop = self._name()
        for state in states:
            state.closed |= loop
            state.transitions = [replace(way, keeps=way.keeps | loop) for way in state.transitions]

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
) -> tuple[list[Transition], int]:
    """The ways into a chain of links: into the first part, or past it when it may bind nothing.

    Also how many of them are preferred to passing by the whole chain.  The first link is None where
    nothing is known yet of what leads here.
    """
    if not links or not parts:
        return [], 0
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
        return into, len(into)
    behind, rank = _entries(links[1:], parts[1:], forbidden)
    past = [replace(way, leaves=way.leaves | part.loop) for way in behind]
    return (past + into, rank) if part.skip_first else (into + past, len(into) + rank)


def _end(
    links: tuple[Link | None, ...], parts: list[Fragment]
) -> tuple[End | None, tuple[Absence, ...]]:
    """How a run completes before any of `links` binds an event; None if it cannot.

    And what must not come before that which follows the chain, when the chain binds nothing more.
    """
    absent: tuple[int, ...] = ()
    passed: tuple[Absence, ...] = ()
    for place, link in enumerate(links):
        assert link is not None, "only the first part has no link before it"
        absent += link.absent
        passed += tuple(Absence(step, link.absent_for_ms) for step in link.absent)
        if link.to is None:
            strict = link.arrow.contiguity is Contiguity.STRICT
            end = End((), absent, timed=True, absent_for_ms=link.absent_for_ms, next=strict)
            return end, ()
        if not parts[place].nullable:
            return None, ()
    return End(()), passed
