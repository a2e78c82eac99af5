"""Windows and derived fields equal the reference, on random rules, streams, cuts and restarts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import EVENTS, streams
from random_windows import rules_with_derived, window_rules
from test_fast_equals_reference import detect

from dsl.model import Placeholder, Rule
from matcher import runs
from matcher.evaluate import Environment, evaluate
from matcher.matcher import Match
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import reference_matches
from matcher.reference_resolved import window_findings
from matcher.reference_windows import with_derived
from matcher.schema import derived_read

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CUTS = st.lists(st.integers(0, 24), max_size=6)

Outcome = tuple[tuple[object, ...], int, bool, tuple[tuple[int, int], ...], tuple[object, ...]]


def typed(rule: Rule, events: Sequence[dict[str, object]]) -> list[ReferenceEvent]:
    plain = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
    ]
    return with_derived(plain, list(derived_read(rule)))


def expected(rule: Rule, events: Sequence[dict[str, object]]) -> list[Outcome]:
    return outcomes_of(rule, typed(rule, events))


def outcomes_of(rule: Rule, seen: Sequence[ReferenceEvent]) -> list[Outcome]:
    """What the reference finds in events with their derived fields."""
    told = [part.expr for part in rule.message.parts if isinstance(part, Placeholder)]
    if rule.window is not None:
        return [
            (m.key, m.at_ms, m.timer, m.positions, tuple(map(m.value, told)))
            for m in window_findings(rule, seen).matches
        ]
    outcomes = []
    for match in reference_matches(rule, seen):
        bound = {step: [event.record] for step, event in match.bound}
        environment = Environment(None, bound, match.key)
        values = tuple(evaluate(expr, environment) for expr in told)
        outcomes.append((match.key, match.at_ms, match.timer, match.positions, values))
    return outcomes


def outcome(match: Match) -> Outcome:
    told = [part.expr for part in match.rule.message.parts if isinstance(part, Placeholder)]
    positions = tuple((event.step, event.position) for event in match.events)
    bound = {step: [facts] for step, facts in zip(match.steps, match.derived, strict=False)}
    environment = Environment(None, bound, match.key, values=match.values)
    values = tuple(evaluate(expr, environment) for expr in told)
    return match.key, match.at_ms, match.timer, positions, values


@settings(max_examples=max(100, EXAMPLES // 5), deadline=None)
@given(window_rules(), streams(), CUTS, st.booleans())
def test_arrays_that_are_exchanged_when_they_are_empty_change_nothing(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ROOM_MIN", 0)
        assert [outcome(m) for m in detect(rule, events, cuts, restart)] == expected(rule, events)


@SETTINGS
@given(window_rules(), streams(), CUTS, st.booleans())
def test_windows_equal_the_reference_however_the_stream_is_cut(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    assert [outcome(m) for m in detect(rule, events, cuts, restart)] == expected(rule, events)


@SETTINGS
@given(rules_with_derived(), streams(), CUTS, st.booleans())
def test_derived_fields_equal_the_reference_however_the_stream_is_cut(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    assert [outcome(m) for m in detect(rule, events, cuts, restart)] == expected(rule, events)


@pytest.mark.parametrize("strategy", [window_rules, rules_with_derived])
def test_random_rules_do_match(strategy: object) -> None:
    """The strategies are worth something: a fair share of random pairs has matches."""
    matching = 0

    @settings(max_examples=100, deadline=None, database=None)
    @given(strategy(), streams())  # type: ignore[operator]  # a strategy's function
    def count(rule: Rule, events: list[dict[str, object]]) -> None:
        nonlocal matching
        matching += bool(expected(rule, events))

    count()
    assert matching >= 10
