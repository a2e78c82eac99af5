"""Ticks: silence decides pending absences, is in the log before it counts, and is told from lag."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_cases import BASE_MS, ManualClock, check_counters, rules

from cep.engine import Engine, run_in_turns
from cep.errors import UsageError
from cep.fold import Fold
from cep.idle import Ticks, check_idle, ticks_for
from cep.log.file import FileLog
from cep.log.sqlite import SqliteLog
from cep.log.topics import Topic
from cep.store import reads
from cep.store.store import SqlStore, open_store

RULE_SET = rules()  # `unblocked`: a large payment, and not Block for 30s; lateness 10s
IDLE_MS = 2_000


def payment(at_s: float, card: str = "c") -> bytes:
    ts = BASE_MS + round(at_s * 1000)
    return f'{{"type":"Payment","ts":{ts},"card":"{card}","amount":950.25}}\n'.encode()


class Followed:
    """An embedded log followed by an engine whose clock moves as it sleeps."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(BASE_MS)
        database = str(folder / "a.db")
        self.log = SqliteLog(database, "t", clock=self.clock)
        self.store: SqlStore = open_store(database)

    def run(self, for_ms: int, idle_ms: int | None = IDLE_MS) -> Engine:
        end_ms = self.clock.at_ms + for_ms
        ticks = None if idle_ms is None else Ticks(self.log, "t", idle_ms)
        engine = Engine(RULE_SET, self.log, self.store, clock=self.clock, ticks=ticks)
        self.clock.on_sleep = lambda: engine.stop() if self.clock.at_ms >= end_ms else None
        engine.run()
        return engine

    @property
    def found(self) -> list[bytes]:
        return [row.body for row in reads.detections(self.store.engine)]

    def ticks(self) -> list[int]:
        return ticks_of(self.log, "t")


def ticks_of(log: SqliteLog, partition: str) -> list[int]:
    found, position = [], 0
    while (records := log.read(partition, position, 100)) and records.count:
        position = records.end_position
        found += [] if records.tick_ms is None else [records.tick_ms]
    return found


def test_silence_decides_a_pending_absence(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.log.append("t", payment(0))
    engine = followed.run(60_000)
    (body,) = followed.found
    assert b'"rule":"unblocked"' in body and b'"at":"2026-01-01T00:00:30.000Z"' in body
    assert engine.fold is not None
    # The watermark began 10 s before the event and moved with the clock.
    assert 45_000 <= engine.fold.watermark_ms - BASE_MS <= 50_000
    assert engine.fold.counters["received"] == engine.fold.counters["processed"] == 1
    check_counters(engine.fold)


def test_without_ticks_it_stays_pending(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.log.append("t", payment(0))
    followed.run(60_000, idle_ms=None)
    assert followed.found == followed.ticks() == []


def test_the_log_alone_gives_the_same_again(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    for number in range(4):
        followed.log.append("t", payment(number * 20, f"c{number}"))
        followed.run(20_000)
    followed.run(45_000)
    assert len(followed.found) == 4
    assert len(followed.ticks()) > 10
    for most in (1, 3, 100):
        fold, bodies = Fold(RULE_SET, "t"), []
        while (records := followed.log.read("t", fold.position, most)) and records.count:
            bodies += [found.body for found in fold.step(records).detections]
        assert bodies == followed.found
        (status,) = reads.partitions(followed.store.engine)
        assert (fold.watermark_ms, fold.counters) == (status.watermark_ms, status.counters)


def test_ticks_are_no_events_and_no_letters_and_look_alikes_are_no_ticks(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.log.append("t", payment(0) + b'{"@tick":9999999999999}\n\n')
    engine = followed.run(3_000)
    assert engine.fold is not None
    assert len(followed.ticks()) == 1
    assert engine.fold.position == 4
    assert engine.fold.counters["received"] == 2
    assert engine.fold.watermark_ms < BASE_MS


def test_being_behind_is_no_silence(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    ticks = Ticks(followed.log, "t", IDLE_MS)
    followed.log.append("t", payment(0))
    for _ in range(100):  # something to read at each look, however long each step takes
        followed.clock.at_ms += 1_500
        ticks.heard()
        assert not ticks.tick(followed.clock, BASE_MS)
    assert followed.ticks() == []


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_a_clock_that_jumps_is_no_silence(tmp_path: Path, jump_ms: int) -> None:
    followed = Followed(tmp_path)
    followed.log.append("t", payment(0))
    followed.run(1_000)
    followed.clock.at_ms += jump_ms
    ticks = Ticks(followed.log, "t", IDLE_MS)
    for step_ms in (0, 1_000, jump_ms, 1_000):
        followed.clock.at_ms += step_ms
        assert not ticks.tick(followed.clock, BASE_MS)
    followed.clock.at_ms += 1_000
    assert ticks.tick(followed.clock, BASE_MS)
    assert followed.ticks() == [BASE_MS + 2_000]


def test_before_the_first_event_there_is_no_time_to_move(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.run(10_000)
    assert followed.ticks() == []


def test_a_tick_goes_to_the_partition_that_is_silent(tmp_path: Path) -> None:
    clock = ManualClock(BASE_MS)
    log = SqliteLog(str(tmp_path / "a.db"), "t", clock=clock)
    log.declare(Topic("t", 3, "card"))
    store = open_store(str(tmp_path / "s.db"))
    engines = [
        Engine(
            RULE_SET,
            log,
            store,
            partition=name,
            clock=clock,
            ticks=Ticks(log, name, IDLE_MS),
        )
        for name in log.partitions
    ]
    log.append("t/0", payment(0, "c0"))

    def others_go_on() -> None:
        clock.at_ms += 500
        log.append("t/1", payment((clock.at_ms - BASE_MS) / 1000, "c1"))
        if clock.at_ms >= BASE_MS + 60_000:
            for engine in engines:
                engine.stop()

    clock.on_sleep = others_go_on
    run_in_turns(engines, clock)
    ticks = {name: ticks_of(log, name) for name in log.partitions}
    assert 15 < len(ticks["t/0"]) <= 30
    assert ticks["t/0"][-1] <= BASE_MS - 10_000 + 60_000
    assert ticks["t/1"] == []  # there is always something
    assert ticks["t/2"] == []  # there was never anything
    decided = [row for row in reads.detections(store.engine, limit=1000) if b'"c0"' in row.body]
    assert [row.rule for row in decided] == ["unblocked"]
    store.close()
    log.close()


def test_two_that_follow_a_log_move_time_no_faster_than_one(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    followed.log.append("t", payment(0))
    clock, log = followed.clock, followed.log
    engines = [
        Engine(RULE_SET, log, None, clock=clock, ticks=Ticks(log, "t", idle_ms))
        for idle_ms in (IDLE_MS, IDLE_MS + 500)
    ]
    for engine in engines:
        engine.start()
    while clock.at_ms < BASE_MS + 60_000:
        for engine in engines:
            engine.turn()
        clock.sleep_ms(50)
    for engine in engines:
        assert engine.fold is not None
        assert 45_000 <= engine.fold.watermark_ms - BASE_MS <= 50_000


def test_ticks_need_a_log_that_can_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(payment(0))
    file, embedded = FileLog(str(path)), SqliteLog(str(tmp_path / "a.db"), "t")
    for idle_ms in (None, 0):
        check_idle(file, idle_ms)
        assert ticks_for(file, "events", idle_ms, followed=True) is None
    with pytest.raises(UsageError, match="--idle needs a log"):
        check_idle(file, 30_000)
    with pytest.raises(UsageError, match="at least 1s"):
        check_idle(embedded, 999)
    check_idle(embedded, 1_000)
    assert ticks_for(embedded, "t", None, followed=False) is None
    assert ticks_for(embedded, "t", 0, followed=True) is None
    assert isinstance(ticks_for(embedded, "t", None, followed=True), Ticks)
