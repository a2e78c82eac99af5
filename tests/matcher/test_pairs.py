"""Two-step rules that share their starts equal the reference, each as if it were alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import (
    EVENTS,
    FIELDS,
    SPAN,
    arrows,
    call,
    const,
    own_conditions,
    ref,
    streams,
)
from test_fast_equals_reference import EXAMPLES, cut, expected, outcome

from dsl.model import (
    Arrow,
    Bind,
    Contiguity,
    Expr,
    Key,
    Link,
    Path,
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
from matcher.pair_plan import pair_of
from matcher.plan import compile_rule
from matcher.schema import Schema
from matcher.strings import Strings

COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


@st.composite
def conditions(draw: st.DrawFn) -> Expr | None:
    """Of the second step: own conditions and comparisons with the first step's event."""
    parts: list[Expr] = []
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(("x", "d", "f", "s")))
        ops = ("eq", "ne") if name == "s" else COMPARE
        sides: list[Expr] = [ref(name), ref(name, 0)]
        if name == "f" and draw(st.booleans()):
            factor = const(draw(st.sampled_from((-1.0, 0.5, 2.0))), sides[1].type)
            sides[1] = call("mul", factor, sides[1], type=sides[1].type)
        if draw(st.booleans()):
            sides.reverse()
        parts.append(call(draw(st.sampled_from(ops)), *sides))
    if draw(st.integers(0, 3)) == 0:
        parts.append(draw(own_conditions()))
    if not parts:
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = call("and", whole, part)
    return whole


@st.composite
def pairs(draw: st.DrawFn, name: str) -> Rule:
    keys: tuple[Path, ...] = draw(st.sampled_from(((("k",),), (("k",),), (), (("k",), ("s",)))))
    other = (("g",),) if len(keys) == 1 and draw(st.integers(0, 4)) == 0 else keys
    events = draw(st.sampled_from(("A", "B"))), draw(st.sampled_from(("A", "B")))
    first = draw(st.one_of(st.none(), own_conditions()))
    steps = (
        Step(0, "a", events[0], first, keys, False, False, SPAN),
        Step(1, "b", events[1], draw(conditions()), other, False, False, SPAN),
    )
    arrow = replace(draw(arrows()), contiguity=Contiguity.NEXT) if draw(st.booleans()) else Arrow()
    used = dict.fromkeys(zip(events, (keys, other), strict=True))
    alphabet = [Symbol(event, None, key) for event, key in used]
    if draw(st.integers(0, 4)) == 0:
        alphabet[0] = replace(alphabet[0], condition=draw(own_conditions()))
    return Rule(
        name=name,
        title=None,
        severity="low",
        tags=(),
        doc=None,
        keys=tuple(Key(path[0], FIELDS[path[0]]) for path in keys),
        alphabet=tuple(alphabet),
        steps=steps,
        pattern=Sequence(Bind(0), (Link(arrow, (), Bind(1)),)),
        within_ms=draw(st.sampled_from((0, 3, 3, 6, 20))),
        where=None,
        skip=Skip.PAST_LAST,
        suppress=None,
        message=Template(()),
        attributes=(),
        notify=(),
        version="0" * 16,
        pattern_version="0" * 16,
        span=SPAN,
    )


def stricter(step: Step, condition: Expr | None) -> Step:
    """The step with one more condition."""
    both = [part for part in (step.condition, condition) if part is not None]
    return replace(step, condition=call("and", *both) if len(both) == 2 else (both or [None])[0])


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    """Several rules, some of which begin alike; of these some go on alike, too."""
    first = draw(pairs("r0"))
    rules = [first]
    for number in range(1, draw(st.integers(1, 4))):
        rule = draw(pairs(f"r{number}"))
        if rule.steps[0].key == first.steps[0].key and draw(st.booleans()):
            steps = (first.steps[0], rule.steps[1])
            if draw(st.booleans()):
                steps = (steps[0], stricter(first.steps[1], draw(conditions())))
            seen = {s.event: s for s in (*rule.alphabet, *first.alphabet)}
            seen.setdefault(steps[1].event, Symbol(steps[1].event, None, steps[1].key))
            rule = replace(
                rule, steps=steps, alphabet=tuple(seen.values()), within_ms=first.within_ms
            )
        rules.append(rule)
    return rules


def test_pairs_take_the_lane_of_pairs() -> None:
    @settings(max_examples=30, deadline=None, database=None)
    @given(pairs("r"))
    def check(rule: Rule) -> None:
        schema, strings = Schema.of(EVENTS, [rule]), Strings()
        plan = compile_rule(rule, schema, Atoms(schema, strings), strings)
        assert pair_of(plan, schema) is not None

    check()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rule_sets(), streams(40), st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_rules_that_share_starts_equal_the_reference(
    rules: list[Rule], events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    def process() -> tuple[Matcher, Decoder]:
        schema, strings = Schema.of(EVENTS, rules), Strings()
        return Matcher(rules, schema, strings), Decoder(schema, strings)

    matcher, decoder = process()
    found, pages = [], {}
    for first, data, watermark_ms in cut(events, cuts):
        if restart:
            matcher, decoder = process()
            assert matcher.restore(pages) == []
        found += matcher.advance(decoder.decode(data, first).batch, watermark_ms)
        pages.update(matcher.snapshot())
    found += matcher.advance(decoder.decode(b"", 0).batch, END_OF_TIME_MS)
    for rule in rules:
        mine = [outcome(match) for match in found if match.rule is rule]
        assert mine == expected(rule, events).matches
        counters = matcher.counters[rule.name]
        assert counters.matched == len(mine)
        assert counters.started >= counters.matched + counters.expired
        assert counters.runs == counters.keys == 0
