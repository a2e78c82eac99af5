"""The fold: the same detections for every way of cutting the log, and after every restart."""

from __future__ import annotations

import random
import re

import orjson
import pytest
from engine_cases import (
    BASE_MS,
    RULES,
    Found,
    check_counters,
    events,
    fold_all,
    json_of,
    mixed_rules,
    policy_rules,
    records,
    restarted,
    rules,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import cep
from cep import limits
from cep.errors import SourceError
from cep.fold import Fold
from cep.ports import Oversized, Records
from cep.values import iso_time
from dsl.model import RuleSet

RULE_SET = rules()
POLICY_RULES = policy_rules()


def payment(at_s: float, amount: str, card: str = "c", country: str = "FR") -> bytes:
    return (
        f'{{"type":"Payment","ts":{BASE_MS + int(at_s * 1000)},"card":"{card}",'
        f'"amount":{amount},"country":"{country}"}}'
    ).encode()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 150),
    cuts=st.lists(st.integers(0, 150), max_size=12),
)
def test_any_batching_gives_identical_bytes(seed: int, count: int, cuts: list[int]) -> None:
    lines = events(count, seed)
    whole, one = fold_all(RULE_SET, lines)
    parts, other = fold_all(RULE_SET, lines, cuts)
    assert parts == whole
    assert other.counters == one.counters


def test_a_hundred_random_batchings_give_identical_bytes() -> None:
    """One worker or many: each partition is such a fold."""
    rule_set, lines = mixed_rules(), events(600, 17)
    whole, one = fold_all(rule_set, lines)
    assert {body["rule"] for body in json_of(whole.bodies)} == {r.name for r in rule_set.rules}
    assert len(whole.resolutions) > 3
    assert one.capped
    rng = random.Random(23)
    for _ in range(100):
        cuts = [rng.randrange(len(lines)) for _ in range(rng.choice((1, 3, 10, 30)))]
        parts, other = fold_all(rule_set, lines, cuts)
        assert parts == whole, f"cuts {sorted(cuts)}"
        assert other.counters == one.counters
        assert other.capped == one.capped


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 150),
    stops=st.lists(st.integers(0, 150), min_size=1, max_size=5),
)
def test_restarts_anywhere_give_identical_bytes_and_counters(
    seed: int, count: int, stops: list[int]
) -> None:
    check_restarts(RULE_SET, seed, count, stops)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 400),
    stops=st.lists(st.integers(0, 400), min_size=1, max_size=5),
)
def test_remembered_keys_resolutions_and_refusals_survive_restarts(
    seed: int, count: int, stops: list[int]
) -> None:
    check_restarts(POLICY_RULES, seed, count, stops)


def test_key_fires_again_only_once_it_is_resolved() -> None:
    lines = events(400, 1)
    found, fold = fold_all(POLICY_RULES, lines)
    resolved = [(iso_time(row.at_ms), False, orjson.loads(row.key)) for row in found.resolutions]
    fired = [
        (str(body["at"]), True, body["key"])
        for body in json_of(found.bodies)
        if body["rule"] == "spending"
    ]
    open_keys: list[object] = []
    for _, fires, key in sorted(resolved + fired, key=lambda fact: fact[:2]):
        assert (key in open_keys) is not fires
        (open_keys.append if fires else open_keys.remove)(key)
    assert fold.counters["resolutions"] == len(found.resolutions) > 3
    assert len({row.id for row in found.resolutions}) == len(found.resolutions)
    assert fold.counters["cancelled"] > 0


def check_restarts(rule_set: RuleSet, seed: int, count: int, stops: list[int]) -> None:
    lines = events(count, seed)
    whole, one = fold_all(rule_set, lines)
    fold, found = Fold(rule_set, "p"), Found()
    pages: dict[str, bytes] = {}
    for stop in sorted({s % (len(lines) + 1) for s in stops} | {len(lines)}):
        found.add(fold.step(records(lines, fold.position, stop)))
        pages.update(fold.changed_pages())
        pages = {name: data for name, data in pages.items() if data}
        fold = restarted(rule_set, lines, fold.checkpoint(), pages)
        assert fold.notices == []
        check_counters(fold)
    found.add(fold.finish())
    assert found == whole
    assert fold.counters == one.counters


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), delays=st.lists(st.integers(0, 9_999), min_size=80, max_size=80))
def test_shuffle_within_lateness_detects_what_the_sorted_run_does(
    seed: int, delays: list[int]
) -> None:
    # Distinct times: equal ones are ordered by position, which a shuffle changes.
    times = [BASE_MS + 700 * n for n in range(80)]
    made = events(80, seed, disorder_ms=1)
    made = [re.sub(rb'"ts":\d+', b'"ts":%d' % ts, e) for ts, e in zip(times, made, strict=True)]
    in_order = sorted(range(80), key=lambda n: times[n] + delays[n])
    ordered, one = fold_all(RULE_SET, made)
    shuffled, two = fold_all(RULE_SET, [made[n] for n in in_order])
    assert one.counters["late"] == two.counters["late"] == 0

    def without_places(found: Found) -> list[tuple[object, ...]]:
        return sorted(
            (d["at"], d["rule"], d["message"], str([e["event"] for e in d["events"]]))  # type: ignore[attr-defined]  # JSON
            for d in json_of(found.bodies)
        )

    assert without_places(shuffled) == without_places(ordered)


def test_detection_has_the_promised_shape() -> None:
    lines = [payment(0, "1.50"), payment(1, "2.00"), payment(9.5, "600.10")]
    found, _ = fold_all(RULE_SET, lines)
    (body,) = json_of(found.bodies)
    rule = next(rule for rule in RULE_SET.rules if rule.name == "escalation")
    identity = body.pop("id")
    assert isinstance(identity, str)
    assert re.fullmatch("[0-9a-f]{32}", identity)
    assert body == {
        "rule": "escalation",
        "version": rule.version,
        "key": {"card": "c"},
        "at": "2026-01-01T00:00:09.500Z",
        "severity": "high",
        "message": "c: 2 small, then 600.10",
        "fields": {"card": "c", "count(small)": 2, "large.amount": 600.1, "ratio": 300.05},
        "events": [
            {"step": "small", "position": 0, "event": orjson.loads(lines[0])},
            {"step": "small", "position": 1, "event": orjson.loads(lines[1])},
            {"step": "large", "position": 2, "event": orjson.loads(lines[2])},
        ],
    }
    assert list(body) == ["rule", "version", "key", "at", "severity", "message", "fields", "events"]
    assert lines[2] in found.bodies[0], "the event is kept byte by byte"


def test_second_detection_within_the_span_is_recorded_as_suppressed() -> None:
    lines = []
    for start in (0, 100, 200, 301):  # suppressed for 5m after the first
        lines += [payment(start, "1.00"), payment(start + 1, "600.00")]
    lines += [payment(302, "1.00", card="other"), payment(303, "600.00", card="other")]
    found, fold = fold_all(RULE_SET, lines)
    bodies = [d for d in json_of(found.bodies) if d["rule"] == "escalation"]
    first = bodies[0]["id"]
    assert [d.get("suppressed_by") for d in bodies] == [None, first, first, None, None]
    assert (fold.counters["detections"], fold.counters["suppressed"]) == (5, 2)


def test_suppressed_detection_tells_nobody_and_a_rule_without_notify_tells_default() -> None:
    lines = [payment(0, "1.00"), payment(1, "950.00"), payment(9, "1.00"), payment(10, "600.00")]
    fold = Fold(RULE_SET, "p")
    given = [*fold.step(records(lines, 0, 4)).detections, *fold.finish().detections]
    told = [(d.detection.rule, d.row().destinations) for d in given]
    assert told == [
        ("escalation", ("soc", "mail")),
        ("escalation", ()),
        ("unblocked", ("default",)),
    ]


def test_timer_detection_is_stamped_with_its_deadline() -> None:
    found, _ = fold_all(RULE_SET, [payment(0, "950.00")])
    (body,) = json_of(found.bodies)
    assert (body["rule"], body["at"]) == ("unblocked", "2026-01-01T00:00:30.000Z")
    assert body["message"] == "c stays open after 950"


def test_ids_differ_by_partition_and_version_and_positions() -> None:
    def ids(text: str, partition: str, shift: int) -> set[object]:
        fold = Fold(cep.compile(text), partition)
        lines = [b""] * shift + [payment(0, "1.00"), payment(1, "600.00")]
        given = fold.step(records(lines, 0, len(lines)))
        return {d.detection.id for d in [*given.detections, *fold.finish().detections]}

    base = ids(RULES, "p", 0)
    assert base == ids(RULES, "p", 0)
    for other in (
        ids(RULES, "q", 0),
        ids(RULES, "p", 1),
        ids(RULES.replace("within 1m", "within 2m"), "p", 0),
    ):
        assert len(other) == len(base) == 1
        assert not base & other


def test_changed_pattern_starts_empty_and_says_so_and_others_keep_their_state() -> None:
    lines = [payment(0, "1.00"), payment(0.5, "950.00", card="d"), payment(20, "600.00")]
    fold = Fold(RULE_SET, "p")
    fold.step(records(lines, 0, 2))
    pages, point = fold.changed_pages(), fold.checkpoint()
    changed = RULES.replace("amount < 5.00", "amount < 4.00").replace("rule hop", "rule jump")
    fold = restarted(cep.compile(changed), lines, point, pages)
    assert fold.notices == [
        "the pattern of rule escalation changed: it starts empty",
        "rule hop is gone: its partial matches are dropped",
    ]
    given = [*fold.step(records(lines, 2, 3)).detections, *fold.finish().detections]
    # The events that waited for the watermark are not state of a rule: the new pattern sees them.
    assert [d.detection.rule for d in given] == ["escalation", "unblocked"]
    gone = {name for name, data in fold.changed_pages().items() if not data}
    assert not any("hop" in name for name in pages if pages[name] and name not in gone)


def test_record_over_the_limit_is_a_dead_letter_in_order() -> None:
    fold = Fold(RULE_SET, "p")
    data = b"{\n" + b"\n" + payment(0, "1.00") + b"\n"
    given = fold.step(Records(0, data, 3, (Oversized(1, 10**7, b"head"),)))
    assert [(d.position, d.raw) for d in given.dead_letters] == [(0, b"{"), (1, b"head")]
    assert "over the limit" in given.dead_letters[1].reason
    assert fold.counters["received"] == 3
    check_counters(fold)


def test_log_that_lost_records_is_refused_on_restart() -> None:
    lines = [payment(n, "20") for n in range(5)]
    fold = Fold(RULE_SET, "p")
    fold.step(records(lines, 0, 5))
    with pytest.raises(SourceError, match="ends at record"):
        restarted(RULE_SET, lines[:2], fold.checkpoint(), {})


POISON = {
    "truncated": b'{"type":"Payment","ts":1767225600000,"card":"c","amo',
    "wrong type": b'{"type":"Payment","ts":1767225600000,"card":"c","amount":[1],"country":"FR"}',
    "not a number": b'{"type":"Payment","ts":1767225600000,"card":"c","amount":NaN}',
    "infinite": b'{"type":"Payment","ts":1767225600000,"card":"c","amount":1e999}',
    "no time": b'{"type":"Payment","card":"c","amount":1.00}',
    "no type": b'{"ts":1767225600000,"card":"c","amount":1.00}',
    "deep": b'{"type":"Payment","ts":1767225600000,"card":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "bad UTF-8": b'{"type":"Payment","ts":1767225600000,"card":"\xff\xfe","amount":1.00}',
    "not an object": b"[1,2,3]",
    "a word": b"hello",
    "control character": b'{"type":"Payment","ts":1767225600000,"card":"a\x00b","amount":1.00}',
    "missing field": b'{"type":"Payment","ts":1767225600000,"amount":1.00}',
    "far time": b'{"type":"Payment","ts":99999999999999999,"card":"c","amount":1.00}',
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_a_dead_letter_with_its_reason_and_never_stops_the_fold(kind: str) -> None:
    lines = [payment(0, "1.00"), POISON[kind], payment(1, "600.00")]
    found, fold = fold_all(RULE_SET, lines)
    (letter,) = found.dead
    assert letter.position == 1
    assert len(letter.reason) > 5
    assert letter.raw == POISON[kind][: limits.DEAD_LETTER_RAW_BYTES]
    assert len(found.bodies) == 1
    assert fold.counters["dead_lettered"] == 1


def test_field_that_only_the_message_reads_may_be_wrong() -> None:
    text = RULES.replace("card: string\n  amount", "card: string\n  note: int?\n  amount").replace(
        "{card}: {count(small)}", "{card} {large.note}: {count(small)}"
    )
    large = payment(1, "600.00").replace(b'"country"', b'"note":"x","country"')
    found, _ = fold_all(cep.compile(text), [payment(0, "1.00"), large])
    (body,) = json_of(found.bodies)
    assert body["message"] == "c null: 1 small, then 600.00"


@settings(max_examples=15, deadline=None)
@given(delays=st.lists(st.integers(0, 10_000), min_size=150, max_size=150), cut=st.integers(1, 149))
def test_events_shuffled_within_the_lateness_detect_what_the_sorted_ones_do(
    delays: list[int], cut: int
) -> None:
    usable = [line for line in events(200, 9) if line.endswith(b"}") and b"a lot" not in line]
    by_time = {orjson.loads(line)["ts"]: line for line in usable}  # two of one time have no order
    arrivals = sorted(zip(by_time, delays, strict=False), key=lambda each: sum(each))
    arrived = [by_time[ts] for ts, _ in arrivals]
    ordered = [by_time[ts] for ts in sorted(ts for ts, _ in arrivals)]

    def told(bodies: list[bytes]) -> list[tuple[str, ...]]:
        # Matches that one event completes come in the order of their positions in the log.
        return sorted((str(b["at"]), str(b["rule"]), str(b["message"])) for b in json_of(bodies))

    found, fold = fold_all(RULE_SET, arrived, [cut])
    assert fold.counters["late"] == 0
    assert told(found.bodies) == told(fold_all(RULE_SET, ordered)[0].bodies)
