"""Tables are part of the fold's state: the same detections for every batching and restart."""

from __future__ import annotations

import pytest
from engine_cases import BASE_MS, json_of, records
from hypothesis import given, settings
from hypothesis import strategies as st
from table_cases import (
    RULE_SET,
    TABLE_RULES,
    WITH_DERIVED,
    changes,
    fold_with_changes,
    payments,
)

import cep
from cep.errors import RowsError
from cep.fold import Fold
from dsl.model import RuleSet
from matcher.lookup import table as table_module

RULE_SETS = st.sampled_from((RULE_SET, WITH_DERIVED))
PLACES = st.lists(st.integers(0, 80), max_size=8)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), cuts=PLACES, rules=RULE_SETS)
def test_any_batching_gives_identical_bytes(seed: int, cuts: list[int], rules: RuleSet) -> None:
    lines, made = payments(80, seed), changes(12, 80, seed)
    whole = fold_with_changes(lines, made, rules=rules)
    assert fold_with_changes(lines, made, cuts, rules=rules) == whole


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), stops=PLACES, rules=RULE_SETS)
def test_restarts_anywhere_give_identical_bytes(
    seed: int, stops: list[int], rules: RuleSet
) -> None:
    lines, made = payments(80, seed), changes(12, 80, seed)
    whole = fold_with_changes(lines, made, rules=rules)
    assert fold_with_changes(lines, made, stops=stops, rules=rules) == whole


@pytest.mark.parametrize("rules", [RULE_SET, WITH_DERIVED])
def test_restarts_with_compaction_at_every_turn(
    rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "SPARE_MIN", -100)
    for seed in range(20):
        lines, made = payments(80, seed), changes(20, 80, seed)
        whole = fold_with_changes(lines, made, rules=rules)
        assert fold_with_changes(lines, made, stops=range(0, 81, 7), rules=rules) == whole


def test_the_streams_of_these_tests_detect_something_of_every_rule() -> None:
    found = fold_with_changes(payments(80, 3), changes(12, 80, 3), rules=WITH_DERIVED)
    rules = {str(one["rule"]) for one in json_of(found.bodies)}
    assert rules == {rule.name for rule in WITH_DERIVED.rules}


def payment(at_ms: int, shop: str = "s1") -> bytes:
    return (
        f'{{"type":"Payment","ts":{BASE_MS + at_ms},"card":"c1","shop":"{shop}",'
        '"ip":"10.0.0.1","amount":1}'
    ).encode()


def test_the_first_rows_of_a_table_count_for_events_that_wait() -> None:
    fold = Fold(RULE_SET, "p")
    lines = [payment(0), payment(20_000)]
    assert not fold.step(records(lines, 0, 1)).detections
    fold.replace_rows("shops", [{"shop": "s1", "owner": "o", "risk": 0.9}])
    found = [one.detection for one in fold.step(records(lines, 1, 2)).detections]
    assert [one.message for one in found if one.rule == "risky"] == ["c1 at o"]


def test_a_list_written_anew_counts_from_the_restart_on() -> None:
    lines = [payment(0, "s1"), payment(1_000, "s2"), payment(2_000, "s3"), payment(30_000)]
    before = Fold(RULE_SET, "p")
    before.replace_rows("shops", [{"shop": f"s{n}", "owner": f"o{n}"} for n in range(4)])
    before.step(records(lines, 0, 2))
    edited = cep.compile(TABLE_RULES.replace('["c1"]', '["c2"]'))
    after = Fold(edited, "p", before.checkpoint(), before.changed_pages())
    after.replay(lambda first, count: records(lines, first, min(first + count, 2)))
    found = [one.detection for one in after.step(records(lines, 2, 4)).detections]
    twice = [one.message for one in found if one.rule == "twice"]
    assert twice == ["c1: o1 and o2"]  # the events that wait were read while c1 was in the list
    assert after.notices == []


def test_a_table_nobody_reads_any_more_is_let_go_of() -> None:
    before = Fold(RULE_SET, "p")
    before.replace_rows("shops", [{"shop": "s1", "owner": "o"}])
    pages = before.changed_pages()
    fewer = cep.compile(
        TABLE_RULES[: TABLE_RULES.index("rule risky")] + 'rule any { match p: Payment alert "x" }'
    )
    after = Fold(fewer, "p", before.checkpoint(), pages)
    assert "the stored rows of shops are dropped: no rule looks into it" in after.notices
    gone = {name for name, data in after.changed_pages().items() if not data}
    assert {name for name in pages if name.startswith("table/")} <= gone


def test_rows_that_do_not_fit_change_nothing_and_are_all_named() -> None:
    fold = Fold(RULE_SET, "p")
    rows = [{"shop": "s1"}, {"shop": "s2", "owner": "o"}, {"shop": 3, "owner": "o"}, 5]
    with pytest.raises(RowsError) as refused:
        fold.change_rows("shops", rows, [None])
    assert refused.value.problems == (
        "row 0: owner: missing, and not optional",
        "row 2: shop: expected string, got number",
        "row 3: expected an object",
        "key 0: shop: missing, and not optional",
    )
    assert fold.tables.table("shops").rows == 0
    with pytest.raises(RowsError, match="no rule looks into a table or list 'shop'"):
        fold.change_rows("shop", [])


def test_a_change_between_two_steps_is_seen_by_the_next_record_only() -> None:
    fold = Fold(RULE_SET, "p")
    lines = [payment(0), payment(1), payment(60_000)]
    fold.change_rows("exits", ["192.0.2.0/24"])
    fold.step(records(lines, 0, 1))
    fold.change_rows("exits", ["10.0.0.0/8"])
    found = fold.step(records(lines, 1, 3)).detections
    risky = [one.detection for one in found if one.detection.rule == "risky"]
    assert [one.events[0].position for one in risky] == [1]


def test_a_restart_does_not_undo_what_was_changed_in_a_list_of_the_rule_file() -> None:
    def listed(fold: Fold) -> list[bool]:
        return [fold.tables.holds("watched", (card,), fold.tables.now) for card in ("c1", "c2")]

    before = Fold(RULE_SET, "p")
    assert listed(before) == [True, False]
    before.change_rows("watched", ["c2"], ["c1"])
    pages = {name: data for name, data in before.changed_pages().items() if data}
    again = Fold(RULE_SET, "p", before.checkpoint(), pages)
    assert listed(again) == [False, True]
    edited = cep.compile(
        TABLE_RULES.replace('watched: [string] = ["c1"]', "watched: [string] = []")
    )
    assert listed(Fold(edited, "p", before.checkpoint(), pages)) == [False, False]


def test_a_derived_event_sees_the_rows_that_the_event_behind_it_saw() -> None:
    fold = Fold(WITH_DERIVED, "p")
    lines = [payment(0), payment(60_000, "s2")]
    fold.change_rows("shops", [{"shop": "s1", "owner": "before", "risk": 0.1}])
    fold.step(records(lines, 0, 1))
    fold.change_rows("shops", [{"shop": "s1", "owner": "after", "risk": 0.1}])
    found = [one.detection for one in fold.step(records(lines, 1, 2)).detections]
    pair = next(one for one in found if one.rule == "pair")
    assert pair.message == "before before before before before"  # of the event, and its silence


def test_history_is_let_go_of_when_nothing_can_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_module, "SPARE_MIN", 0)
    fold = Fold(RULE_SET, "p")
    lines = [payment(1_000 * number) for number in range(200)]
    sizes = []
    for number in range(200):
        fold.change_rows("shops", [{"shop": "s1", "owner": f"o{number}"}])
        fold.step(records(lines, number, number + 1))
        fold.changed_pages()
        sizes.append(fold.tables.table("shops").size)
    assert max(sizes) < 100
