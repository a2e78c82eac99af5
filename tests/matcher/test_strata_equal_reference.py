"""Rules over derived events equal the reference, for every batching and restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_rule_sets import rule_sets
from random_rules import EVENTS, streams
from test_fast_equals_reference import EXAMPLES, cut

from dsl.model import Emit, Expr, RuleSet
from matcher.decode import Decoder
from matcher.evaluate import Environment, evaluate
from matcher.lineage import DerivedEvent
from matcher.matcher import END_OF_TIME_MS, Match, Resolution
from matcher.record import Record, record
from matcher.reference import ReferenceEvent, ReferenceMatch
from matcher.reference_strata import Placed, ReferenceDetection, reference_detections
from matcher.reference_windows import WindowMatch
from matcher.schema import Schema
from matcher.strata import Strata
from matcher.strings import Strings

TYPES = ("A", "A", "A", "B", "B", "C")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A detection by what it says: bound events are record numbers or origins."""

    rule: str
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    bound: tuple[tuple[int, int | str], ...]

    def origin(self, item: int) -> str:
        return f"{blake2b(repr(self).encode(), digest_size=8).hexdigest()}/{item}"


@dataclass(frozen=True, slots=True)
class Told:
    outcome: Outcome
    derived: tuple[DerivedEvent, ...]


# ------------------------------------------------------------------------------- the reference


Over: TypeAlias = tuple[str, tuple[object, ...], int, int | str]
"""A resolution: rule, key, event time, and the event as in `Outcome`."""


def expected(
    rules: RuleSet, events: Sequence[dict[str, object]]
) -> tuple[list[Outcome], list[Over]]:
    typed = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(events)
    ]
    found = reference_detections(rules, typed, _emit)
    over = [
        (r.rule.name, r.key, r.at_ms, r.record if r.phase else _name(r.by))
        for r in found.resolutions
    ]
    return [_outcome(detection) for detection in found.detections], over


def _emit(match: ReferenceMatch | WindowMatch) -> list[tuple[str, Record]]:
    if isinstance(match, WindowMatch):
        return [(emit.event, _fields(emit, match.value, match.at_ms)) for emit in match.rule.emits]
    bound: dict[int, list[Record]] = {}
    for step, event in match.bound:
        bound.setdefault(step, []).append(event.record)
    read = partial(_read, Environment(None, bound, match.key))
    return [(emit.event, _fields(emit, read, match.at_ms)) for emit in match.rule.emits]


def _read(environment: Environment, expr: Expr) -> object:
    return evaluate(expr, environment)


def _fields(emit: Emit, read: Callable[[Expr], object], at_ms: int) -> Record:
    return record(EVENTS[emit.event], _body(emit, read, at_ms))


def _body(emit: Emit, read: Callable[[Expr], object], at_ms: int) -> dict[str, object]:
    return {"ts": at_ms, **{name: read(expr) for (name,), expr in emit.values}}


def _outcome(found: ReferenceDetection) -> Outcome:
    match = found.match
    bound = tuple((step, _name(placed)) for step, placed in found.bound)
    return Outcome(match.rule.name, match.key, match.at_ms, match.timer, bound)


def _name(placed: Placed) -> int | str:
    if placed.made_by is None:
        return placed.event.position
    detection, item = placed.made_by
    return _outcome(detection).origin(item)


# ------------------------------------------------------------------------------- the fast way


def tell(match: Match) -> Told:
    bound: dict[int, list[Record]] = {}
    for event in match.events:
        declared = EVENTS[match.rule.steps[event.step].event]
        bound.setdefault(event.step, []).append(record(declared, json.loads(event.raw)))
    names = tuple((event.step, event.origin or event.position) for event in match.events)
    outcome = Outcome(match.rule.name, match.key, match.at_ms, bool(match.timer), names)
    read = partial(_read, Environment(None, bound, match.key, values=match.values))
    derived = []
    for item, emit in enumerate(match.rule.emits):
        raw = json.dumps(_body(emit, read, match.at_ms)).encode()
        fields = _fields(emit, read, match.at_ms)
        derived.append(DerivedEvent(emit.event, fields, raw, outcome.origin(item)))
    return Told(outcome, tuple(derived))


def detect(
    rules: RuleSet, events: Sequence[dict[str, object]], cuts: Sequence[int], restart: bool
) -> tuple[list[Outcome], list[Over]]:
    found: list[Told] = []
    resolutions: list[Resolution] = []
    pages: dict[str, bytes] = {}
    process, decoder = start(rules)
    for first, data, watermark_ms in cut(events, cuts):
        if restart:
            process, decoder = start(rules)
            assert process.restore(pages) == []
        found += process.advance(decoder.decode(data, first).batch, watermark_ms, tell)
        resolutions += process.resolutions
        pages.update(process.snapshot())
    found += process.advance(decoder.decode(b"", 0).batch, END_OF_TIME_MS, tell)
    resolutions += process.resolutions
    over = [(r.rule.name, r.key, r.at_ms, r.origin or r.position) for r in resolutions]
    return [told.outcome for told in found], over


def start(rules: RuleSet) -> tuple[Strata, Decoder]:
    schema, strings = Schema.of(rules.events, rules.rules), Strings()
    return Strata(rules.rules, schema, strings), Decoder(schema, strings)


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(
    rule_sets(),
    streams(types=TYPES, least=6),
    st.lists(st.integers(0, 24), max_size=6),
    st.booleans(),
)
def test_strata_equal_the_reference_however_the_stream_is_cut(
    rules: RuleSet, events: list[dict[str, object]], cuts: list[int], restart: bool
) -> None:
    assert detect(rules, events, cuts, restart) == expected(rules, events)


def test_random_rule_sets_do_chain() -> None:
    """The strategies are worth something: derived events often complete matches."""
    chained = 0

    @settings(max_examples=100, deadline=None, database=None)
    @given(rule_sets(), streams(types=TYPES, least=6))
    def count(rules: RuleSet, events: list[dict[str, object]]) -> None:
        nonlocal chained
        found, _ = expected(rules, events)
        chained += any(isinstance(name, str) for one in found for _, name in one.bound)

    count()
    assert chained >= 5
