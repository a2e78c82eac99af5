"""Partial matches of a saved state: who waits, for what, and until when."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from cep.errors import StoreError, UsageError
from cep.fold import Fold
from cep.load import load_text
from cep.partial import START, Partials, partial_matches
from cep.ports import Records
from cep.store.reads import StoredPages
from dsl.model import RuleSet

RULES = """
event Pay { ts: timestamp @time  card: string  amount: int } lateness 0s

rule pair { by card match a: Pay[amount < 10] -> b: Pay[amount > 100] within 10m alert "x" }
rule three {
  by card
  match a: Pay[amount == 1] -> b: Pay[amount == 2] -> c: Pay[amount == 3]
  within 1h
  alert "x"
}
rule quiet { by card match Pay -> not Pay for 5m alert "x" }
rule silent { by card match not Pay for 5m alert "x" }
rule burst { by card over Pay window sliding 10m when count() > 100 alert "x" }
"""


def pay(seconds: int, amount: int, card: str) -> dict[str, object]:
    return {"type": "Pay", "ts": seconds * 1000, "card": card, "amount": amount}


def state(rules: RuleSet, events: Sequence[dict[str, object]]) -> StoredPages:
    fold = Fold(rules, "events")
    data = "".join(json.dumps(event) + "\n" for event in events).encode()
    fold.step(Records(0, data, len(events)))
    pages = {name: page for name, page in fold.changed_pages().items() if page}
    return StoredPages("events", fold.position, fold.watermark_ms, pages)


EVENTS = [
    pay(0, 1, "c1"),
    pay(10, 1, "c2"),
    pay(20, 2, "c1"),
    pay(30, 1, "c3"),
    pay(40, 200, "c3"),
]


def asked(rule: str, limit: int = 10, **key: str) -> Partials:
    rules = load_text(RULES)
    return partial_matches([state(rules, EVENTS)], lambda _: rules, rule, key, START, limit)


def test_runs_say_the_step_they_reached_and_what_they_await() -> None:
    found = asked("three")
    assert found.funnel == {"a": 2, "b": 1}
    first, second, third = found.items
    assert (first.key, first.step, first.reached, first.awaits) == ({"card": "c1"}, "b", 2, ("c",))
    assert first.bound == (("a", 0), ("b", 2))
    assert (first.events, first.started_ms, first.ends_ms) == (2, 0, 3_600_000)
    assert (second.key, second.step, second.awaits) == ({"card": "c2"}, "a", ("b",))
    assert third.bound == (("a", 3),)
    assert not first.fires


def test_starts_of_a_pair_that_a_match_used_up_are_not_told() -> None:
    found = asked("pair")
    assert [item.key["card"] for item in found.items] == ["c1", "c2", "c1"]
    assert found.funnel == {"a": 3}
    assert [item.ends_ms for item in found.items] == [600_000, 610_000, 620_000]
    assert found.items[0].awaits == ("b",)


def test_an_absence_fires_at_its_deadline() -> None:
    found = asked("quiet")
    assert {item.key["card"]: item.ends_ms for item in found.items} == {
        "c1": 320_000,
        "c2": 310_000,
        "c3": 340_000,
    }
    assert all(item.fires for item in found.items)


def test_silences_and_windows_have_one_for_each_key() -> None:
    silent = asked("silent")
    assert (silent.kind, silent.funnel) == ("silence", {None: 3})
    assert [item.ends_ms for item in silent.items] == [310_000, 320_000, 340_000]
    burst = asked("burst")
    assert burst.kind == "window"
    assert {item.key["card"]: item.events for item in burst.items} == {"c1": 2, "c2": 1, "c3": 2}


def test_pages_follow_one_another_and_a_key_can_be_asked_about() -> None:
    rules = load_text(RULES)
    stored = [state(rules, EVENTS)]
    after, seen = START, []
    while True:
        page = partial_matches(stored, lambda _: rules, "pair", {}, after, 1)
        if not page.items:
            break
        assert page.total == 3
        seen += [item.bound[0][1] for item in page.items]
        after = page.items[-1].place
    assert seen == [0, 1, 2]
    assert [item.bound for item in asked("three", card="c3").items] == [(("a", 3),)]
    assert asked("three", card="nobody").total == 0


def test_what_cannot_be_answered_is_said() -> None:
    with pytest.raises(UsageError, match="no rule 'other'"):
        asked("other")
    with pytest.raises(UsageError, match="has the parts card"):
        asked("three", user="u")
    stored, other = state(load_text(RULES), EVENTS), load_text(RULES.replace("== 3", "== 4"))
    with pytest.raises(StoreError, match="of other rules"):
        partial_matches([stored], lambda _: other, "three", {})
