"""Events far ahead of their ingest: they lose nobody an alert, are told of, and stay out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from engine_cases import BASE_MS, ManualClock, check_counters, events, fold_all, json_of, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from cep import limits
from cep.engine import Engine
from cep.errors import UsageError
from cep.fold import Fold
from cep.log import open_topic
from cep.log.sqlite import SqliteLog
from cep.log.topics import Topic
from cep.ports import Ingest, Records
from cep.store import reads
from cep.store.store import open_store

RULE_SET = rules()
TEN_YEARS_MS = 10 * 365 * 86_400_000
LINES = events(200, 3)
INGEST_MS = BASE_MS + 200 * 500


def payment(ts: int) -> bytes:
    return f'{{"type":"Payment","ts":{ts},"card":"c1","amount":950.25}}'.encode()


def records(lines: list[bytes], first: int, end: int, ingest_ms: int = INGEST_MS) -> Records:
    data = b"".join(line + b"\n" for line in lines[first:end])
    ingest = Ingest(first, ingest_ms, ingest_ms + limits.AHEAD_OF_INGEST_MS_MAX)
    return Records(first, data, end - first, ingests=(ingest,))


def test_one_event_ten_years_ahead_loses_no_alert(tmp_path: Path) -> None:
    database = str(tmp_path / "a.db")
    log = SqliteLog(database, "p", follow=False, clock=ManualClock(INGEST_MS))
    spoiled = [*LINES[:50], payment(BASE_MS + TEN_YEARS_MS), *LINES[50:]]
    log.append("p", b"".join(line + b"\n" for line in spoiled))
    store = open_store(database)
    summary = Engine(RULE_SET, log, store).run()
    found, calm = fold_all(RULE_SET, LINES)
    kept = [row.body for row in reads.detections(store.engine, limit=1000)]
    assert told(kept) == told(found.bodies)
    assert len(kept) > 10
    assert summary.counters["quarantined"] == 1
    assert summary.counters["late"] == calm.counters["late"]
    letters = reads.dead_letters(store.engine, "p", limit=1000)
    (far,) = [letter for letter in letters if letter.reason.startswith("quarantined: ")]
    assert far.position == 50
    assert far.raw == spoiled[50]
    assert "2035-12-30" in far.reason and "2026-01-01T00:01:40.000Z" in far.reason
    store.close()
    log.close()


def told(bodies: list[bytes]) -> list[tuple[object, object]]:
    return [(body["rule"], body["message"]) for body in json_of(bodies)]


@pytest.mark.parametrize("ahead_ms", [0, 1])
def test_the_bound_itself_is_not_too_far(ahead_ms: int) -> None:
    fold = Fold(RULE_SET, "p")
    line = payment(INGEST_MS + limits.AHEAD_OF_INGEST_MS_MAX + ahead_ms)
    outcome = fold.step(records([line], 0, 1))
    assert fold.counters["quarantined"] == len(outcome.dead_letters) == ahead_ms
    check_counters(fold)


def test_a_log_that_does_not_know_when_events_came_has_no_quarantine() -> None:
    fold = Fold(RULE_SET, "p")
    fold.step(Records(0, payment(BASE_MS + TEN_YEARS_MS) + b"\n", 1))
    assert (fold.counters["processed"], fold.counters["quarantined"]) == (1, 0)


def test_events_spread_over_partitions_are_judged_as_appended_ones(tmp_path: Path) -> None:
    log = SqliteLog(str(tmp_path / "a.db"), "p", clock=ManualClock(INGEST_MS), ahead_ms_max=1_000)
    log.declare(Topic("p", 4, "card"))
    cards = [f"c{number}" for number in range(12)]
    for ahead_ms in (1_000, 1_001):
        lines = [payment(INGEST_MS + ahead_ms).replace(b"c1", card.encode()) for card in cards]
        log.publish(b"\n".join(lines))
    folds = {name: Fold(RULE_SET, name) for name in log.partitions}
    for name, fold in folds.items():
        taken = log.read(name, 0, 100)
        assert taken is not None
        fold.step(taken)
        check_counters(fold)
        assert fold.counters["processed"] == fold.counters["quarantined"]
    assert sum(fold.counters["quarantined"] for fold in folds.values()) == 12
    log.close()


def test_a_bound_for_a_log_that_does_not_record_when_events_came_is_refused() -> None:
    with pytest.raises(UsageError, match="--max-ahead: only an embedded log"):
        open_topic("redis://127.0.0.1:1/0#t", ahead_ms_max=1_000)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 100), max_size=5), stop=st.integers(0, 100))
def test_quarantine_is_the_same_for_every_batching_and_restart(cuts: list[int], stop: int) -> None:
    lines = list(LINES[:98])
    lines.insert(20, payment(INGEST_MS + TEN_YEARS_MS))
    lines.insert(90, payment(INGEST_MS + limits.AHEAD_OF_INGEST_MS_MAX + 1))

    def folded(cuts: list[int], stop: int | None) -> tuple[list[bytes], list[int], dict[str, int]]:
        fold, pages, bodies, dead = Fold(RULE_SET, "p"), {}, [], []
        bounds = sorted({0, 100, *cuts, *([] if stop is None else [stop])})
        for first, end in pairwise(bounds):
            if first == stop:
                pages |= fold.changed_pages()
                kept = {name: data for name, data in pages.items() if data}
                fold = Fold(RULE_SET, "p", fold.checkpoint(), kept)
                fold.replay(lambda begin, count: records(lines, begin, begin + count))
            outcome = fold.step(records(lines, first, end))
            bodies += [found.body for found in outcome.detections]
            dead += [letter.position for letter in outcome.dead_letters]
            check_counters(fold)
        bodies += [found.body for found in fold.finish().detections]
        return bodies, dead, fold.counters

    assert folded(cuts, stop) == folded([], None)
    assert folded([], None)[2]["quarantined"] == 2
