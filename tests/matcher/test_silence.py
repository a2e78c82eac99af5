"""Silences: clocks that outlive a restart."""

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
    """One event a batch."""
    matcher, decoder = process(rule)
    found: list[Match] = []
    pages: dict[str, bytes] = {}
    for position, event in enumerate(STREAM):
        batch = decoder.decode(ndjson([event]), position).batch
        found += matcher.advance(batch, int(str(event["ts"])))
        pages.update(matcher.snapshot())
        if restart:
            matcher, decoder = process(rule)
            matcher.restore(pages)
    return found + matcher.advance(decoder.decode(b"", 0).batch, 100)


def expected(rule: Rule) -> list[tuple[object, ...]]:
    events = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(STREAM)
    ]
    return [(m.key, m.at_ms, m.timer, m.positions) for m in reference_matches(rule, events, 100)]


def outcome(match: Match) -> tuple[object, ...]:
    bound = tuple((event.step, event.position) for event in match.events)
    return match.key, match.at_ms, match.timer, bound


def test_clocks_outlive_a_restart() -> None:
    for each, matches in (ALONE, 3), (BEFORE, 1):
        found = [outcome(match) for match in detect(each, restart=True)]
        assert found == expected(each)
        assert len(found) == matches
