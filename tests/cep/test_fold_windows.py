"""Windows and facts in the fold: the same bytes for every cut and restart, evidence included."""

from __future__ import annotations

import orjson
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

SCHEMA = """
event Payment {
  ts: timestamp @time
  card: string
  amount: decimal(2)
  country: string?
} lateness 10s
"""
RULES = """
feature usual = avg(Payment.amount) by card window sliding 60s
rule spent {
  by card
  over Payment window tumbling 10s
  when sum(amount) > 50
  suppress by country for 30s
  alert "{card}: {sum(amount)} in {list(country)}"
}
rule busy {
  by card
  over Payment[amount > 5] window sliding 20s
  when count() >= 3 and distinct(country) >= 2
  alert "{card}: {count()}, at most {max(amount)}" {last: last(amount)}
}
rule visits {
  by card
  over Payment window session 3s cap 20s
  when count() >= 2
  alert "{card}: {count()}"
}
rule flood {
  by card
  over Payment window sliding 20s
  when count() >= 3
  fire edge
  resolve when count() < 2
  alert "{card}: {count()}"
}
rule dear {
  by card
  over Payment window hopping 20s every 5s
  when avg(amount) > 5.0
  fire once
  resolve when avg(amount) < 4.0
  resolve on Payment[amount < 1]
  alert "{card}: {avg(amount):.2f}"
}
rule above {
  by card
  match a: Payment[amount > usual]
     -> b: Payment[amount > a.amount and not first_seen(card, country, over = 1m)]
  within 10s
  where b.usual >= 2.5
  alert "{card}: {a.usual:.2f} {b.usual:.2f}"
}
"""
RULE_SET = cep.compile(SCHEMA + RULES)


def test_the_rules_do_detect() -> None:
    found, _ = fold_all(RULE_SET, events(150, 1))
    assert {str(body["rule"]) for body in json_of(found.bodies)} == {
        rule.name for rule in RULE_SET.rules
    }


def test_what_is_resolved_has_ids_of_its_own_and_was_open() -> None:
    found, _ = fold_all(RULE_SET, events(300, 7))
    assert len({row.id for row in found.resolutions}) == len(found.resolutions)
    for rule in ("flood", "dear"):
        over = [orjson.loads(row.key)["card"] for row in found.resolutions if row.rule == rule]
        fired = [body["key"]["card"] for body in json_of(found.bodies) if body["rule"] == rule]
        assert len(over) > 3
        for card in set(over):
            assert over.count(card) <= fired.count(card) <= over.count(card) + 1


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 150),
    stops=st.lists(st.integers(0, 150), min_size=1, max_size=5),
)
def test_cuts_and_restarts_give_identical_bytes_and_counters(
    seed: int, count: int, stops: list[int]
) -> None:
    lines = events(count, seed)
    whole, one = fold_all(RULE_SET, lines)
    fold, found = Fold(RULE_SET, "p"), Found()
    pages: dict[str, bytes] = {}
    for stop in sorted({s % (len(lines) + 1) for s in stops} | {len(lines)}):
        found.add(fold.step(records(lines, fold.position, stop)))
        pages.update(fold.changed_pages())
        pages = {name: data for name, data in pages.items() if data}
        fold = restarted(RULE_SET, lines, fold.checkpoint(), pages)
        assert fold.notices == []
        check_counters(fold)
    found.add(fold.finish())
    assert found == whole
    assert fold.counters == one.counters


def test_facts_outlive_the_rule_that_reads_them() -> None:
    """Another rule over the same fact takes its state up; a changed fact starts empty."""

    def rules(condition: str, feature: str) -> cep.RuleSet:
        text = f'rule over_usual {{ by card match p: Payment[{condition}] alert "{{usual:.1f}}" }}'
        return cep.compile(SCHEMA + feature + text)

    feature = "feature usual = avg(Payment.amount) by card window sliding 60s\n"
    lines = [payment(0, 10), payment(1, 20), payment(30, 40), payment(31, 99), payment(99, 0)]
    first = Fold(rules("amount > 90 * usual", feature), "p")
    first.step(records(lines, 0, 3))
    pages = {name: data for name, data in first.changed_pages().items() if data}
    for condition, again, expected in (
        ("amount > 3 * usual", feature, ["23.3"]),
        ("amount > 3 * usual", feature.replace("60s", "59s"), []),
    ):
        fold = restarted(rules(condition, again), lines, first.checkpoint(), dict(pages))
        found = Found()
        found.add(fold.step(records(lines, 3, 5)))
        found.add(fold.finish())
        assert [orjson.loads(body)["message"] for body in found.bodies] == expected


def payment(at_s: float, amount: float) -> bytes:
    ts = BASE_MS + int(at_s * 1000)
    return b'{"type":"Payment","ts":%d,"card":"c","amount":%g,"country":"FR"}' % (ts, amount)
