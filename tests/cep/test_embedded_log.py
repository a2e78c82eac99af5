"""The embedded log: appended records come back in order, numbered from 0, from any position."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.sqlite import SqliteLog
from cep.ports import Records


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    sizes=st.lists(st.integers(1, 7), max_size=8),
    start=st.integers(0, 30),
    max_records=st.integers(1, 12),
)
def test_any_position_reads_on_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], start: int, max_records: int
) -> None:
    log = SqliteLog(str(tmp_path_factory.mktemp("log") / "a.db"), "t", follow=False)
    want: list[bytes] = []
    for size in sizes:
        chunk = [b'{"n":%d}' % (len(want) + i) for i in range(size)]
        assert log.append("t", b"\n".join(chunk)) == range(len(want), len(want) + size)
        log.append("other", b"noise")
        want += chunk
    assert log.end("t") == len(want)
    got: list[bytes] = []
    position = start
    if start > len(want):
        with pytest.raises(SourceError, match="before record"):
            log.read("t", start, max_records)
        position = len(want)
    while (records := log.read("t", position, max_records)) is not None:
        assert records.first_position == position
        assert 0 < records.count <= max_records
        got += records.data.split(b"\n")[:-1]
        position = records.end_position
    assert got == want[start:]
    log.close()


def test_followed_topic_says_nothing_yet_and_then_goes_on(store_url: str) -> None:
    reader, writer = SqliteLog(store_url, "t"), SqliteLog(store_url, "t")
    assert reader.read("t", 0, 10) == Records(0, b"", 0)
    writer.append("t", b"a\nb\n")
    assert reader.read("t", 0, 10) == Records(0, b"a\nb\n", 2)
    assert reader.read("t", 2, 10) == Records(2, b"", 0)
    reader.close()
    writer.close()


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


def test_record_over_the_limit_is_refused_whole(tmp_path: Path) -> None:
    log = SqliteLog(str(tmp_path / "a.db"), "t")
    with pytest.raises(UsageError, match="over the limit"):
        log.append("t", b"{}\n" + b"x" * (limits.LINE_BYTES_MAX + 1) + b"\n{}\n")
    assert log.end("t") == 0
    assert log.append("t", b"x" * limits.LINE_BYTES_MAX) == range(1)
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
