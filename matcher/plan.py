"""A plan: one rule compiled to data.  Atoms to test per batch, tables for the kernel, what to save.

rule (typed model) → automaton → plan (arrays)          nothing here looks at an event
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from dsl.model import (
    Contiguity,
    Expr,
    FieldRef,
    Fire,
    Kind,
    Path,
    Rule,
    Runs,
    Skip,
    Type,
    leading_silence,
)
from matcher.atoms import Atoms
from matcher.automaton import automaton
from matcher.buffers import CANCEL_BIT, RESOLVE_BIT, SEEN_BIT
from matcher.expressions import Test, own_parts, split_tests
from matcher.host import HostCall
from matcher.layout import Layout
from matcher.limits import RUNS_PER_KEY_MAX
from matcher.programs import Code, UnsupportedRule, compile_program
from matcher.runs import NONE, RUN_NODE, RUN_REGISTERS
from matcher.schema import Schema
from matcher.states import Absence, Automaton, Guard, State, Transition
from matcher.strings import Strings
from matcher.tables import (
    AT_ONCE,
    EVERY,
    FINAL,
    FIRE,
    FORKS,
    KEYS_ARE_ROWS,
    NEXT_ENDS,
    NO_LIMIT_MS,
    NO_PROGRAM,
    OPEN,
    OPENS,
    OPTIONS,
    PURE_SILENCE,
    RUNS_PER_KEY,
    RUNS_POLICY,
    SIGNALS,
    SILENCE_MS,
    SILENCE_STEPS,
    SKIP,
    SKIP_PLACE,
    SKIP_STEP,
    START_STEPS,
    STARTS,
    TIMED,
    TIMERS,
    WHERE,
    WITHIN_MS,
    Ints,
    Tables,
)

STEPS_MAX = SEEN_BIT  # bits of an event's mask


@dataclass(frozen=True, slots=True)
class Entry:
    """Events of type `event`, keyed by `key`, may matter to the rule.

    `steps` are (step, atoms that must all hold); `visible` are the atom sets of the alphabet, of
    which one must hold (empty: every event of the type is visible).  With `always` even an event
    that fits no step is offered: it can break a strict `=>`, or be the first of its key.  `marks`
    are further bits of the mask of every event offered.
    """

    event: str
    key: tuple[Path, ...]
    steps: tuple[tuple[int, tuple[int, ...]], ...]
    visible: tuple[tuple[int, ...], ...]
    always: bool
    marks: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`columns` are the derived columns that the byte code reads, in order; `calls` are its calls
    back to Python."""

    rule: Rule
    entries: tuple[Entry, ...]
    columns: tuple[int, ...]
    tables: Tables
    layout: Layout
    calls: tuple[HostCall, ...] = ()


def compile_rule(rule: Rule, schema: Schema, atoms: Atoms, strings: Strings) -> Plan:
    """The plan of a checked rule; raises UnsupportedRule for what tables cannot hold."""
    if len(rule.steps) > STEPS_MAX:
        raise UnsupportedRule(f"more than {STEPS_MAX} steps")
    layout = Layout(rule, schema, atoms)
    code = Code()
    silence, pattern = leading_silence(rule.pattern)
    machine = automaton(pattern)
    if any(len(state.transitions) > STEPS_MAX for state in machine.states):
        raise UnsupportedRule(f"more than {STEPS_MAX} ways on from one step")
    own: list[tuple[int, ...]] = []
    programs: list[int] = []
    tests: list[list[Test]] = []
    for step in rule.steps:
        parts, rest = own_parts(step.condition, rule)
        alone: list[Expr | None] = [*parts] if parts else [None]
        own.append(tuple(atoms.atom(step.event, part) for part in alone))
        compared, rest = split_tests(rest, step.index, layout)
        tests.append(compared)
        compiled = NO_PROGRAM
        if rest is not None:
            compiled = compile_program(rest, step.index, layout, code, strings)
        programs.append(compiled)
    skip_place = _skip_place(rule, layout)
    where = NO_PROGRAM
    if rule.where is not None:
        where = compile_program(rule.where, None, layout, code, strings)
    counters = [layout.counter() for _ in range(machine.counters)]
    options = _options(rule, machine.states, where, skip_place)
    tables = _tables(rule, machine, layout, code, tests, programs, counters, options)
    every = bool(tables.strict_bits.any() or tables.end_next.any() or silence is not None)
    entries = (*_entries(rule, own, every, atoms), *_signals(rule, atoms))
    return Plan(rule, entries, tuple(layout.columns), tables, layout, tuple(code.calls))


def _entries(rule: Rule, own: list[tuple[int, ...]], every: bool, atoms: Atoms) -> Iterable[Entry]:
    """One entry for each event type and each way its key is read."""
    visible: dict[str, list[tuple[int, ...]]] = {}
    ways: dict[tuple[str, tuple[Path, ...]], list[int]] = {}
    for symbol in rule.alphabet:
        parts, _ = own_parts(symbol.condition, rule)
        ids = tuple(atoms.atom(symbol.event, part) for part in parts)
        visible.setdefault(symbol.event, []).append(ids)
        if every:
            ways.setdefault((symbol.event, symbol.key), [])
    for step in rule.steps:
        ways.setdefault((step.event, step.key), []).append(step.index)
    for (event, key), steps in ways.items():
        if event not in visible:
            continue  # not in the alphabet: the rule cannot see it
        sets = () if () in visible[event] else tuple(visible[event])
        marks = 1 << SEEN_BIT if _signalled(rule) else 0
        yield Entry(event, key, tuple((step, own[step]) for step in steps), sets, every, marks)


def _signals(rule: Rule, atoms: Atoms) -> Iterable[Entry]:
    """One entry for each symbol that cancels or resolves."""
    for bit, symbols in (CANCEL_BIT, rule.policy.cancel), (RESOLVE_BIT, rule.policy.resolve):
        for symbol in symbols:
            parts, _ = own_parts(symbol.condition, rule)
            ids = tuple(atoms.atom(symbol.event, part) for part in parts)
            yield Entry(symbol.event, symbol.key, (), (ids,) if ids else (), True, 1 << bit)


def _signalled(rule: Rule) -> bool:
    policy = rule.policy
    return bool(policy.cancel or policy.resolve) or policy.fire is Fire.ONCE


def _tables(
    rule: Rule,
    machine: Automaton,
    layout: Layout,
    code: Code,
    tests: list[list[Test]],
    programs: list[int],
    counters: list[int],
    options: Ints,
) -> Tables:
    states = (*machine.states, State(None)) if options[FINAL] >= 0 else machine.states
    transitions = [transition for state in states for transition in state.transitions]
    steps = [states[transition.target].step for transition in transitions]
    absences = [_absences(state) for state in states]
    ends = [state.end for state in states]
    guards = [transition.guards for transition in transitions]
    guards += [() if end is None else end.guards for end in ends]
    flat = [guard for group in guards for guard in group]
    guard_begin = _begins(map(len, guards))
    counts = [count for transition in transitions for count in transition.counts]
    absent = [absence for group in absences for absence in group]
    actions = [layout.ordered_actions(step.index) for step in rule.steps]
    return Tables(
        transition_begin=_begins(len(state.transitions) for state in states),
        absent_begin=_begins(map(len, absences)),
        end_kind=_ints(OPEN if end is None else TIMED if end.timed else AT_ONCE for end in ends),
        end_for_ms=_ints(
            -1 if end is None or end.absent_for_ms is None else end.absent_for_ms for end in ends
        ),
        end_next=_ints(0 if end is None else end.next for end in ends),
        end_guard_begin=guard_begin[len(transitions) :],
        strict_bits=_ints(map(_strict_bits, states)),
        all_bits=_ints(map(_all_bits, states)),
        quick_test=_ints(_quick_test(state, states, tests) for state in states),
        gap_max_ms=_ints(map(_gap_max_ms, states)),
        end_rank=_ints(state.end_rank for state in states),
        target=_ints(transition.target for transition in transitions),
        step=_ints(step for step in steps if step is not None),
        gap_from_ms=_ints(map(_gap_from_ms, transitions)),
        gap_to_ms=_ints(_gap_to_ms(transition) for transition in transitions),
        again=_ints(transition.again for transition in transitions),
        cut_bits=_ints(bits for state in states for bits in _cut_bits(state)),
        forks=_ints(map(_forks, transitions)),
        guard_begin=guard_begin[: len(transitions) + 1],
        count_begin=_begins(len(transition.counts) for transition in transitions),
        absent_step=_ints(absence.step for absence in absent),
        absent_bits=_ints(bits for group in absences for bits in group.values()),
        absent_for_ms=_ints(_for_ms(absence) for absence in absent),
        guard_register=_ints(counters[guard.counter] for guard in flat),
        guard_mask=_ints(guard.mask for guard in flat),
        guard_least=_ints(guard.least or 0 for guard in flat),
        guard_most=_ints(_most(guard) for guard in flat),
        count_register=_ints(counters[count.counter] for count in counts),
        count_again=_ints(count.again for count in counts),
        count_amount=_ints(count.amount for count in counts),
        program=_ints(programs),
        test_begin=_begins(map(len, tests)),
        tests=_ints(number for group in tests for test in group for number in test).reshape(-1, 3),
        action_begin=_begins(map(len, actions)),
        actions=_rows([action for group in actions for action in group]),
        code=_rows(code.rows),
        program_begin=_ints(code.begin),
        program_result=_ints(code.results),
        constants=_ints(code.constants),
        walk_step=_ints(walk.step for walk in layout.walks),
        walk_place=_ints(walk.place for walk in layout.walks),
        walk_float=_ints(walk.float_ for walk in layout.walks),
        initial=_initial(layout),
        options=options,
    )


def _options(rule: Rule, states: tuple[State, ...], where: int, skip_place: int) -> Ints:
    policy, options = rule.policy, np.zeros(OPTIONS, np.int64)
    closes = policy.fire is Fire.CLOSE
    transitions = [transition for state in states for transition in state.transitions]
    options[WITHIN_MS] = NO_LIMIT_MS if rule.within_ms is None else rule.within_ms
    options[WHERE] = where
    timed = any(state.end is not None and state.end.timed for state in states)
    options[TIMERS] = timed or closes
    branches = max((len(state.transitions) for state in states[1:]), default=0)
    stays = any(map(_forks, transitions)) or (
        where != NO_PROGRAM and any(transition.again for transition in transitions)
    )
    options[FORKS] = max(0, branches - 1) + stays + closes
    options[STARTS] = len(states[0].transitions) + closes
    first = {states[transition.target].step for transition in states[0].transitions}
    options[START_STEPS] = sum(1 << step for step in first if step is not None)
    options[RUNS_PER_KEY] = min(policy.runs_max or RUNS_PER_KEY_MAX, RUNS_PER_KEY_MAX)
    options[RUNS_POLICY] = list(Runs).index(policy.runs)
    options[SIGNALS] = _signalled(rule)
    options[OPENS] = bool(policy.resolve) or policy.fire is Fire.ONCE
    options[EVERY] = policy.every
    options[FIRE] = list(Fire).index(policy.fire)
    options[FINAL] = len(states) if closes else -1
    options[SKIP] = list(Skip).index(rule.skip)
    options[SKIP_STEP] = -1 if policy.skip_to is None else policy.skip_to
    options[SKIP_PLACE] = skip_place
    options[NEXT_ENDS] = any(state.end is not None and state.end.next for state in states)
    silence, pattern = leading_silence(rule.pattern)
    options[SILENCE_MS] = -1 if silence is None else silence.for_ms
    options[SILENCE_STEPS] = 0 if silence is None else sum(1 << step for step in silence.absent)
    options[PURE_SILENCE] = pattern is None
    options[KEYS_ARE_ROWS] = rule.key_table is not None
    return options


def _skip_place(rule: Rule, layout: Layout) -> int:
    """Where the time of an event bound to the step that `skip to` names is kept."""
    step = rule.policy.skip_to
    if step is None:
        return -1
    schema = layout.schema
    event = schema.events[schema.event_index[rule.steps[step].event]]
    assert event.time_field is not None, "an event without a time has no place in a pattern"
    time = FieldRef(Type(Kind.TIMESTAMP), None, (event.time_field,), rule.span)
    return layout.walks[layout.walk(step, time)].place


def _forks(transition: Transition) -> bool:
    """Whether a run that takes this way stays as well."""
    return transition.arrow is not None and transition.arrow.contiguity is Contiguity.ANY


def _initial(layout: Layout) -> Ints:
    row = _ints([0] * RUN_REGISTERS + [register.initial for register in layout.registers])
    row[RUN_NODE] = NONE
    return row


def _absences(state: State) -> dict[Absence, int]:
    """Absence → bits of the transitions (and the end) that an event fitting it blocks."""
    found: dict[Absence, int] = {}
    for number, transition in enumerate(state.transitions):
        for absence in transition.absent:
            found[absence] = found.get(absence, 0) | 1 << number
    if state.end is not None and state.end.timed:
        for absence in map(Absence, state.end.absent):
            found[absence] = found.get(absence, 0) | 1 << len(state.transitions)
    return found if state.step is not None else {}


def _for_ms(absence: Absence) -> int:
    return NO_LIMIT_MS if absence.for_ms is None else absence.for_ms


def _cut_bits(state: State) -> list[int]:
    """For each transition, those of the state that leave a loop it keeps in."""
    return [
        sum(1 << number for number, way in enumerate(state.transitions) if way.leaves & kept.keeps)
        for kept in state.transitions
    ]


def _strict_bits(state: State) -> int:
    return sum(
        1 << number
        for number, transition in enumerate(state.transitions)
        if transition.arrow is not None and transition.arrow.contiguity is Contiguity.STRICT
    )


def _all_bits(state: State) -> int:
    timed = state.end is not None and state.end.timed
    return int((1 << len(state.transitions) + timed) - 1)


def _quick_test(state: State, states: tuple[State, ...], tests: list[list[Test]]) -> int:
    """The first test of the only way on, if an event that fails it leaves the run as it is."""
    if state.step is None or len(state.transitions) != 1 or _absences(state) or _strict_bits(state):
        return -1
    step = states[state.transitions[0].target].step
    assert step is not None
    return sum(map(len, tests[:step])) if tests[step] else -1


def _gap_max_ms(state: State) -> int:
    limits = [_gap_to_ms(transition) for transition in state.transitions]
    if state.end is not None and state.end.timed:
        for_ms = state.end.absent_for_ms
        limits.append(NO_LIMIT_MS if for_ms is None else for_ms)
    return max(limits, default=0)


def _gap_from_ms(transition: Transition) -> int:
    """The least gap; what follows a timed absence comes after its deadline."""
    least = None if transition.arrow is None else transition.arrow.min_gap_ms
    waits = [absence.for_ms + 1 for absence in transition.absent if absence.for_ms is not None]
    return max([least or 0, *waits])


def _gap_to_ms(transition: Transition) -> int:
    most = None if transition.arrow is None else transition.arrow.max_gap_ms
    return NO_LIMIT_MS if most is None else most


def _most(guard: Guard) -> int:
    return NO_LIMIT_MS if guard.most is None else guard.most


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)


def _begins(lengths: Iterable[int]) -> Ints:
    return _ints(accumulate(lengths, initial=0))


def _rows(rows: list[tuple[int, int, int, int]]) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, 4)
