"""The embedded log: appended records come back in order, numbered from 0, from any position."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from engine_cases import ManualClock

from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.sqlite import SqliteLog
from cep.ports import Ingest, Records


def test_records_know_when_they_came_however_chunks_are_joined_and_ticks_come_alone(
    store_url: str,
) -> None:
    clock = ManualClock(1_000)
    log = SqliteLog(store_url, "t", follow=False, clock=clock, ahead_ms_max=10)
    log.append("t", b"a\nb\nc\n")
    clock.at_ms = 2_000
    log.append("t", b"d\n")
    assert log.append_tick("t", 77)
    log.append("t", b"e\n")
    first, second = Ingest(1, 1_000, 1_010), Ingest(3, 2_000, 2_010)
    assert log.read("t", 1, 10) == Records(1, b"b\nc\nd\n", 3, ingests=(first, second))
    tick, last = log.read("t", 4, 10), log.read("t", 5, 10)
    assert tick is not None and last is not None
    assert (tick.data, tick.count, tick.tick_ms) == (b"\n", 1, 77)
    assert (last.data, last.count, last.tick_ms) == (b"e\n", 1, None)
    log.close()


def test_concurrent_appenders_get_disjoint_positions(store_url: str) -> None:
    logs = [SqliteLog(store_url, "t", follow=False) for _ in range(4)]
    ranges: list[range] = []

    def work(number: int) -> None:
        for n in range(10):
            got = logs[number].append("t", b'{"w":%d,"n":%d}\n' % (number, n) * 3)
            ranges.append(got)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(position for r in ranges for position in r) == list(range(120))
    records = logs[0].read("t", 0, 1000)
    assert records is not None
    assert records.count == 120
    for log in logs:
        log.close()


def test_reading_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such log"):
        open_log(str(tmp_path / "typo.db"))
    assert not (tmp_path / "typo.db").exists()


def test_database_that_is_gone_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match="cannot open"):
        SqliteLog(str(path), "t")
