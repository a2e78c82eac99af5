"""The fast matcher equals the reference, on random rules, streams, batchings and restarts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_rules import EVENTS, ndjson, rules, streams

from dsl import compile_text
from dsl.model import Rule
from matcher import limits, runs
from matcher.decode import Decoder
from matcher.matcher import END_OF_TIME_MS, Match, Matcher, Resolution
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import reference_findings
from matcher.schema import Schema, fields_read
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))

Outcome = tuple[tuple[object, ...], int, bool, tuple[tuple[int, int], ...]]
Key = tuple[object, ...]


@dataclass(slots=True)
class Outcomes:
    """What a rule makes of a stream: matches, resolutions, and counts of what it let go of."""

    matches: list[Outcome] = field(default_factory=list)
    resolutions: list[tuple[Key, int, int]] = field(default_factory=list)
    capped: int = 0
    cancelled: int = 0
    skips_missed: int = 0
    forgotten: int = 0


def expected(rule: Rule, events: Sequence[dict[str, object]]) -> Outcomes:
    read = {event for event, _ in fields_read(rule)}
    typed = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
        if e["type"] in read
    ]
    found = reference_findings(rule, typed)
    return Outcomes(
        [(m.key, m.at_ms, m.timer, m.positions) for m in found.matches],
        [(r.key, r.at_ms, r.position) for r in found.resolutions],
        found.capped,
        found.cancelled,
        found.skips_missed,
        found.forgotten,
    )


def outcome(match: Match) -> Outcome:
    bound = tuple((event.step, event.position) for event in match.events)
    return match.key, match.at_ms, match.timer, bound


def cut(events: Sequence[dict[str, object]], cuts: Sequence[int]) -> list[tuple[int, bytes, int]]:
    """(first position, NDJSON, watermark) of each batch."""
    places = sorted({0, len(events), *(min(place, len(events)) for place in cuts)})
    return [
        (begin, ndjson(list(events[begin:end])), int(str(events[end - 1]["ts"])))
        for begin, end in pairwise(places)
    ]


def detect(
    rule: Rule, events: Sequence[dict[str, object]], cuts: Sequence[int], restart: bool
) -> list[Match]:
    """What the fast matcher finds; with `restart`, each batch is met by a new process's state."""
    return detected(rule, events, cuts, restart)[0]


def outcomes(
    rule: Rule, events: Sequence[dict[str, object]], cuts: Sequence[int], restart: bool
) -> Outcomes:
    matches, resolutions, matcher = detected(rule, events, cuts, restart)
    counters = matcher.counters[rule.name]
    return Outcomes(
        [outcome(match) for match in matches],
        [(each.key, each.at_ms, each.position) for each in resolutions],
        counters.capped,
        counters.cancelled,
        counters.skips_missed,
        matcher.losses["forgotten"],
    )


def detected(
    rule: Rule, events: Sequence[dict[str, object]], cuts: Sequence[int], restart: bool
) -> tuple[list[Match], list[Resolution], Matcher]:
    found: list[Match] = []
    resolutions: list[Resolution] = []
    pages: dict[str, bytes] = {}
    matcher, decoder = _process(rule)
    for first, data, watermark_ms in cut(events, cuts):
        if restart:
            rows = matcher.rows
            matcher, decoder = _process(rule)
            matcher.restore(pages)
            matcher.rows = rows
        found += matcher.advance(decoder.decode(data, first).batch, watermark_ms)
        resolutions += matcher.resolutions
        pages.update(matcher.snapshot())
    found += matcher.advance(decoder.decode(b"", 0).batch, END_OF_TIME_MS)
    resolutions += matcher.resolutions
    return found, resolutions, matcher


def _process(rule: Rule) -> tuple[Matcher, Decoder]:
    schema, strings = Schema.of(EVENTS, [rule]), Strings()
    return Matcher([rule], schema, strings), Decoder(schema, strings)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rules(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_fast_equals_reference_however_the_stream_is_cut(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    assert outcomes(rule, events, cuts, restart) == expected(rule, events)


@settings(max_examples=max(100, EXAMPLES // 5), deadline=None)
@given(rules(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_too_many_runs_and_open_keys_are_refused_alike(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CENSUS_ROWS", 3)
        patch.setattr(limits, "RUNS_PER_RULE_MAX", 2)
        patch.setattr(limits, "OPEN_KEYS_MAX", 1)
        patch.setattr(limits, "KNOWN_KEYS_MAX", 1)
        assert outcomes(rule, events, cuts, restart) == expected(rule, events)


@settings(max_examples=max(100, EXAMPLES // 5), deadline=None)
@given(rules(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_arrays_that_are_exchanged_whenever_time_has_passed_change_nothing(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ROOM_RATIO", 0)
        patch.setattr(runs, "ROOM_MIN", 0)
        assert outcomes(rule, events, cuts, restart) == expected(rule, events)


@settings(max_examples=max(50, EXAMPLES // 10), deadline=None)
@given(rules(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_matches_carry_the_bytes_of_their_events(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    lines = ndjson(events).splitlines()
    for match in detect(rule, events, cuts, restart):
        for event in match.events:
            assert event.raw == lines[event.position]


def event_a(ts: int, k: str | None = "p", x: int = 1) -> dict[str, object]:
    return {"type": "A", "ts": ts, "k": k, "g": "p", "x": x, "d": 1, "f": 1, "s": "u", "l": []}


def test_a_candidate_takes_its_place_before_the_ways_behind_it_are_given_up() -> None:
    rule = compile_text(
        "event A { ts: timestamp @time  k: string?  x: int? }"
        "rule r { by k match (a: A+ | b: A){2,} within 3ms fire close limit 2 runs alert 'x' }"
    ).rules[0]
    events = [event_a(ts) for ts in range(4)]
    found = outcomes(rule, events, [], False)
    assert found == expected(rule, events)
    assert found.capped > 0


def test_a_run_whose_end_the_next_event_has_blocked_takes_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = compile_text(
        "event A { ts: timestamp @time  k: string?  x: int? }"
        "rule r { by k match (a: A+ | 1 of (b: A[x > 5], c: A)) => not A[x == 9] within 3ms "
        "where count(a) == 1 matches all limit 100 runs alert 'x' }"
    ).rules[0]
    monkeypatch.setattr(limits, "CENSUS_ROWS", 3)
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", 2)
    events = [event_a(0, x=x) for x in (9, 1, 1, 1, 1)]
    found = outcomes(rule, events, [], False)
    assert found == expected(rule, events)
    assert found.capped > 0


def test_a_deadline_behind_a_count_of_runs_is_met_in_its_own_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = compile_text(
        "event A { ts: timestamp @time  k: string?  x: int? }"
        "rule r { by k match (a: A[x == 1] | b: A[x == 1] | c: A[x == 1]) => not A[x == 2] "
        "within 20ms alert 'x' }"
    ).rules[0]
    monkeypatch.setattr(limits, "CENSUS_ROWS", 3)
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", 2)
    events = [event_a(0), *(event_a(ts, k=None) for ts in (7, 14, 21))]
    assert outcomes(rule, events, [1], False) == expected(rule, events)
    matches = [detect(rule, events[:end], [1], False) for end in (3, 4)]
    assert [len(found) for found in matches] == [1, 1]


@pytest.mark.parametrize("number", range(3))
def test_random_rules_do_match(number: int) -> None:
    """The strategies are worth something: a fair share of random pairs has matches."""
    matching = 0

    @seed(number)
    @settings(max_examples=300, deadline=None, database=None)
    @given(rules(), streams())
    def count(rule: Rule, events: list[dict[str, object]]) -> None:
        nonlocal matching
        matching += bool(expected(rule, events).matches)

    count()
    assert matching >= 30
