"""Conditions across events: the compiled program equals the scalar evaluator, one at a time.

The pattern is always `s0: A -> s1: A+ -> s2: B`, so that every condition meets many bound events.
"""

from __future__ import annotations

import os
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import (
    COMPARE,
    EVENTS,
    FLOAT_MAYBE,
    SPAN,
    Scope,
    across,
    aggregates,
    call,
    const,
    functions,
    values,
)

from dsl.model import (
    Aggregate,
    Arrow,
    Bind,
    Call,
    Expr,
    Link,
    Repeat,
    Rule,
    Sequence,
    Skip,
    Step,
    Symbol,
    Template,
)
from matcher.atoms import Atoms
from matcher.decode import Decoder
from matcher.matcher import END_OF_TIME_MS, Matcher
from matcher.plan import compile_rule
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import reference_matches
from matcher.schema import Schema
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))


def step(index: int, event: str, condition: Expr | None = None) -> Step:
    return Step(index, f"s{index}", event, condition, (), False, index == 1, SPAN)


@st.composite
def conditions(draw: st.DrawFn, own: bool) -> Expr:
    """About `s0`, the events of `s1`, and the event being tested when `own`."""
    scope = Scope([step(0, "A"), step(1, "A")])
    choice = draw(st.sampled_from(("aggregate", "aggregate", "across") if own else ("aggregate",)))
    if choice == "across":
        found = draw(st.one_of(across(scope, None), functions(0)))
        assert found is not None, "there are steps to write about"
        return found
    limit = const(draw(st.sampled_from((0.0, 0.2, 1.0, 2.0, 3.5))), FLOAT_MAYBE)
    return call(draw(st.sampled_from(COMPARE)), draw(aggregates(1, False)), limit)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    limit = const(draw(st.sampled_from((1.0, 2.0, 3.0))), FLOAT_MAYBE)
    loop = call(draw(st.sampled_from(COMPARE)), draw(aggregates(1, True)), limit)
    first = step(1, "A", loop if draw(st.booleans()) else None)
    last = step(2, "B", draw(conditions(True)) if draw(st.booleans()) else None)
    loops = Repeat(Bind(1), 1, None, draw(st.booleans()))
    pattern = Sequence(Bind(0), (Link(Arrow(), (), loops), Link(Arrow(), (), Bind(2))))
    return Rule(
        "programs", None, "low", (), None, (), (Symbol("A", None, ()), Symbol("B", None, ())),
        (step(0, "A"), first, last), pattern, 100,
        draw(conditions(False)) if draw(st.booleans()) else None,
        Skip.NONE, None, Template(()), (), (), "0" * 16, "0" * 16, SPAN,
    )  # fmt: skip


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, object]]:
    """Several events of type A, and then some of type B."""
    first = draw(st.lists(values, min_size=3, max_size=6))
    last = draw(st.lists(values, min_size=1, max_size=2))
    types = ["A"] * len(first) + ["B"] * len(last)
    return [
        {"type": type, "ts": ts, "k": "p", **value}
        for ts, (type, value) in enumerate(zip(types, first + last, strict=True))
    ]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rules(), runs())
def test_programs_equal_scalar_evaluation(rule: Rule, events: list[dict[str, object]]) -> None:
    typed = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
    ]
    expected = [(match.at_ms, match.positions) for match in reference_matches(rule, typed)]
    schema, strings = Schema.of(EVENTS, [rule]), Strings()
    matcher, decoder = Matcher([rule], schema, strings), Decoder(schema, strings)
    found = matcher.advance(decoder.decode_dicts(events, 0).batch, END_OF_TIME_MS)
    assert [
        (match.at_ms, tuple((event.step, event.position) for event in match.events))
        for match in found
    ] == expected


def test_conditions_need_few_slots_however_long_they_are() -> None:
    one = call("gt", Aggregate(FLOAT_MAYBE, "sum", 1, ("f",), False, SPAN), const(1.0, FLOAT_MAYBE))
    whole: Expr = one
    for number in range(300):
        other = replace(one, args=(one.args[0], const(float(number), FLOAT_MAYBE)))
        whole = Call(one.type, "or", (whole, other), SPAN)
    pattern = Sequence(
        Bind(0), (Link(Arrow(), (), Repeat(Bind(1), 1, None, True)), Link(Arrow(), (), Bind(2)))
    )
    rule = Rule(
        "long", None, "low", (), None, (), (Symbol("A", None, ()), Symbol("B", None, ())),
        (step(0, "A"), step(1, "A"), step(2, "B")), pattern, 100, whole,
        Skip.NONE, None, Template(()), (), (), "0" * 16, "0" * 16, SPAN,
    )  # fmt: skip
    schema, strings = Schema.of(EVENTS, [rule]), Strings()
    assert compile_rule(rule, schema, Atoms(schema, strings), strings).calls == ()
