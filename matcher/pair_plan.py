"""Which rules are pairs, `a: A -> b: B`, and what of their plan the join needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsl.model import Bind, Call, Const, Contiguity, Policy, Rule, Skip
from dsl.model import Sequence as SequencePattern
from dsl.version import fingerprint
from matcher.bytecode import Action
from matcher.fitting import Condition
from matcher.layout import is_text
from matcher.plan import Plan
from matcher.schema import Schema
from matcher.tables import NO_PROGRAM

VALUES_MAX = 8
"""Values kept with each start of a group; rules that need others make another group."""


@dataclass(frozen=True, slots=True)
class Value:
    """A derived column kept with starts; `name` is the same in every process."""

    derived: int
    name: str
    text: bool


class PairTest(NamedTuple):
    """Compares derived column `own` of the second event with `factor` times a value of the start.

    The factor is 1 for what is not a float.
    """

    compare: int
    own: int
    value: Value
    factor: float


@dataclass(frozen=True, slots=True)
class Pair:
    """What of a plan `PairLane` needs.

    `tests` are as `PairTest` says; keys are the columns of a batch that hold their parts; `name`
    says what the starts are, in every process.
    """

    name: str
    first: Condition
    first_key: tuple[int, ...]
    second: Condition
    second_key: tuple[int, ...]
    tests: tuple[PairTest, ...]
    gap_from_ms: int
    window_ms: int
    steps: tuple[int, int]


def pair_of(plan: Plan, schema: Schema) -> Pair | None:
    """The plan as a pair, or None when the rule needs the automaton."""
    rule, tables = plan.rule, plan.tables
    pattern = rule.pattern
    if rule.skip is not Skip.PAST_LAST or rule.where is not None or len(rule.steps) != 2:
        return None
    if rule.policy != Policy():
        return None
    if not isinstance(pattern, SequencePattern) or len(pattern.links) != 1:
        return None
    first, link = pattern.first, pattern.links[0]
    if not isinstance(first, Bind) or not isinstance(link.to, Bind) or link.absent:
        return None
    if link.arrow.contiguity is not Contiguity.NEXT or (tables.program != NO_PROGRAM).any():
        return None
    a, b = first.step, link.to.step
    kept = tables.actions[tables.action_begin[a] : tables.action_begin[a + 1]]
    if tables.test_begin[a + 1] != tables.test_begin[a] or (kept[:, 0] != Action.STORE).any():
        return None
    limits = [ms for ms in (rule.within_ms, link.arrow.max_gap_ms) if ms is not None]
    conditions = [_condition(plan, step) for step in (a, b)]
    if not limits or None in conditions or len(kept) > VALUES_MAX:
        return None
    window_ms = min(limits)
    event = rule.steps[a].event
    values = {int(register): _value(plan, event, column) for _, register, column, _ in kept}
    tests = tables.tests[tables.test_begin[b] : tables.test_begin[b + 1]].tolist()
    keys = [
        tuple(schema.column(rule.steps[step].event, path) for path in rule.steps[step].key)
        for step in (a, b)
    ]
    assert conditions[0] is not None and conditions[1] is not None
    return Pair(
        name=_name(rule, a, window_ms),
        first=conditions[0],
        first_key=keys[0],
        second=conditions[1],
        second_key=keys[1],
        tests=tuple(
            PairTest(compare, plan.columns[own], *values[register])
            for compare, own, register in tests
        ),
        gap_from_ms=link.arrow.min_gap_ms or 0,
        window_ms=window_ms,
        steps=(a, b),
    )


def _value(plan: Plan, event: str, column: int) -> tuple[Value, float]:
    """What a column is a multiple of, and its factor: rules that differ in it share the value."""
    source, factor = plan.layout.source(column), 1.0
    derived = plan.columns[column]
    match source:
        case Call(op="mul", args=(Const(value=float() as number), other)) if 0 < number < np.inf:
            source, factor = other, number
            derived = plan.layout.atoms.derived(event, source)
    return Value(derived, fingerprint(source), is_text(source.type)), factor


def _name(rule: Rule, step: int, window_ms: int) -> str:
    first = rule.steps[step]
    seen = [symbol.condition for symbol in rule.alphabet if symbol.event == first.event]
    types = [key.type for key in rule.keys]
    return fingerprint(
        first.event, first.condition, first.key, tuple(types), tuple(seen), window_ms
    )


def _condition(plan: Plan, step: int) -> Condition | None:
    """What an event must satisfy to be bound to the step; None when the rule cannot see it."""
    for entry in plan.entries:
        for index, atoms in entry.steps:
            if index == step:
                return Condition(atoms, entry.visible)
    return None
