"""Silences: keys that exist without events, clocks that outlive a restart, nothing forgotten."""

from __future__ import annotations

from random_rules import EVENTS, SPAN, ndjson

from dsl.model import (
    Arrow,
    Bind,
    Key,
    Kind,
    Link,
    Pattern,
    Rule,
    Sequence,
    Silence,
    Skip,
    Step,
    Symbol,
    Template,
    Type,
)
from matcher.decode import Decoder
from matcher.matcher import Match, Matcher
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import reference_matches
from matcher.schema import Schema
from matcher.strings import Strings

CREATED = {("r",): 2, ("p",): 0, ("q",): 50}
STREAM: list[dict[str, object]] = [
    {"type": kind, "ts": ts, "k": key, "g": key, "x": 0, "d": 0.5, "f": 0.1, "s": "u"}
    for ts, key, kind in ((3, "p", "A"), (4, "q", "B"), (9, "p", "B"), (30, "q", "A"))
]


def rule(pattern: Pattern) -> Rule:
    """B ends a silence; A may follow it."""
    keys = (("k",),)
    steps = (
        Step(0, None, "B", None, keys, True, False, SPAN),
        Step(1, "a", "A", None, keys, False, False, SPAN),
    )
    return Rule(
        name="silence",
        title=None,
        severity="low",
        tags=(),
        doc=None,
        keys=(Key("k", Type(Kind.STRING)),),
        alphabet=(Symbol("A", None, keys), Symbol("B", None, keys)),
        steps=steps,
        pattern=pattern,
        within_ms=100,
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


ALONE = rule(Silence((0,), 5))
BEFORE = rule(Sequence(Silence((0,), 5), (Link(Arrow(), (), Bind(1)),)))


def process(rule: Rule) -> tuple[Matcher, Decoder]:
    schema, strings = Schema.of(EVENTS, [rule]), Strings()
    return Matcher([rule], schema, strings), Decoder(schema, strings)


def detect(rule: Rule, restart: bool) -> list[Match]:
    """One event a batch; keys are created between the batches, as time reaches them."""
    matcher, decoder = process(rule)
    found: list[Match] = []
    pages: dict[str, bytes] = {}
    waiting = sorted(CREATED.items(), key=lambda item: item[1])
    for position, event in enumerate(STREAM):
        ts = int(str(event["ts"]))
        while waiting and waiting[0][1] <= ts:
            key, at_ms = waiting.pop(0)
            matcher.create_keys(rule.name, [key], at_ms)
        found += matcher.advance(decoder.decode(ndjson([event]), position).batch, ts)
        pages.update(matcher.snapshot())
        if restart:
            matcher, decoder = process(rule)
            matcher.restore(pages)
    for key, at_ms in waiting:
        matcher.create_keys(rule.name, [key], at_ms)
    return found + matcher.advance(decoder.decode(b"", 0).batch, 100)


def expected(rule: Rule) -> list[tuple[object, ...]]:
    events = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(STREAM)
    ]
    return [
        (m.key, m.at_ms, m.timer, m.positions)
        for m in reference_matches(rule, events, 100, CREATED)
    ]


def outcome(match: Match) -> tuple[object, ...]:
    bound = tuple((event.step, event.position) for event in match.events)
    return match.key, match.at_ms, match.timer, bound


def test_a_created_key_is_silent_from_then_on_though_it_never_had_an_event() -> None:
    found = [outcome(match) for match in detect(ALONE, restart=False)]
    assert (("r",), 7, True, ()) in found
    assert found == expected(ALONE)


def test_clocks_outlive_a_restart() -> None:
    for each in (ALONE, BEFORE):
        assert [outcome(match) for match in detect(each, restart=True)] == expected(each)


def test_a_created_key_counts_before_an_event_too() -> None:
    found = [outcome(match) for match in detect(BEFORE, restart=False)]
    assert found == expected(BEFORE) == [(("q",), 30, False, ((1, 3),))]


def test_a_known_key_is_not_created_again() -> None:
    matcher, decoder = process(ALONE)
    matcher.advance(decoder.decode(ndjson(STREAM[:1]), 0).batch, 3)
    matcher.create_keys(ALONE.name, [("p",)], 4)
    (match,) = matcher.advance(decoder.decode(b"", 0).batch, 100)
    assert (match.key, match.at_ms) == (("p",), 8)
    assert matcher.counters[ALONE.name].keys == 1
