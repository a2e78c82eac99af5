"""Rules over derived events in the engine's fold: identical bytes, evidence, refusals, updates."""

from __future__ import annotations

import orjson
import pytest
from engine_cases import (
    BASE_MS,
    Found,
    check_counters,
    events,
    fold_all,
    json_of,
    records,
    restarted,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import cep
from cep.fold import Fold
from cep.ports import Checkpoint
from dsl.model import RuleSet

SCHEMA = """
event Payment {
  ts: timestamp @time
  card: string
  amount: decimal(2)
  country: string?
} lateness 10s
event Block { ts: timestamp @time  card: string } lateness 10s
event Risk { card: string  score: int  share: decimal(4)?  at: {country: string?}? }
event Calm "calm.down" { when: timestamp @time @path("time.of")  card: string }
"""
LOWER = """
rule large {
  severity low
  by card
  match a: Payment[amount > 500.00]
  suppress by card for 1h
  alert "{card} {a.amount}"
  emit Risk {card, score: 40, share: a.amount, at: {country: a.country}}
}

rule hop {
  by card
  match a: Payment -> b: Payment[country is not a.country]
  within 20s
  emit Risk {card, score: 15}
}

rule calm {
  by card
  match big: Payment[amount > 900.00] -> not Block for 30s
  emit Calm {card}
}
"""
UPPER = """
rule risky "Two signals" {
  severity high
  by card
  match first: Risk -> second: Risk[score > 20 and at.country is not "XX"]
  within 1m
  alert "{card}: {first.score} and {second.score} {second.share} {second.at.country}"
}

rule calmed {
  by card
  match r: Risk[score > 20] -> c: Calm -> not Block for 5s
  within 2m
  alert "{card} {c.when}"
  emit Risk2 {card}
}

event Risk2 { card: string }
rule top { by card  match Risk2 -> Payment within 1m alert "{card}" }
"""
ALL = SCHEMA + LOWER + UPPER


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return cep.compile(ALL)


def payment(at_s: float, amount: str, country: str = '"FR"') -> bytes:
    return (
        f'{{"type":"Payment","ts":{BASE_MS + int(at_s * 1000)},"card":"c",'
        f'"amount":{amount},"country":{country}}}'
    ).encode()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 150),
    cuts=st.lists(st.integers(0, 150), max_size=12),
)
def test_any_batching_gives_identical_bytes(
    rules: RuleSet, seed: int, count: int, cuts: list[int]
) -> None:
    lines = events(count, seed)
    whole, one = fold_all(rules, lines)
    parts, other = fold_all(rules, lines, cuts)
    assert parts == whole
    assert other.counters == one.counters


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 150),
    stops=st.lists(st.integers(0, 150), min_size=1, max_size=5),
)
def test_restarts_anywhere_give_identical_bytes_and_counters(
    rules: RuleSet, seed: int, count: int, stops: list[int]
) -> None:
    lines = events(count, seed)
    whole, one = fold_all(rules, lines)
    fold, found = Fold(rules, "p"), Found()
    pages: dict[str, bytes] = {}
    for stop in sorted({s % (len(lines) + 1) for s in stops} | {len(lines)}):
        found.add(fold.step(records(lines, fold.position, stop)))
        fold, pages = stopped(fold, rules, lines, pages)
        assert fold.notices == []
        check_counters(fold)
    found.add(fold.finish())
    assert found == whole
    assert fold.counters == one.counters


def stopped(
    fold: Fold, rules: RuleSet, lines: list[bytes], pages: dict[str, bytes]
) -> tuple[Fold, dict[str, bytes]]:
    """What a new process makes of what the fold leaves behind, and the pages in the store."""
    pages = {n: data for n, data in {**pages, **fold.changed_pages()}.items() if data}
    point: Checkpoint = fold.checkpoint()
    return restarted(rules, lines, point, pages), pages


def test_random_logs_do_chain(rules: RuleSet) -> None:
    found, fold = fold_all(rules, events(400, 7))
    by_rule = [d["rule"] for d in json_of(found.bodies)]
    assert {"large", "hop", "calm", "risky", "calmed", "top"} <= set(by_rule)
    assert fold.counters["derived"] > 50
    assert fold.counters["not_derived"] == 0


def test_a_detection_shows_what_it_emitted_and_what_it_was_derived_from(rules: RuleSet) -> None:
    lines = [payment(0, "600.50"), payment(1, "700", "null")]
    found, fold = fold_all(rules, lines)
    bodies = {str(d["rule"]) + str(d["at"])[17:19]: d for d in json_of(found.bodies)}
    first, hop, second, risky = (bodies[n] for n in ("large00", "hop01", "large01", "risky01"))
    assert first["emitted"] == [
        {"type": "Risk", "card": "c", "score": 40, "share": 600.5, "at": {"country": "FR"}}
    ]
    assert hop["emitted"] == [{"type": "Risk", "card": "c", "score": 15}]
    assert second["suppressed_by"] == first["id"], "a suppressed detection emits all the same"
    assert risky["message"] == "c: 40 and 40 700 null"
    assert risky["events"] == [
        {
            "step": "first",
            "position": None,
            "derived_from": first["id"],
            "event": first["emitted"][0],  # type: ignore[index]  # JSON
        },
        {
            "step": "second",
            "position": None,
            "derived_from": second["id"],
            "event": second["emitted"][0],  # type: ignore[index]  # JSON
        },
    ]
    assert "emitted" not in risky
    assert (fold.counters["received"], fold.counters["processed"]) == (2, 2)
    assert (fold.counters["detections"], fold.counters["derived"]) == (4, 3)


def test_a_derived_event_has_its_time_at_its_place(rules: RuleSet) -> None:
    found, _ = fold_all(rules, [payment(0, "950")])
    calm = next(d for d in json_of(found.bodies) if d["rule"] == "calm")
    assert calm["emitted"] == [
        {"type": "calm.down", "time": {"of": "2026-01-01T00:00:30.000Z"}, "card": "c"}
    ]


def test_a_rule_that_only_emits_tells_nobody(rules: RuleSet) -> None:
    fold = Fold(rules, "p")
    lines = [payment(0, "1"), payment(1, "2", '"DE"')]
    given = [*fold.step(records(lines, 0, 2)).detections, *fold.finish().detections]
    (hop,) = given
    assert (hop.detection.rule, hop.detection.message, hop.row().destinations) == ("hop", "hop", ())
    assert hop.detection.emitted == ({"type": "Risk", "card": "c", "score": 15},)


def test_causes_come_before_consequences(rules: RuleSet) -> None:
    found, _ = fold_all(rules, events(400, 11))
    seen: set[object] = set()
    for body in json_of(found.bodies):
        bound = body["events"]
        assert isinstance(bound, list)
        assert all(event["derived_from"] in seen for event in bound if event["position"] is None)
        seen.add(body["id"])


def test_an_event_that_its_declaration_does_not_allow_is_refused_and_counted() -> None:
    text = """
    event Payment { ts: timestamp @time  card: string  amount: decimal(2)  n: int }
    event Risk { card: string  score: int }
    rule r { by card match a: Payment alert "x" emit Risk {card, score: a.n * 4} }
    rule s { by card match Risk alert "y" }
    """
    lines = [
        f'{{"type":"Payment","ts":{BASE_MS},"card":"c","amount":1,"n":{n}}}'.encode()
        for n in ("1", str(2**62), '"x"')
    ]
    found, fold = fold_all(cep.compile(text), lines)
    assert [d["rule"] for d in json_of(found.bodies)] == ["r", "s", "r", "r"]
    assert (fold.counters["derived"], fold.counters["not_derived"]) == (1, 2)


def test_an_event_type_without_time_that_comes_in_is_a_dead_letter(rules: RuleSet) -> None:
    _, fold = fold_all(rules, [b'{"type":"Risk","card":"c","score":50}', payment(0, "1")])
    assert fold.counters["dead_lettered"] == 1
    check_counters(fold)


def test_ids_do_not_depend_on_other_rules(rules: RuleSet) -> None:
    extra = (
        "rule another { by card match a: Payment emit Risk3 {card} }\nevent Risk3 {card: string}"
    )
    more = cep.compile(f"{SCHEMA}{extra}{LOWER}{UPPER}")
    lines = events(300, 3)

    def ids(rule_set: RuleSet) -> list[object]:
        found, _ = fold_all(rule_set, lines)
        return [d["id"] for d in json_of(found.bodies) if d["rule"] != "another"]

    assert ids(more) == ids(rules)


def test_rules_that_come_to_read_derived_events_keep_their_partial_matches() -> None:
    timed = SCHEMA.replace("event Risk {", "event Risk { ts: timestamp @time ")
    reader = """
    rule pair {
      by card  match a: Risk[score > 5] -> b: Risk[score > a.score]  within 1h
      alert "{a.score} {b.score}"
    }
    rule three { by card match a: Risk -> b: Risk{2} -> c: Payment within 1h alert "{c.amount}" }
    """
    emitter = "rule more { by card match a: Payment emit Risk {card, score: 50} }\n"
    alone, together = cep.compile(timed + reader), cep.compile(timed + emitter + reader)
    lines = [
        orjson.dumps({"type": "Risk", "ts": BASE_MS, "card": "c", "score": 10}),
        payment(1, "1"),
        orjson.dumps({"type": "Risk", "ts": BASE_MS + 2000, "card": "c", "score": 20}),
        payment(20, "1"),
    ]
    fold, pages = Fold(alone, "p"), dict[str, bytes]()
    found = Found()
    found.add(fold.step(records(lines, 0, 1)))
    found.add(fold.advance(BASE_MS))
    for upto, rule_set in ((2, together), (3, together), (3, alone), (4, together)):
        fold, pages = stopped(fold, rule_set, lines, pages)
        if upto > fold.position:
            found.add(fold.step(records(lines, fold.position, upto)))
            found.add(fold.advance(BASE_MS + 1000 * upto))
    found.add(fold.finish())
    told = [(d["rule"], d["message"]) for d in json_of(found.bodies)]
    assert told == [
        ("more", "more"),
        ("pair", "10 50"),
        ("more", "more"),
        ("three", "1"),
        ("pair", "20 50"),
    ]
