"""Taking the rows of a few keys, or all that may matter to a rule: one and the same outcome."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import EVENTS, rules, streams
from test_fast_equals_reference import EXAMPLES, cut, outcome

from dsl import compile_text
from dsl.model import Rule
from matcher import lane
from matcher.decode import Decoder
from matcher.matcher import END_OF_TIME_MS, Counters, Matcher
from matcher.schema import Schema
from matcher.strings import Strings

BOUNDS = {"few": 2**40, "all": -(2**40)}


def run(
    drawn: list[Rule], events: list[dict[str, object]], cuts: list[int]
) -> tuple[list[object], dict[str, Counters]]:
    schema, strings = Schema.of(EVENTS, drawn), Strings()
    matcher, decoder = Matcher(drawn, schema, strings), Decoder(schema, strings)
    found = []
    for first, data, watermark_ms in cut(events, cuts):
        found += matcher.advance(decoder.decode(data, first).batch, watermark_ms)
    found += matcher.advance(decoder.decode(b"", 0).batch, END_OF_TIME_MS)
    return [(match.rule.name, outcome(match)) for match in found], matcher.counters


@settings(
    max_examples=max(10, EXAMPLES // 4),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rules(), streams(40), st.lists(st.integers(0, 40), max_size=4))
def test_what_is_offered_does_not_depend_on_how_many_keys_matter(
    rule: Rule, events: list[dict[str, object]], cuts: list[int]
) -> None:
    outcomes = []
    for bound in BOUNDS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lane, "FEW_ROWS", bound)
            found, counters = run([rule], events, cuts)
        told = counters[rule.name]
        outcomes.append((found, told.started, told.matched, told.capped, told.null_keys))
    assert outcomes[0] == outcomes[1]


def test_a_rule_that_nothing_concerns_is_left_alone() -> None:
    compiled = compile_text(
        """
        event A { ts: timestamp @time  k: string  x: int }
        rule seldom {
          by k
          match A[x > 5] -> A[x < 0] -> not A for 10s
          within 1m
          alert "{k}"
        }
        """
    )
    schema, strings = Schema.of(compiled.events, compiled.rules), Strings()
    matcher, decoder = Matcher(compiled.rules, schema, strings), Decoder(schema, strings)
    lines = [
        (1_000, "a", 1),
        (2_000, "b", 9),
        (3_000, "a", -1),
        (4_000, "b", -1),
        (9_000, "a", 1),
        (20_000, "a", 1),
    ]
    found = []
    for number, (ts, key, x) in enumerate(lines):
        data = b'{"type":"A","ts":%d,"k":"%s","x":%d}\n' % (ts, key.encode(), x)
        found += matcher.advance(decoder.decode(data, number).batch, ts)
    assert [(match.key, match.at_ms, match.positions) for match in found] == [
        (("b",), 14_000, (1, 3))
    ]
    assert matcher.counters["seldom"].started == 1
    assert matcher.counters["seldom"].runs == 0
