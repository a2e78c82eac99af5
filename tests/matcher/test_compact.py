"""Rules that share their partial matches: equal to the reference, exact in what they leave out."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_rules import FIELDS, SPAN, own_conditions, rules, streams
from test_fast_equals_reference import EXAMPLES, expected, outcomes

from dsl import compile_text
from dsl.model import (
    Arrow,
    Bind,
    Contiguity,
    Key,
    Link,
    Path,
    Policy,
    Rule,
    Sequence,
    Skip,
    Step,
    Symbol,
)
from matcher import limits, runs
from matcher.compact import CompactLane
from matcher.compact_scan import NODES_USED
from matcher.decode import Decoder
from matcher.matcher import END_OF_TIME_MS, Matcher
from matcher.schema import Schema
from matcher.shared_matches import shares_matches
from matcher.strings import Strings


@st.composite
def sequences(draw: st.DrawFn) -> Rule:
    """`A ->> B ->> …` with `matches all`, no skip, and conditions on single events."""
    rule = draw(rules())
    keys: tuple[Path, ...] = draw(st.sampled_from(((("k",),), (("k",),), (), (("k",), ("s",)))))
    steps = []
    for index in range(draw(st.sampled_from((2, 2, 3, 3, 4)))):
        own_key = (("g",), *keys[1:]) if keys and draw(st.integers(0, 4)) == 0 else keys
        condition = draw(own_conditions()) if draw(st.integers(0, 3)) == 0 else None
        event = draw(st.sampled_from("AB"))
        steps.append(Step(index, None, event, condition, own_key, False, False, SPAN))
    arrow = Arrow(Contiguity.ANY)
    links = tuple(Link(arrow, (), Bind(step.index)) for step in steps[1:])
    used = sorted({step.event for step in steps})
    return replace(
        rule,
        keys=tuple(Key(path[0], FIELDS[path[0]]) for path in keys),
        alphabet=tuple(Symbol(event, None, keys) for event in used),
        steps=tuple(steps),
        pattern=Sequence(Bind(0), links),
        within_ms=draw(st.sampled_from((3, 10, 20))),
        where=None,
        skip=Skip.NONE,
        policy=Policy(every=True, runs_max=draw(st.sampled_from((None, 1, 2, 5)))),
    )


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CUTS = st.lists(st.integers(0, 24), max_size=6)


@SETTINGS
@given(sequences(), streams(), CUTS, st.booleans())
def test_shared_matches_equal_the_reference_however_the_stream_is_cut(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    assert shares_matches(rule)
    assert outcomes(rule, events, cuts, restart) == expected(rule, events)


@settings(max_examples=max(100, EXAMPLES // 5), deadline=None)
@given(sequences(), streams(), CUTS, st.booleans())
def test_a_census_does_not_count_shared_matches(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CENSUS_ROWS", 3)
        patch.setattr(limits, "RUNS_PER_RULE_MAX", 2)
        assert outcomes(rule, events, cuts, restart) == expected(rule, events)


@settings(max_examples=max(100, EXAMPLES // 5), deadline=None)
@given(sequences(), streams(), CUTS, st.booleans())
def test_arrays_that_are_exchanged_whenever_time_has_passed_change_nothing(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ROOM_RATIO", 0)
        patch.setattr(runs, "ROOM_MIN", 0)
        assert outcomes(rule, events, cuts, restart) == expected(rule, events)


SCHEMA = """
event A { ts: timestamp @time  k: string  x: int }
event B { ts: timestamp @time  k: string  x: int }
"""
THREE = (
    "match a: A ->> b: A[x >= 0] ->> c: B within 1h matches all after match no skip limit 7 runs"
)


def rule_of(body: str) -> Rule:
    return compile_text(f'{SCHEMA} rule r {{ by k {body} alert "x" }}').rules[0]


@pytest.mark.parametrize(
    ("body", "shared"),
    [
        (THREE, True),
        (THREE.replace("[x >= 0]", "[x > a.x]"), False),
        (THREE.replace("[x >= 0]", "[sum(b.x) > 3]"), False),
        (THREE.replace("->> c", "-> c"), False),
        (THREE.replace("->> c", "-[..5m]->> c"), False),
        (THREE.replace("->> c", "->> not A ->> c"), False),
        (THREE.replace("b: A[x >= 0]", "b: A{2}"), False),
        (THREE + " where c.x > a.x", False),
        (THREE.replace("after match no skip", ""), True),  # that is the default of `matches all`
        (THREE.replace("matches all", ""), False),
        (THREE.replace("->> c", "->> d: A ->> e: A ->> c"), False),
        (THREE + " cancel on B[x > 5]", False),
    ],
)
def test_which_rules_share(body: str, shared: bool) -> None:
    assert shares_matches(rule_of(body)) is shared


def feed(rule: Rule, events: list[tuple[str, int, str]]) -> tuple[Matcher, list[tuple[int, ...]]]:
    """The matcher after events of (type, ms, key), and the positions it found."""
    schema, strings = Schema.of(compile_text(SCHEMA).events, [rule]), Strings()
    matcher, decoder = Matcher([rule], schema, strings), Decoder(schema, strings)
    lines = [{"type": type_, "ts": ts, "k": key, "x": 1} for type_, ts, key in events]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    found = matcher.advance(decoder.decode(data, 0).batch, events[-1][1])
    return matcher, [match.positions for match in found]


def test_what_is_left_out_is_counted_exactly_and_the_newest_are_told() -> None:
    rule = rule_of(THREE)
    events = [("A", ms, "k") for ms in range(2_000)]
    matcher, found = feed(rule, [*events, ("B", 2_000, "k")])
    newest = [(first, 1_999, 2_000) for first in range(1_998, 1_991, -1)]
    assert sorted(found) == sorted(newest)
    assert matcher.counters["r"].capped == comb(2_000, 2) - 7


def test_what_was_left_out_is_known_after_a_restart() -> None:
    rule = rule_of(THREE.replace("limit 7", "limit 1"))
    matcher, _ = feed(rule, [("A", 0, "k"), ("A", 1, "k"), ("A", 2, "k")])
    pages = matcher.snapshot()
    schema, strings = Schema.of(compile_text(SCHEMA).events, [rule]), Strings()
    decoder = Decoder(schema, strings)
    matcher.advance(decoder.decode(b'{"type": "B", "ts": 3, "k": "k", "x": 1}\n', 3).batch, 3)
    pages.update(matcher.snapshot())
    again = Matcher([rule], schema, strings)
    again.restore(pages)
    before = matcher.counters["r"]
    assert replace(again.counters["r"], state_bytes=before.state_bytes) == before
    assert (again.counters["r"].matched, again.counters["r"].capped) == (1, 2)


def brute(events: list[tuple[str, int, str]], within_ms: int) -> int:
    """How many matches of four steps there are in events of one key."""
    times = [ts for _, ts, _ in events]
    found = 0
    for place, now in enumerate(times):
        if events[place][0] == "B":
            since = sum(ts < now - within_ms for ts in times[:place])
            found += comb(sum(type_ == "A" for type_, _, _ in events[since:place]), 3)
    return found


def test_what_is_left_out_is_counted_while_events_leave_the_window() -> None:
    body = THREE.replace("a: A ->> b: A[x >= 0]", "a: A ->> b: A ->> d: A").replace("1h", "100ms")
    events = [("B" if ms % 7 == 0 else "A", ms, "k") for ms in range(1_000)]
    matcher, found = feed(rule_of(body), events)
    assert len(found) + matcher.counters["r"].capped == brute(events, 100)


def test_nothing_is_kept_of_keys_whose_window_has_passed() -> None:
    rule = rule_of(THREE)
    matcher, _ = feed(rule, [("A", ms, f"k{ms % 500}") for ms in range(3_000)])
    (lane,) = matcher._lanes
    assert isinstance(lane, CompactLane)
    assert lane._links.totals[NODES_USED] > 3_000
    schema, strings = Schema.of(compile_text(SCHEMA).events, [rule]), Strings()
    matcher.advance(Decoder(schema, strings).decode(b"", 0).batch, END_OF_TIME_MS)
    counters = matcher.counters["r"]
    assert (counters.runs, counters.keys) == (0, 0)
    assert counters.expired == counters.started == 3_000


def test_the_random_sequences_match_and_leave_out() -> None:
    matching = left_out = 0

    @seed(1)
    @settings(max_examples=200, deadline=None, database=None)
    @given(sequences(), streams())
    def count(rule: Rule, events: list[dict[str, object]]) -> None:
        nonlocal matching, left_out
        found = expected(rule, events)
        matching += bool(found.matches)
        left_out += found.capped > 0

    count()
    assert matching >= 20
    assert left_out >= 5
