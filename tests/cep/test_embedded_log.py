"""The embedded log: appended records come back in order, numbered from 0, from any position."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.sqlite import SqliteLog


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
