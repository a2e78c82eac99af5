"""Strata of rules: who reads whom, pages, and more derived events than a record may lead to."""

from __future__ import annotations

import json

import pytest
from test_strata_equal_reference import Told, start, tell

import matcher.strata
from dsl import compile_text
from dsl.model import RuleSet
from dsl.strata import circle, events_read, sources, strata
from matcher.matcher import END_OF_TIME_MS

EVENTS = """
event A { ts: timestamp @time  k: string  x: int }
event B { ts: timestamp @time  k: string  x: int }
event C { ts: timestamp @time  k: string  x: int }
event D { ts: timestamp @time  k: string  x: int }
"""
RULES = """
rule top   { by k match D alert "x" }
rule log   { by k match A -> not B for 5s alert "x" }
rule one   { by k match a: A emit C {k, x: a.x} }
rule two   { by k match a: C -> b: B within 1m emit D {k, x: 1} }
rule other { by k match a: B emit D {k, x: 2} }
"""


def rules(text: str) -> RuleSet:
    return compile_text(EVENTS + text)


def test_strata_follow_who_reads_whom() -> None:
    levels = strata(rules(RULES).rules)
    assert [[rule.name for rule in level] for level in levels] == [
        ["log", "one", "other"],
        ["two"],
        ["top"],
    ]


def test_sources_are_all_rules_that_lead_to_one() -> None:
    found = rules(RULES).rules
    by_name = {rule.name: rule for rule in found}
    assert [rule.name for rule in sources(found, by_name["top"])] == ["top", "one", "two", "other"]
    assert [rule.name for rule in sources(found, by_name["log"])] == ["log"]


def test_an_emitted_type_is_not_read() -> None:
    by_name = {rule.name: rule for rule in rules(RULES).rules}
    assert events_read(by_name["two"]) == {"C", "B"}
    assert events_read(by_name["log"]) == {"A", "B"}


def test_a_circle_has_no_strata() -> None:
    found = rules(RULES).rules
    closing = rules("rule back { by k match D emit A {k, x: 1} }").rules
    assert [rule.name for rule in circle([*found, *closing])] == ["back", "one", "two"]
    with pytest.raises(ValueError, match="circle"):
        strata([*found, *closing])
    assert circle(found) == []


def lines(*events: dict[str, object]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_rules_that_read_no_derived_event_share_one_matcher_and_need_no_page() -> None:
    process, decoder = start(rules("rule one { by k match a: A emit C {k, x: a.x} }"))
    batch = decoder.decode(lines({"type": "A", "ts": 1, "k": "p", "x": 1}), 0).batch
    assert len(process.advance(batch, 1, tell)) == 1
    assert not [name for name in process.snapshot() if not name.startswith("rule/")]


MANY = " ".join(f"emit C {{k, x: {n}}}" for n in range(12))


@pytest.mark.parametrize(
    ("lower", "events"),
    [
        ("match a: A", [{"type": "A", "ts": ts, "k": "p", "x": 1} for ts in (1, 2)]),
        ("match a: A -> not B for 5s", [{"type": "A", "ts": 1, "k": k, "x": 1} for k in "pq"]),
    ],
)
def test_more_events_than_may_be_derived_from_a_record_or_deadline_are_refused_and_counted(
    lower: str, events: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher.strata, "DERIVED_PER_RECORD_MAX", 30)
    process, decoder = start(
        rules(
            f"rule lower {{ by k {lower} {MANY} }}"
            f"rule upper {{ by k match c: C {MANY.replace('C', 'D')} }}"
            'rule top { by k match D alert "x" }'
        )
    )
    found: list[Told] = process.advance(decoder.decode(lines(*events), 0).batch, 2, tell)
    found += process.advance(decoder.decode(b"", 2).batch, END_OF_TIME_MS, tell)
    names = [told.outcome.rule for told in found]
    assert {name: names.count(name) for name in ("lower", "upper", "top")} == {
        "lower": 2,
        "upper": 2 * 12,
        "top": 2 * (30 - 12),
    }
    assert process.losses["capped"] == 2 * (12 + 12 * 12 - 30)
