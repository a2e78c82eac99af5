"""One contract for all logs: the same records, the same answers, whatever holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.positional import Positional
from cep.ports import Log, Oversized, Records

KINDS = ("file", "sqlite", "postgresql", "redis", "redis-entry-each", "redis-entry-of-3")
APPENDED_TO = ("sqlite", "postgresql", "redis")
WRITTEN_BY_OTHERS = ("file", "redis-entry-each", "redis-entry-of-3")
LONG = b"x" * (limits.LINE_BYTES_MAX + 1)


@dataclass
class Kind:
    """How one kind of log is written to and opened; `make` gives the URL of an empty one."""

    make: Callable[[], str]
    write: Callable[[str, Sequence[bytes]], None]  # appends records as a producer may
    opened: list[Log] = field(default_factory=list)

    def open(self, url: str, *, follow: bool) -> Log:
        log = open_log(url, follow=follow, create=True)
        self.opened.append(log)
        return log

    def having(self, lines: Sequence[bytes]) -> tuple[Log, str]:
        """A log with these records, and its partition."""
        url = self.make()
        self.write(url, lines)
        log = self.open(url, follow=False)
        return log, log.partitions[0]


def ndjson(lines: Sequence[bytes]) -> bytes:
    """The last line is terminated now and then."""
    return b"\n".join(lines) + b"\n" * (lines[-1] == b"" or len(lines) % 2)


def append(url: str, lines: Sequence[bytes]) -> None:
    if lines:
        log = open_log(url, create=True)
        log.append(log.partitions[0], ndjson(lines))
        log.close()


def files(folder: Path) -> Kind:
    def make() -> str:
        path = folder / f"{uuid4().hex}.ndjson"
        path.touch()
        return str(path)

    def write(url: str, lines: Sequence[bytes]) -> None:
        with Path(url).open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    return Kind(make, write)


def databases(url: str) -> Kind:
    return Kind(lambda: f"{url}#{uuid4().hex}", append)


def streams(url: str, records_in_entry: int) -> Kind:
    """`records_in_entry`: 0 for as many as `append` takes."""

    def write(log_url: str, lines: Sequence[bytes]) -> None:
        topic = log_url.partition("#")[2]
        with redis.Redis.from_url(url) as client:
            for start in range(0, len(lines), records_in_entry):
                client.xadd(topic, {"data": ndjson(lines[start : start + records_in_entry])})

    return Kind(lambda: f"{url}#{uuid4().hex}", write if records_in_entry else append)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "file":
        found = files(tmp_path)
    elif request.param == "sqlite":
        found = databases(str(tmp_path / "log.db"))
    elif request.param == "postgresql":
        found = databases(request.getfixturevalue("postgres_database"))
    else:
        each = {"redis": 0, "redis-entry-each": 1, "redis-entry-of-3": 3}[request.param]
        found = streams(request.getfixturevalue("redis_url"), each)
    yield found
    for log in found.opened:
        log.close()


def read_all(log: Log, partition: str, position: int = 0, max_records: int = 7) -> list[bytes]:
    """All records from `position` on, with what every batch must be like."""
    lines: list[bytes] = []
    while (records := log.read(partition, position, max_records)) is not None:
        assert records.first_position == position
        assert 0 < records.count <= max_records
        assert records.data.count(b"\n") == records.count
        assert records.data.endswith(b"\n")
        lines += records.data.split(b"\n")[:-1]
        position = records.end_position
    return lines


def read(log: Log, partition: str, position: int, max_records: int) -> Records | None:
    """What was read, but for when it came, which not every log knows."""
    records = log.read(partition, position, max_records)
    return None if records is None else replace(records, ingests=())


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(first, first + count)]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(
    lines=st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    start=st.integers(0, 20),
    max_records=st.integers(1, 12),
)
def test_any_position_reads_on_in_order(
    kind: Kind, lines: list[bytes], start: int, max_records: int
) -> None:
    log, partition = kind.having(lines)
    start = min(start, len(lines))
    assert log.end(partition) == len(lines)
    assert read_all(log, partition, start, max_records) == lines[start:]


def test_reading_goes_back_to_an_earlier_position(kind: Kind) -> None:
    lines = numbered(20)
    log, partition = kind.having(lines)
    for position in (0, 13, 4, 12, 20, 0):
        assert read_all(log, partition, position) == lines[position:]


def test_blank_lines_are_records(kind: Kind) -> None:
    lines = [b"", b"a", b"", b"", b"b", b""]
    log, partition = kind.having(lines)
    assert read_all(log, partition) == lines
    assert log.end(partition) == 6


def test_position_behind_the_end_is_refused(kind: Kind) -> None:
    log, partition = kind.having(numbered(4))
    assert log.read(partition, 4, 9) is None
    with pytest.raises(SourceError, match="ends at record 4, before record 40"):
        log.read(partition, 40, 9)


def test_followed_log_says_nothing_yet_and_then_goes_on(kind: Kind) -> None:
    url = kind.make()
    log = kind.open(url, follow=True)
    (partition,) = log.partitions
    assert read(log, partition, 0, 10) == Records(0, b"", 0)
    kind.write(url, [b"a", b"b"])
    assert read(log, partition, 0, 10) == Records(0, b"a\nb\n", 2)
    assert read(log, partition, 2, 10) == Records(2, b"", 0)
    kind.write(url, [b"c"])
    assert read(log, partition, 2, 10) == Records(2, b"c\n", 1)
    assert log.end(partition) == 3


@pytest.mark.parametrize("kind", KINDS[1:], indirect=True)
def test_log_that_is_not_followed_ends_and_may_have_more_later(kind: Kind) -> None:
    url = kind.make()
    kind.write(url, [b"a"])
    log = kind.open(url, follow=False)
    (partition,) = log.partitions
    assert read_all(log, partition) == [b"a"]
    kind.write(url, [b"b"])
    assert read_all(log, partition, 1) == [b"b"]


def test_mark_tells_logs_apart_without_moving_them(kind: Kind) -> None:
    log, partition = kind.having([])
    assert log.mark(partition) == ""
    marks = []
    for lines in ([b"a", b"b"], [b"b", b"a"]):
        log, partition = kind.having(lines)
        marks.append(log.mark(partition))
        assert read_all(log, partition) == lines
        assert log.mark(partition) == marks[-1] != ""
    assert marks[0] != marks[1]


@pytest.mark.parametrize("kind", APPENDED_TO, indirect=True)
def test_records_are_appended_behind_those_there(kind: Kind) -> None:
    url = kind.make()
    log = kind.open(url, follow=False)
    (partition,) = log.partitions
    for first, data in ((0, b"a\nb\n"), (2, b"c"), (3, b"\nd\n"), (5, b"")):
        count = len(data.splitlines())
        assert log.append(partition, data) in (range(first, first + count), None)
        assert log.end(partition) == first + count
    assert read_all(log, partition) == [b"a", b"b", b"c", b"", b"d"]


@pytest.mark.parametrize("kind", APPENDED_TO, indirect=True)
def test_record_over_the_limit_is_refused_whole_by_append(kind: Kind) -> None:
    log = kind.open(kind.make(), follow=False)
    (partition,) = log.partitions
    with pytest.raises(UsageError, match="over the limit"):
        log.append(partition, b"{}\n" + LONG + b"\n{}\n")
    assert log.end(partition) == 0
    log.append(partition, LONG[1:])
    assert log.end(partition) == 1


@pytest.mark.parametrize("kind", WRITTEN_BY_OTHERS, indirect=True)
def test_record_over_the_limit_of_another_producer_is_blank_with_its_head_kept(
    kind: Kind,
) -> None:
    huge = b"y" * (3 * limits.READ_BLOCK_BYTES)
    lines = [b"first", huge, b"", LONG, LONG[1:], b"after", LONG]
    for max_records in (1, 2, 100):
        log, partition = kind.having(lines)
        position, oversized, data = 0, list[Oversized](), b""
        while (records := log.read(partition, position, max_records)) is not None:
            data += records.data
            oversized += records.oversized
            position = records.end_position
        assert data == b"first\n\n\n\n" + LONG[1:] + b"\nafter\n\n"
        assert oversized == [
            Oversized(at, len(lines[at]), lines[at][: limits.DEAD_LETTER_RAW_BYTES])
            for at in (1, 3, 6)
        ]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None
)
@given(
    count=st.integers(1, 30),
    steps=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), max_size=6),
)
def test_bookmark_of_a_position_is_where_another_run_begins(
    kind: Kind, count: int, steps: list[tuple[int, int]]
) -> None:
    """After every read some records are still wanted; a new log begins with the first of those."""
    lines = numbered(count)
    url = kind.make()
    kind.write(url, lines)
    log = kind.open(url, follow=False)
    (partition,) = log.partitions
    position = resume = 0
    for max_records, wanted in steps:
        records = log.read(partition, position, max_records)
        if records is None:
            break
        position = records.end_position
        resume = max(resume, position - wanted)
        bookmark = log.bookmark(partition, resume)
        log.committed(partition, bookmark)
        other = kind.open(url, follow=False)
        other.resume(partition, bookmark)
        assert other.mark(partition) == log.mark(partition)
        assert read_all(other, partition, resume) == lines[resume:]
        assert isinstance(other, Positional) == (bookmark == "")


def test_batches_are_bounded_in_bytes(kind: Kind) -> None:
    line = b"z" * limits.LINE_BYTES_MAX
    url = kind.make()
    for _ in range(24):
        kind.write(url, [line])
    log = kind.open(url, follow=False)
    (partition,) = log.partitions
    position = 0
    while (records := log.read(partition, position, limits.BATCH_RECORDS_MAX)) is not None:
        assert len(records.data) <= limits.BATCH_BYTES_MAX + 2 * limits.READ_BLOCK_BYTES
        position = records.end_position
    assert position == 24
