"""The loop with real logs and stores: restart, stop, stale writers, faults of log and store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from engine_cases import BASE_MS, RULES, events, fold_all, policy_rules, rules
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

import cep
from cep import limits
from cep.engine import Engine, Summary
from cep.errors import SourceError, StaleWriter, StoreError
from cep.log.file import FileLog
from cep.log.sqlite import SqliteLog
from cep.ports import Log, Records
from cep.render import Rendered
from cep.store import reads
from cep.store.store import SqlStore, open_store
from cep.store.tables import outbox
from dsl.model import RuleSet

RULE_SET = rules()


class SmallReads:
    """A log that hands out few records at a time, and can end for a while before its end."""

    def __init__(self, log: Log, max_records: int, pause_at: int | None = None) -> None:
        self._log, self._max, self._pause_at = log, max_records, pause_at
        self.partitions = log.partitions
        self.when_paused: Callable[[], None] = lambda: None

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        if self._pause_at is not None and position >= self._pause_at:
            self.when_paused()
            return Records(position, b"", 0)
        limit = min(max_records, self._max)
        if self._pause_at is not None:
            limit = min(limit, self._pause_at - position)
        return self._log.read(partition, position, limit)

    def begin(self, partition: str) -> int:
        return self._log.begin(partition)

    def reached(self, partition: str) -> str:
        return self._log.reached(partition)

    def mark(self, partition: str) -> str:
        return self._log.mark(partition)

    def end(self, partition: str, bookmark: str = "") -> int:
        return self._log.end(partition, bookmark)

    def append(self, partition: str, data: bytes) -> range | None:
        return self._log.append(partition, data)

    def bookmark(self, partition: str, position: int) -> str:
        return self._log.bookmark(partition, position)

    def resume(self, partition: str, bookmark: str) -> None:
        self._log.resume(partition, bookmark)

    def committed(self, partition: str, bookmark: str) -> None:
        self._log.committed(partition, bookmark)

    def close(self) -> None:
        self._log.close()


def write(path: Path, lines: Sequence[bytes]) -> str:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def bodies(store: SqlStore) -> list[bytes]:
    return [found.body for found in reads.detections(store.engine, limit=1000)]


def run(
    path: str,
    store: SqlStore | None,
    *,
    rule_set: RuleSet = RULE_SET,
    max_records: int = 50,
    pause_at: int | None = None,
) -> tuple[Summary, list[bytes], list[str]]:
    shown: list[Rendered] = []
    notices: list[str] = []
    log = SmallReads(FileLog(path), max_records, pause_at)
    engine = Engine(rule_set, log, store, sink=shown.extend, notify=notices.append)
    log.when_paused = engine.stop
    try:
        summary = engine.run()
    finally:
        log.close()
    return summary, [found.body for found in shown], notices


def test_store_and_sink_get_what_the_fold_gives(tmp_path: Path) -> None:
    lines = events(400, 1)
    found, fold = fold_all(RULE_SET, lines)
    # Ids take the partition's name in.
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    summary, shown, _ = run(path, store)
    assert summary.ended
    assert shown == bodies(store) == found.bodies
    assert len(found.bodies) > 20
    letters = reads.dead_letters(store.engine, "p", limit=1000)
    assert [(d.position, d.reason, d.raw) for d in letters] == [
        (d.position, d.reason, d.raw) for d in found.dead
    ]
    (status,) = reads.partitions(store.engine)
    assert status.counters == fold.counters == summary.counters
    assert status.position == len(lines)
    with store.engine.connect() as connection:
        rows = connection.execute(select(outbox.c.detection_id)).scalars().all()
    visible = [d for d in reads.detections(store.engine, limit=1000) if d.suppressed_by is None]
    assert set(rows) == {d.id for d in visible}
    store.close()


@pytest.mark.parametrize("stops", [[1], [100, 101, 250], [399], [50, 60, 70, 80, 90, 300]])
def test_stops_and_restarts_give_the_undisturbed_result(tmp_path: Path, stops: list[int]) -> None:
    lines = events(400, 2)
    found, fold = fold_all(RULE_SET, lines)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    for stop in stops:
        summary, _, notices = run(path, store, pause_at=stop, max_records=37)
        assert (summary.ended, summary.position, notices) == (False, stop, [])
    summary, _, _ = run(path, store)
    assert bodies(store) == found.bodies
    assert summary.counters == fold.counters
    store.close()


def test_resolutions_are_committed_with_the_detections(tmp_path: Path) -> None:
    lines, rule_set = events(400, 4), policy_rules()
    found, fold = fold_all(rule_set, lines)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    run(path, store, rule_set=rule_set, pause_at=150, max_records=37)
    summary, _, _ = run(path, store, rule_set=rule_set)
    assert bodies(store) == found.bodies
    stored = reads.resolutions(store.engine, limit=1000)
    assert [row.id for row in stored] == [row.id for row in found.resolutions]
    assert summary.counters == fold.counters
    assert summary.counters["resolutions"] == len(stored) > 0
    store.close()


def test_run_over_a_finished_log_finds_nothing_new(tmp_path: Path) -> None:
    path = write(tmp_path / "p", events(100, 3))
    store = open_store(str(tmp_path / "s.db"))
    first, shown, _ = run(path, store)
    again, shown_again, notices = run(path, store)
    assert shown
    assert (shown_again, notices) == ([], [])
    assert again.counters == first.counters
    store.close()


def test_events_added_to_a_finished_log_are_late_and_that_is_said(tmp_path: Path) -> None:
    lines = events(101, 3)
    path = write(tmp_path / "p", lines[:100])
    store = open_store(str(tmp_path / "s.db"))
    first, _, _ = run(path, store)
    write(tmp_path / "p", lines)
    again, shown, notices = run(path, store)
    assert notices == [
        "p was read to its end before: the events added since then, from record 100 on, are late"
    ]
    assert shown == []
    assert again.counters["late"] == first.counters["late"] + 1
    store.close()


def test_another_log_of_the_same_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p", events(50, 4))
    store = open_store(str(tmp_path / "s.db"))
    run(path, store)
    write(tmp_path / "p", events(50, 5))
    with pytest.raises(SourceError, match="the store knows another log as 'p'"):
        run(path, store)
    store.close()


def test_log_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    lines = events(50, 4)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    run(path, store)
    write(tmp_path / "p", lines[:20])
    with pytest.raises(SourceError, match="ends at record 20, before record 50"):
        run(path, store)
    store.close()


def test_second_engine_takes_over_and_the_first_stops_without_writing(tmp_path: Path) -> None:
    lines = events(200, 6)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    log = SmallReads(FileLog(path), 50, pause_at=100)
    first = Engine(RULE_SET, log, store)

    def take_over() -> None:
        log.when_paused = lambda: None
        run(path, store)
        log._pause_at = None

    log.when_paused = take_over
    with pytest.raises(StaleWriter):
        first.run()
    log.close()
    assert bodies(store) == fold_all(RULE_SET, lines)[0].bodies
    store.close()


def test_disk_full_stops_with_the_reason_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    lines = events(400, 7)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    failing = [False]

    def refuse(*_: object) -> None:
        if failing[0]:
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    event.listen(store.engine, "before_cursor_execute", refuse)
    log = SmallReads(FileLog(path), 50)
    shown: list[Rendered] = []

    def sink(detections: Sequence[Rendered]) -> None:
        shown.extend(detections)
        failing[0] = True

    with pytest.raises(StoreError, match="cannot commit: database or disk is full"):
        Engine(RULE_SET, log, store, sink=sink).run()
    log.close()
    failing[0] = False
    assert 0 < len(shown) == len(bodies(store))
    run(path, store)
    assert bodies(store) == fold_all(RULE_SET, lines)[0].bodies
    store.close()


def with_cards_seen_once(lines: Sequence[bytes], each: int) -> list[bytes]:
    """So many events of cards with long numbers before each line."""
    found = []
    for number, line in enumerate(lines):
        ts = BASE_MS + number * 500
        for place in range(each):
            card = f"{number}-{place}".rjust(400, "x")
            event = f'{{"type":"Payment","ts":{ts},"card":"{card}","amount":20,"country":"FR"}}'
            found.append(event.encode())
        found.append(line)
    return found


@pytest.mark.parametrize("rule_set", [RULE_SET, policy_rules()], ids=["rules", "policies"])
def test_texts_of_keys_that_are_gone_are_let_go_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule_set: RuleSet
) -> None:
    lines = with_cards_seen_once(events(700, 8), 40)
    found, fold = fold_all(rule_set, lines)
    monkeypatch.setattr(limits, "TEXTS_KEPT_MIN", 1_000)
    store, texts = open_store(str(tmp_path / "s.db")), list[int]()
    log = SmallReads(FileLog(write(tmp_path / "p", lines)), 200)

    def look(records: int) -> None:
        assert engine.fold is not None
        texts.append(len(engine.fold.strings))

    engine = Engine(rule_set, log, store, progress=look, commit_interval_ms=0)
    assert engine.run().counters == fold.counters
    assert bodies(store) == found.bodies
    assert len(fold.strings) > 25_000
    assert max(texts) < 14_000
    assert sum(later < before for before, later in pairwise(texts)) > 1
    store.close()
    log.close()


class Forwards(SmallReads):
    """A log that cannot go back, like standard input."""

    furthest = 0

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        if position < self.furthest:
            raise SourceError("cannot go back")
        self.furthest = position
        return super().read(partition, position, max_records)


def test_a_log_that_cannot_go_back_keeps_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = with_cards_seen_once(events(100, 8), 20)
    monkeypatch.setattr(limits, "TEXTS_KEPT_MIN", 500)
    store = open_store(str(tmp_path / "s.db"))
    log = Forwards(FileLog(write(tmp_path / "p", lines)), 100)
    Engine(RULE_SET, log, store, commit_interval_ms=0).run()
    assert bodies(store) == fold_all(RULE_SET, lines)[0].bodies
    store.close()
    log.close()


def test_endless_log_is_followed_until_stopped(tmp_path: Path) -> None:
    database = str(tmp_path / "a.db")
    writer, reader = SqliteLog(database, "t"), SqliteLog(database, "t")
    store = open_store(database)
    seen = threading.Event()
    engine = Engine(RULE_SET, reader, store, sink=lambda _: seen.set())
    results: list[Summary] = []
    thread = threading.Thread(target=lambda: results.append(engine.run()))
    thread.start()

    def payment(at_s: int, amount: str) -> bytes:
        return (
            f'{{"type":"Payment","ts":{BASE_MS + at_s * 1000},"card":"c","amount":{amount}}}\n'
        ).encode()

    writer.append("t", payment(0, "1.00"))
    writer.append("t", payment(5, "600.00"))
    writer.append("t", payment(60, "20.00"))  # moves the watermark past the others
    assert seen.wait(20)
    engine.stop()
    thread.join(20)
    assert not results[0].ended
    assert results[0].position == 3
    (found,) = reads.detections(store.engine)
    assert found.rule == "escalation"
    (status,) = reads.partitions(store.engine)
    assert status.watermark_ms == BASE_MS + 50_000
    for one in (writer, reader, store):
        one.close()


def test_steps_share_a_commit_while_catching_up(tmp_path: Path) -> None:
    path = write(tmp_path / "p", [b'{"type":"Unused"}'] * 500)
    store = open_store(str(tmp_path / "s.db"))
    commits = []
    event.listen(store.engine, "commit", lambda _: commits.append(1))
    begin = time.monotonic()
    run(path, store, max_records=1)
    spent_ms = (time.monotonic() - begin) * 1000
    assert len(commits) <= 3 + spent_ms / limits.COMMIT_INTERVAL_MS
    store.close()


def test_rule_changed_between_runs_is_said_and_others_go_on(tmp_path: Path) -> None:
    lines = events(400, 8)
    path = write(tmp_path / "p", lines)
    store = open_store(str(tmp_path / "s.db"))
    run(path, store, pause_at=200)
    notices: list[str] = []
    log = FileLog(path)
    other = cep.compile(RULES.replace("within 20s", "within 25s"))
    Engine(other, log, store, notify=notices.append).run()
    log.close()
    assert notices == ["the pattern of rule hop changed: it starts empty"]
    same = [b for b in fold_all(RULE_SET, lines)[0].bodies if b'"rule":"hop"' not in b]
    assert [b for b in bodies(store) if b'"rule":"hop"' not in b] == same
    store.close()


def test_unreadable_file_is_a_named_error(tmp_path: Path) -> None:
    path = write(tmp_path / "p", events(5, 1))
    log = FileLog(path)
    Path(path).unlink()
    with pytest.raises(SourceError, match="No such file"):
        Engine(RULE_SET, log, None).run()
