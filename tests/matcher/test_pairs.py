"""Two-step rules that share their starts equal the reference, each as if it were alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
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

from dsl import compile_text
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
from matcher import limits
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


# A pair and another that begins alike: starts of both are the same ones.
CROWDED = compile_text(
    "event A { ts: timestamp @time  k: string }"
    "event B { ts: timestamp @time  k: string  x: int }"
    'rule r { by k match a: A -> b: B[x > 0] within 3ms alert "x" }'
    'rule s { by k match a: A -> b: B[x > 1] within 3ms alert "x" }'
)
CENSUS_ROWS, RUNS_PER_RULE_MAX = 3, 2

Event = dict[str, Any]


def within_limit(events: list[Event]) -> list[int]:
    """The starts (places in the stream) that are not refused at the limit of a rule."""
    kept: list[int] = []
    full = False
    for place, event in enumerate(events):
        if event["type"] == "A" and not full:
            kept.append(place)
        if (place + 1) % CENSUS_ROWS == 0:
            live = [start for start in kept if events[start]["ts"] >= event["ts"] - 3]
            full = len(live) > RUNS_PER_RULE_MAX
    return kept


def joined(events: list[Event], starts: list[int], least: int) -> list[tuple[int, int]]:
    """The first start of its key that is not used up, for each second step."""
    used: dict[object, int] = {}
    found = []
    for place, event in enumerate(events):
        if event["type"] == "B" and event["x"] > least:
            for start in starts:
                is_before = used.get(event["k"], -1) < start < place
                near = event["ts"] - events[start]["ts"] <= 3
                if is_before and near and events[start]["k"] == event["k"]:
                    found.append((start, place))
                    used[event["k"]] = place
                    break
    return found


@settings(max_examples=max(200, EXAMPLES // 5), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("AAAB"), st.sampled_from("pqrs"), st.integers(0, 2)),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(0, 40), max_size=6),
    st.booleans(),
)
def test_starts_beyond_the_limit_of_a_rule_are_refused_until_there_are_fewer(
    drawn: list[tuple[str, str, int]], cuts: list[int], restart: bool
) -> None:
    events: list[Event] = []
    for kind, key, pause in drawn:
        ts = events[-1]["ts"] + pause // 2 if events else 0
        events.append({"type": kind, "ts": ts, "k": key, "x": len(events) % 3})

    def process() -> tuple[Matcher, Decoder]:
        schema, strings = Schema.of(CROWDED.events, CROWDED.rules), Strings()
        return Matcher(CROWDED.rules, schema, strings), Decoder(schema, strings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CENSUS_ROWS", CENSUS_ROWS)
        patch.setattr(limits, "RUNS_PER_RULE_MAX", RUNS_PER_RULE_MAX)
        matcher, decoder = process()
        found, pages, rows = [], dict[str, bytes](), 0
        for first, data, watermark_ms in cut(events, cuts):
            if restart:
                matcher, decoder = process()
                assert matcher.restore(pages) == []
                matcher.rows = rows
            found += matcher.advance(decoder.decode(data, first).batch, watermark_ms)
            pages.update(matcher.snapshot())
            rows = matcher.rows
    starts = within_limit(events)
    refused = sum(event["type"] == "A" for event in events) - len(starts)
    for rule, least in zip(CROWDED.rules, (0, 1), strict=True):
        assert [m.positions for m in found if m.rule is rule] == joined(events, starts, least)
        assert matcher.counters[rule.name].capped == refused
    lines = [json.loads(line) for match in found for line in match.raw]
    assert lines == [events[place] for match in found for place in match.positions]


def test_a_refused_start_is_not_kept_as_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CENSUS_ROWS", 10)
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", 5)
    schema, strings = Schema.of(CROWDED.events, CROWDED.rules), Strings()
    matcher, decoder = Matcher(CROWDED.rules, schema, strings), Decoder(schema, strings)
    line = b'{"type":"A","ts":0,"k":"p"}\n'
    for first in range(0, 100, 10):
        matcher.advance(decoder.decode(10 * line, first).batch, 0)
    assert matcher.counters["r"].capped == 90
    assert sorted(matcher.lines(np.arange(100))) == list(range(10))
