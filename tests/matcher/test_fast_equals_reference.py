"""The fast matcher equals the reference, on random rules, streams, batchings and restarts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rules import EVENTS, ndjson, rules, streams

from dsl.model import Rule
from matcher.decode import Decoder
from matcher.matcher import END_OF_TIME_MS, Match, Matcher
from matcher.record import record
from matcher.reference import ReferenceEvent, reference_matches
from matcher.schema import Schema
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))

Outcome = tuple[tuple[object, ...], int, bool, tuple[tuple[int, int], ...]]


def expected(rule: Rule, events: Sequence[dict[str, object]]) -> list[Outcome]:
    typed = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
    ]
    return [(m.key, m.at_ms, m.timer, m.positions) for m in reference_matches(rule, typed)]


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
    found: list[Match] = []
    pages: dict[str, bytes] = {}
    matcher, decoder = _process(rule)
    for first, data, watermark_ms in cut(events, cuts):
        if restart:
            matcher, decoder = _process(rule)
            matcher.restore(pages)
        found += matcher.advance(decoder.decode(data, first).batch, watermark_ms)
        pages.update(matcher.snapshot())
    found += matcher.advance(decoder.decode(b"", 0).batch, END_OF_TIME_MS)
    return found


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
    assert [outcome(m) for m in detect(rule, events, cuts, restart)] == expected(rule, events)


@settings(max_examples=max(50, EXAMPLES // 10), deadline=None)
@given(rules(), streams(), st.lists(st.integers(0, 24), max_size=6), st.booleans())
def test_matches_carry_the_bytes_of_their_events(
    rule: Rule, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    lines = ndjson(events).splitlines()
    for match in detect(rule, events, cuts, restart):
        for event in match.events:
            assert event.raw == lines[event.position]


@pytest.mark.parametrize("seed", range(3))
def test_random_rules_do_match(seed: int) -> None:
    """The strategies are worth something: a fair share of random pairs has matches."""
    matching = 0

    @settings(max_examples=100, deadline=None, database=None)
    @given(rules(), streams())
    def count(rule: Rule, events: list[dict[str, object]]) -> None:
        nonlocal matching
        matching += bool(expected(rule, events))

    count()
    assert matching >= 10
