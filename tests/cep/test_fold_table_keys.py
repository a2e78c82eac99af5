"""Keys that are a table's rows are part of the fold: the same for every batching and restart."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime

import orjson
import pytest
from engine_cases import BASE_MS, Found, json_of, records
from hypothesis import given, settings
from hypothesis import strategies as st
from table_cases import Change, fold_with_changes, restarted

import cep
from cep.fold import Fold
from matcher.lookup import table as table_module
from matcher.reference import ReferenceEvent
from matcher.reference_policy import KeyRow, reference_matches

LATENESS_MS = 10_000
RULES = """
event Beat { ts: timestamp @time  host: string } lateness 10s
event Note { ts: timestamp @time  host: string } lateness 10s
event Quiet { host: string }
table hosts { host: string @pk  owner: string? }
list  watched: [string] = ["h1", "h2"]

rule down {
  by host in hosts
  match not Beat for 20s
  fire once
  resolve on Beat
  alert "{host} of {hosts[host]?.owner ?? 'nobody'}"
}
rule quiet {
  by host in hosts
  over Beat, Note
  match not Beat for 15s
  alert "{host}"
  emit Quiet {host}
}
rule back {
  by host in watched
  match not Beat for 9s -> b: Beat -> not Note for 30s
  alert "{host} is back"
}
rule again {
  by host
  match a: Quiet[exists hosts[host]] -> b: Quiet
  within 2m
  alert "{host} of {hosts[host]?.owner ?? 'nobody'}"
}
rule calm {
  by host in watched
  match not Quiet for 40s
  alert "{host} of {hosts[host]?.owner ?? 'nobody'}"
}
"""
RULE_SET = cep.compile(RULES)
HOSTS = ("h0", "h1", "h2", "h3")
PLACES = st.lists(st.integers(0, 60), max_size=8)


def beats(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [
        (
            f'{{"type":"{rng.choice(("Beat", "Note"))}",'
            f'"ts":{BASE_MS + 2_500 * n - rng.randrange(13_000)},"host":"{rng.choice(HOSTS)}"}}'
        ).encode()
        for n in range(count)
    ]


def changes(count: int, positions: int, seed: int) -> list[Change]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        table = rng.choice(("hosts", "hosts", "watched"))
        hosts = rng.sample(HOSTS, 2)
        rows = [{"host": host, "owner": f"o{number}"} for host in hosts]
        written: Sequence[object] = rows if table == "hosts" else hosts
        position = rng.randrange(positions + 1) if number else 0
        deleted = (rng.choice(HOSTS),)
        found.append(Change(position, table, tuple(written), deleted, rng.random() < 0.4))
    return sorted(found, key=lambda change: change.position)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), cuts=PLACES)
def test_any_batching_gives_identical_bytes(seed: int, cuts: list[int]) -> None:
    lines, made = beats(60, seed), changes(10, 60, seed)
    whole = fold_with_changes(lines, made, rules=RULE_SET)
    assert fold_with_changes(lines, made, cuts, rules=RULE_SET) == whole


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), stops=PLACES)
def test_restarts_anywhere_give_identical_bytes(seed: int, stops: list[int]) -> None:
    lines, made = beats(60, seed), changes(10, 60, seed)
    whole = fold_with_changes(lines, made, rules=RULE_SET)
    assert fold_with_changes(lines, made, stops=stops, rules=RULE_SET) == whole


def test_restarts_with_compaction_at_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "SPARE_MIN", -100)
    for seed in range(20):
        lines, made = beats(60, seed), changes(20, 60, seed)
        whole = fold_with_changes(lines, made, rules=RULE_SET)
        assert fold_with_changes(lines, made, stops=range(0, 61, 7), rules=RULE_SET) == whole


def test_the_streams_of_these_tests_detect_something_of_every_rule() -> None:
    found = Found()
    for seed in range(3):
        found.bodies += fold_with_changes(
            beats(60, seed), changes(10, 60, seed), rules=RULE_SET
        ).bodies
    assert {str(one["rule"]) for one in json_of(found.bodies)} == {r.name for r in RULE_SET.rules}


# ------------------------------------------------------------------- the same as the reference


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**6))
def test_rows_come_and_go_at_the_event_time_reached(seed: int) -> None:
    lines, made = beats(40, seed), changes(8, 40, seed)
    found = json_of(fold_with_changes(lines, made, rules=RULE_SET).bodies)
    for rule in RULE_SET.rules[:3]:
        own = [(one["key"], ms_of(one["at"])) for one in found if one["rule"] == rule.name]
        rows = list(rows_of(str(rule.key_table), lines, made))
        events = sorted(in_time(lines), key=lambda event: (event.ts, event.position))
        expected = reference_matches(rule, events, rows=rows)
        assert own == [({"host": match.key[0]}, match.at_ms) for match in expected]


def ms_of(time: object) -> int:
    return round(datetime.fromisoformat(str(time)).timestamp() * 1000)


def in_time(lines: Sequence[bytes]) -> Iterator[ReferenceEvent]:
    """The events that are not late."""
    for position, event in enumerate(map(orjson.loads, lines)):
        if event["ts"] >= watermark_ms(lines, position):
            record = {("ts",): event["ts"], ("host",): event["host"]}
            yield ReferenceEvent(event["ts"], position, event["type"], record)


def watermark_ms(lines: Sequence[bytes], position: int) -> int:
    """The watermark before the record at `position`; before the first, the one it will make."""
    times = [orjson.loads(line)["ts"] for line in lines[: position or 1]]
    return max(times) - LATENESS_MS


def rows_of(table: str, lines: Sequence[bytes], made: Sequence[Change]) -> Iterator[KeyRow]:
    first_ms = watermark_ms(lines, 0)
    known = {"h1", "h2"} if table == "watched" else set[str]()
    for host in sorted(known):
        yield KeyRow(first_ms, 0, (host,), True)
    for change in made:
        if change.table == table:
            at_ms = watermark_ms(lines, change.position)
            names = [row["host"] if isinstance(row, dict) else row for row in change.upserts]
            after = set(names) if change.whole else (known | set(names)) - set(change.deletes)
            for host in sorted(known - after):
                yield KeyRow(at_ms, change.position, (host,), False)
            for host in sorted(after - known):
                yield KeyRow(at_ms, change.position, (host,), True)
            known = after


# ------------------------------------------------------------------- where keys begin


def beat(at_ms: int, host: str) -> bytes:
    return f'{{"type":"Beat","ts":{BASE_MS + at_ms},"host":"{host}"}}'.encode()


def said(fold: Fold, lines: Sequence[bytes], first: int, end: int) -> list[tuple[str, int]]:
    found = fold.step(records(lines, first, end)).detections
    return [
        (one.detection.message, one.detection.at_ms - BASE_MS)
        for one in found
        if one.detection.rule == "quiet"
    ]


def test_rows_from_before_the_first_event_count_from_the_first_watermark() -> None:
    fold, lines = Fold(RULE_SET, "p"), [beat(10_000, "h9"), beat(25_000, "h9"), beat(60_000, "h9")]
    fold.replace_rows("hosts", [{"host": "h0"}])
    assert said(fold, lines, 0, 2) == []  # event time is 15 s
    assert said(fold, lines, 2, 3) == [("h0", 15_000)]


def test_a_rule_that_is_new_takes_the_rows_there_are() -> None:
    lines = [beat(0, "h0"), beat(20_000, "h0"), beat(60_000, "h9")]
    before = Fold(RULE_SET, "p")
    before.replace_rows("hosts", [{"host": "h0"}, {"host": "h1"}])
    before.step(records(lines, 0, 2))
    edited = cep.compile(RULES.replace("for 15s", "for 16s"))
    after = Fold(edited, "p", before.checkpoint(), before.changed_pages(), elsewhere=("watched",))
    after.replay(lambda first, count: records(lines, first, min(first + count, 2)))
    # h0 is heard of at 20 s, which is still waiting; of h1 the rule knows from event time 10 s on
    assert said(after, lines, 2, 3) == [("h1", 26_000), ("h0", 36_000)]


def test_rows_lost_with_their_declaration_take_their_keys_with_them() -> None:
    lines = [beat(0, "h0"), beat(60_000, "h9")]
    before = Fold(RULE_SET, "p")
    before.replace_rows("hosts", [{"host": "h0"}])
    before.step(records(lines, 0, 1))
    pages = before.changed_pages()
    edited = cep.compile(RULES.replace("owner: string?", "owner: string?  tier: int?"))
    after = Fold(edited, "p", before.checkpoint(), pages)
    assert said(after, lines, 1, 2) == []
    # with a source that is about to be read they stay as they are
    reread = Fold(edited, "p", before.checkpoint(), pages, elsewhere=("hosts", "watched"))
    reread.replay(lambda first, count: records(lines, first, min(first + count, 1)))
    reread.replace_rows("hosts", [{"host": "h0"}, {"host": "h1"}])
    assert said(reread, lines, 1, 2) == [("h1", 5_000), ("h0", 15_000)]


def test_matches_under_way_are_counted_when_their_row_goes() -> None:
    lines = [beat(0, "h1"), beat(31_000, "h9")]
    fold = Fold(RULE_SET, "p")
    fold.step(records(lines, 0, 2))
    fold.change_rows("watched", [], ["h1"])
    assert fold.counters["cancelled"] == 1
    again, _ = restarted(lines, fold, {})
    assert again.counters["cancelled"] == 1
    assert "back" not in {found.match.rule.name for found in again.finish().detections}
