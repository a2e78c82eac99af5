"""The matcher as the engine sees it: limits, counters, state that comes and goes, pages."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from dsl import compile_text
from dsl.model import RuleSet
from matcher import limits
from matcher.decode import Decoder
from matcher.limits import RUNS_PER_KEY_MAX
from matcher.matcher import END_OF_TIME_MS, Match, Matcher
from matcher.saved import PageMismatch, owner_of
from matcher.schema import Schema
from matcher.strings import Strings

EVENTS = """
event A { ts: timestamp @time  k: string?  j: int  x: int }
event B { ts: timestamp @time  k: string?  j: int  x: int }
"""
PAIR = 'rule r { severity low by k match a: A -> b: B within 1m alert "{k}" }'


class Driver:
    """One matcher, fed with dicts whose positions count on."""

    def __init__(self, rules: str, keep_raw: bool = True) -> None:
        self.rules: RuleSet = compile_text(EVENTS + rules)
        schema, strings = Schema.of(self.rules.events, self.rules.rules), Strings()
        self.matcher = Matcher(self.rules.rules, schema, strings, keep_raw)
        self.decoder = Decoder(schema, strings)
        self.position = 0

    def feed(self, *events: dict[str, object], watermark_ms: int | None = None) -> list[Match]:
        data = b"".join(json.dumps(event).encode() + b"\n" for event in events)
        batch = self.decoder.decode(data, self.position).batch
        self.position += len(events)
        if watermark_ms is None:
            watermark_ms = int(batch.ts[-1])
        return self.matcher.advance(batch, watermark_ms)

    def pass_time(self, watermark_ms: int = END_OF_TIME_MS) -> list[Match]:
        return self.matcher.advance(self.decoder.decode(b"", self.position).batch, watermark_ms)


def event(type: str, ts: int, k: str | None = "p", j: int = 0, x: int = 0) -> dict[str, object]:
    return {"type": type, "ts": ts, "k": k, "j": j, "x": x}


def test_a_match_has_key_time_steps_positions_and_bytes() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1000))
    (match,) = driver.feed(event("A", 2000, "q"), event("B", 3000))
    assert (match.rule.name, match.key, match.at_ms, match.timer) == ("r", ("p",), 3000, False)
    assert [(bound.step, bound.position) for bound in match.events] == [(0, 0), (1, 2)]
    assert json.loads(match.events[0].raw) == event("A", 1000)


def test_key_of_several_parts() -> None:
    driver = Driver('rule r { severity low by k, j match a: A -> b: B within 1m alert "x" }')
    events = [event("A", 1, "p", 1), event("B", 2, "p", 2), event("B", 3, "p", 1)]
    assert [match.key for match in driver.feed(*events)] == [("p", 1)]


def test_rule_without_key_sees_all_events_together() -> None:
    driver = Driver('rule r { severity low match a: A -> b: B within 1m alert "x" }')
    assert [match.key for match in driver.feed(event("A", 1, "p"), event("B", 2, "q"))] == [()]


def test_events_without_a_key_are_counted() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1, None), event("B", 2, None))
    counters = driver.matcher.counters["r"]
    assert (counters.null_keys, counters.started) == (2, 0)


def test_runs_of_a_key_are_capped_and_counted_and_others_go_on() -> None:
    driver = Driver(PAIR, keep_raw=False)
    driver.feed(*(event("A", place) for place in range(RUNS_PER_KEY_MAX + 5)))
    counters = driver.matcher.counters["r"]
    assert (counters.runs, counters.capped) == (RUNS_PER_KEY_MAX, 5)
    last = RUNS_PER_KEY_MAX + 10
    assert len(driver.feed(event("A", last, "q"), event("B", last + 1, "q"))) == 1


def test_nothing_is_kept_one_window_after_the_last_event() -> None:
    driver = Driver(PAIR)
    driver.feed(*(event("A", place, f"user{place}") for place in range(5000)))
    assert driver.matcher.counters["r"].keys == 5000
    driver.pass_time(5000 + 2 * 60_000)
    counters = driver.matcher.counters["r"]
    assert (counters.runs, counters.keys, counters.expired) == (0, 0, 5000)


def test_snapshot_gives_only_what_changed() -> None:
    driver = Driver(PAIR + 'rule s { severity low by k match a: A[x > 5] alert "x" }')
    driver.feed(event("A", 1))

    def changed() -> list[str]:
        """What owns the pages that changed; of a group of starts, only what it is."""
        owners = {owner_of(name) for name in driver.matcher.snapshot()}
        return sorted("starts" if name.startswith("starts/") else name for name in owners)

    assert changed() == ["evidence/3", "rule/r", "starts"]
    assert changed() == []
    driver.feed(event("B", 2, "q"))
    assert changed() == []
    driver.feed(event("A", 3))
    assert changed() == ["evidence/3", "starts"]
    driver.feed(event("B", 4))
    assert changed() == ["rule/r"]
    driver.pass_time(10 * 60_000)
    gone = {owner_of(name) for name, data in driver.matcher.snapshot().items() if not data}
    assert sorted(name.split("/")[0] for name in gone) == ["evidence", "rule", "starts"]


def test_a_rule_that_joins_others_begins_empty() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1))
    both = Driver(PAIR + PAIR.replace("rule r", "rule new").replace("b: B", "b: B[x >= a.x]"))
    both.matcher.restore(driver.matcher.snapshot())
    both.position = driver.position
    assert [match.rule.name for match in both.feed(event("B", 2))] == ["r"]
    assert both.matcher.counters["new"].started == 0
    found = both.feed(event("A", 3), event("B", 4))
    assert sorted(match.rule.name for match in found) == ["new", "r"]


def test_starts_are_found_again_when_rules_share_them_differently() -> None:
    """More values than one group takes: which rules meet in a group depends on all of them."""

    def rules(numbers: range) -> str:
        return "".join(
            PAIR.replace("rule r", f"rule r{n}").replace("b: B", f"b: B[x > {n} * a.x + {n}]")
            for n in numbers
        )

    driver = Driver(rules(range(12)))
    driver.feed(event("A", 1, x=1))
    pages = driver.matcher.snapshot()
    groups = {owner_of(name) for name in pages if name.startswith("starts/")}
    assert len(groups) == 2
    fewer = Driver(rules(range(6, 12)))
    gone = {f"rule/r{n}" for n in range(6)}
    left = {name: data for name, data in pages.items() if owner_of(name) not in gone}
    unknown = {owner_of(name) for name in fewer.matcher.restore(left)}
    assert len(unknown) == 1 and unknown < groups
    fewer.position = driver.position
    assert len(fewer.feed(event("B", 2, x=100))) == 6


def test_pages_that_belong_to_nothing_are_named() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1))
    pages = driver.matcher.snapshot()
    other = Driver(PAIR.replace("rule r", "rule other").replace("a: A", "a: A[x > 5]"))
    unknown = set(other.matcher.restore(pages))
    left = {owner_of(name) for name in pages.keys() - unknown}
    assert left == {"evidence/3"}, "only events stay, until their time is over"


def test_events_stay_for_a_rule_when_one_that_held_them_for_longer_goes() -> None:
    longer = PAIR.replace("rule r", "rule longer").replace("within 1m", "within 30d")
    driver = Driver(PAIR + longer)
    driver.feed(event("A", 1))
    pages = driver.matcher.snapshot()
    alone = Driver(PAIR)
    left = {name: data for name, data in pages.items() if owner_of(name) != "rule/longer"}
    unknown = alone.matcher.restore(left)
    assert not [name for name in unknown if name.startswith("evidence/")]
    alone.position = driver.position
    (match,) = alone.feed(event("B", 2))
    assert json.loads(match.events[0].raw) == event("A", 1)
    alone.pass_time(10 * 60_000)
    gone = [name for name, data in alone.matcher.snapshot().items() if not data]
    assert [name for name in gone if name.startswith("evidence/")]


def test_page_of_another_pattern_is_refused() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1))
    other = Driver(PAIR.replace("within 1m", "within 2m"))
    with pytest.raises(PageMismatch, match="pattern of r has changed"):
        other.matcher.restore(driver.matcher.snapshot())


def test_page_of_the_same_pattern_with_another_message_is_taken_over() -> None:
    driver = Driver(PAIR)
    driver.feed(event("A", 1))
    other = Driver(PAIR.replace('"{k}"', '"changed"'))
    other.matcher.restore(driver.matcher.snapshot())
    other.position = driver.position
    (match,) = other.feed(event("B", 2))
    assert json.loads(match.events[0].raw) == event("A", 1)


def test_matches_of_one_time_are_in_canonical_order_however_the_stream_is_cut() -> None:
    rules = PAIR + 'rule s { severity low by j match b: B alert "x" }'
    events = [event("A", 1, k, j) for j, k in enumerate("pqr")]
    events += [event("B", 2, k, j) for j, k in enumerate("rqp")]

    def found(*cuts: int) -> list[tuple[str, tuple[int, ...]]]:
        driver = Driver(rules)
        places = [0, *cuts, len(events)]
        matches = [
            match for begin, end in pairwise(places) for match in driver.feed(*events[begin:end])
        ]
        return [(m.rule.name, tuple(bound.position for bound in m.events)) for m in matches]

    whole = found()
    assert [name for name, _ in whole] == ["r", "s"] * 3
    assert found(4) == found(1, 2, 5) == found(5) == whole


def test_matches_decided_by_later_events_are_in_order_of_those_however_the_stream_is_cut() -> None:
    options = "within 1m runs latest fire close"
    rule = f'rule r {{ severity low by k match a: A -> b: B+ {options} alert "x" }}'
    stream = (
        ("A", 0, "p"),
        ("B", 1, "p"),
        ("A", 2, "q"),
        ("B", 3, "q"),
        ("A", 10, "q"),
        ("A", 10, "p"),
    )
    for cut in range(1, len(stream)):
        driver = Driver(rule)
        events = [event(*place) for place in stream]
        found = driver.feed(*events[:cut]) + driver.feed(*events[cut:])
        assert [match.key for match in found] == [("q",), ("p",)], cut


def test_long_loops_and_many_forks_grow_the_tables() -> None:
    driver = Driver(
        'rule r { severity low by k match a: A{3,} -> b: A[x == 1] -> c: B within 1m alert "x" }',
        keep_raw=False,
    )
    driver.feed(*(event("A", place, x=place % 7) for place in range(300)))
    (match,) = driver.feed(event("B", 301))
    assert len(match.events) > 100
    assert driver.matcher.counters["r"].runs == 0


LOOP = """rule r { severity low by k match a: A -> b: A[x > 5] -> c: B within 1m
  after match no skip alert "{k}" }"""


def test_rule_with_too_many_runs_gets_no_more_until_it_has_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CENSUS_ROWS", 4)
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", 3)
    driver = Driver(LOOP)
    driver.feed(*(event("A", 1000 + place, f"user{place}") for place in range(8)))
    counters = driver.matcher.counters["r"]
    assert (counters.runs, counters.capped) == (4, 4)  # a census after the 4th event, and the 8th
    driver.feed(*(event("A", 61_001 + place, f"later{place}") for place in range(4)))
    counters = driver.matcher.counters["r"]
    assert (counters.capped, counters.expired) == (8, 4)  # refused until a census finds fewer
    driver.feed(event("A", 61_010, "last"))
    assert driver.matcher.counters["r"].runs == 1


def test_oldest_keys_are_forgotten_when_a_rule_remembers_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CENSUS_ROWS", 4)
    monkeypatch.setattr(limits, "OPEN_KEYS_MAX", 2)
    driver = Driver('rule r { severity low by k match a: A fire once alert "{k}" }')
    driver.feed(*(event("A", place, f"user{place}") for place in range(4)))
    assert driver.matcher.counters["r"].open == 2
    assert driver.matcher.losses["forgotten"] == 2
    again = driver.feed(*(event("A", 10 + place, f"user{place}") for place in range(4)))
    assert [match.key for match in again] == [("user0",), ("user1",)]


def test_remembered_keys_come_back_from_a_snapshot() -> None:
    rule = """rule r { severity low by k, j match a: A[x > 5] fire once
      resolve on B alert "{k}" }"""
    driver = Driver(rule)
    assert len(driver.feed(event("A", 1, x=6), event("A", 2, "q", x=6))) == 2
    pages = driver.matcher.snapshot()
    assert driver.matcher.snapshot() == {}
    other = Driver(rule)
    other.matcher.restore(pages)
    other.position = driver.position
    assert other.feed(event("A", 3, x=6), event("A", 4, j=1, x=6))[0].key == ("p", 1)
    assert other.feed(event("B", 5)) == []
    assert [(r.key, r.at_ms, r.position) for r in other.matcher.resolutions] == [(("p", 0), 5, 4)]
    assert [match.key for match in other.feed(event("A", 6, x=6))] == [("p", 0)]
    assert other.matcher.resolutions == []
