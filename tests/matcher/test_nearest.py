"""Watching the reference matcher changes nothing, and tells of everything: on random rules."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import EVENTS, rules, streams
from random_windows import window_rules
from test_table_keys import Case, cases
from test_table_keys import rows as rows_of

from cep.explain import explain
from dsl.model import Rule, leading_silence
from matcher.nearest import Ended, explored
from matcher.nearest_window import looked_at
from matcher.record import record
from matcher.reference import END_OF_TIME_MS, ReferenceEvent
from matcher.reference_policy import reference_findings
from matcher.reference_windows import window_matches
from matcher.schema import fields_read

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "300"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
WATERMARKS = st.sampled_from((0, 5, 20, END_OF_TIME_MS))


def typed(rule: Rule, events: Sequence[dict[str, object]]) -> list[ReferenceEvent]:
    read = {event for event, _ in fields_read(rule)}
    return [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
        if e["type"] in read
    ]


@SETTINGS
@given(rules(), streams(), WATERMARKS)
def test_the_matches_are_those_of_the_reference(
    rule: Rule, events: list[dict[str, object]], watermark_ms: int
) -> None:
    seen = typed(rule, events)
    expected = {(m.key, m.positions) for m in reference_findings(rule, seen, watermark_ms).matches}
    found = {
        (each.key, tuple((step, event.position) for step, event in candidate.bound))
        for each in explored(rule, seen, watermark_ms)
        for candidate in each.candidates
        if candidate.ended is Ended.MATCHED
    }
    _, pattern = leading_silence(rule.pattern)
    assert found == (expected if pattern is not None else set())


@SETTINGS
@given(cases())
def test_the_matches_of_keys_from_rows_are_those_of_the_reference(case: Case) -> None:
    seen, rows = typed(case.rule, case.events), list(rows_of(case))
    expected = reference_findings(case.rule, seen, rows=rows).matches
    found = {
        (each.key, tuple((step, event.position) for step, event in candidate.bound))
        for each in explored(case.rule, seen, rows=rows)
        for candidate in each.candidates
        if candidate.ended is Ended.MATCHED
    }
    assert found == {(match.key, match.positions) for match in expected if match.bound}


@SETTINGS
@given(rules(), streams(), WATERMARKS)
def test_every_partial_match_has_an_end_and_words_for_it(
    rule: Rule, events: list[dict[str, object]], watermark_ms: int
) -> None:
    seen = typed(rule, events)
    now_ms = max([watermark_ms, *(event.ts for event in seen)])
    for found in explored(rule, seen, watermark_ms):
        for candidate in found.candidates:
            assert candidate.ended is not None
            if candidate.ended in (Ended.WITHIN, Ended.GAP):
                assert candidate.ended_ms is not None
                assert candidate.ts <= candidate.ended_ms < now_ms
    for told in explain(rule, seen, watermark_ms, str):
        assert told.lines
        assert all(told.lines)
        assert [told] == explain(rule, seen, watermark_ms, str, only=told.key)


@SETTINGS
@given(window_rules(), streams(), WATERMARKS)
def test_looks_that_fired_are_the_detections_of_the_window(
    rule: Rule, events: list[dict[str, object]], watermark_ms: int
) -> None:
    seen = typed(rule, events)
    fired = [
        (found.key, look.at_ms, look.window.positions)
        for found in looked_at(rule, seen, watermark_ms)
        for look in found.looks
        if look.fired
    ]
    matches = window_matches(rule, seen, watermark_ms)
    assert sorted(fired, key=str) == sorted(
        ((m.key, m.at_ms, m.positions) for m in matches), key=str
    )
    assert all(told.lines for told in explain(rule, seen, watermark_ms, str))
