"""Windows whose detections are resolved equal the reference, for any batches and restarts."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_rules import streams
from random_windows import resolved_windows
from test_fast_equals_reference import detected
from test_windows_equal_reference import Outcome, outcome, outcomes_of, typed

from dsl.model import Rule
from matcher.reference_resolved import window_findings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Over = tuple[tuple[object, ...], int, int, int]
Event = dict[str, object]


def expected(rule: Rule, events: list[Event]) -> tuple[list[Outcome], list[Over]]:
    seen = typed(rule, events)
    over = window_findings(rule, seen).resolutions
    return outcomes_of(rule, seen), [(r.key, r.at_ms, r.position, r.phase) for r in over]


@SETTINGS
@given(resolved_windows(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_resolved_windows_equal_the_reference_however_the_stream_is_cut(
    rule: Rule, events: list[Event], cuts: list[int], restart: bool
) -> None:
    matches, resolutions, _ = detected(rule, events, cuts, restart)
    over = [(r.key, r.at_ms, r.position, r.phase) for r in resolutions]
    assert ([outcome(match) for match in matches], over) == expected(rule, events)


@SETTINGS
@given(resolved_windows(), streams())
def test_what_is_resolved_wasdetecteded(rule: Rule, events: list[Event]) -> None:
    """Between two resolutions of a key there is a detection."""
    matches, over = expected(rule, events)
    for key, *_ in over:
        fired = [at_ms for found, at_ms, *_ in matches if found == key]
        ended = [at_ms for found, at_ms, *_ in over if found == key]
        assert len(fired) >= len(ended)
        assert all(a <= b for a, b in zip(fired, ended, strict=False))


def test_random_rules_do_resolve() -> None:
    """The strategy is worth something: a fair share of random pairs has resolutions."""
    by_event = by_time = 0

    @seed(1)
    @settings(max_examples=200, deadline=None, database=None)
    @given(resolved_windows(), streams())
    def count(rule: Rule, events: list[Event]) -> None:
        nonlocal by_event, by_time
        phases = {phase for *_, phase in expected(rule, events)[1]}
        by_event += 0 in phases
        by_time += bool(phases - {0})

    count()
    assert min(by_event, by_time) >= 10
