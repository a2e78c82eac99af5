"""Trimming and compacting the embedded log: positions stay, and who missed something stops."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_cases import ManualClock
from golden_stores import PART, TOPIC, everything_found, follow, lines
from sqlalchemy import Connection, event

import cep
from cep.engine import Engine
from cep.errors import SourceError
from cep.log.compaction import compact
from cep.log.removal import Keep, Removed, shown, trim
from cep.log.sqlite import SqliteLog
from cep.store.store import open_store
from cep.store.upkeep import forget_state

ROOT = Path(__file__).parents[2]


@pytest.fixture
def log(store_url: str) -> Iterator[SqliteLog]:
    opened = SqliteLog(store_url, "t", clock=ManualClock(0))
    yield opened
    opened.close()


def append(log: SqliteLog, first: int, count: int, at_ms: int = 0) -> None:
    clock = log._clock
    assert isinstance(clock, ManualClock)
    clock.at_ms = at_ms
    log.append("t", b"".join(b'{"n":%d}\n' % number for number in range(first, first + count)))


def numbers(log: SqliteLog) -> list[tuple[int, bytes]]:
    """Positions and lines, as a reader that has read nothing gets them."""
    position, found = log.begin("t"), []
    while (records := log.read("t", position, 4)) and records.count:
        assert records.first_position == position
        found += list(enumerate(records.data.splitlines(), position))
        position = records.end_position
    return found


def test_what_is_too_old_goes_and_positions_stay(log: SqliteLog) -> None:
    for day in range(5):
        append(log, 10 * day, 10, at_ms=day)
    mark, everything = log.mark("t"), numbers(log)
    assert trim(log.engine, "t", Keep(since_ms=0)) == Removed(0, 0)
    removed = trim(log.engine, "t", Keep(since_ms=3))
    assert (removed.records, removed.held_at) == (30, None)
    assert (log.begin("t"), numbers(log)) == (30, everything[30:])
    assert trim(log.engine, "t", Keep(since_ms=3)) == Removed(0, 0)
    append(log, 50, 1)
    assert (log.end("t"), numbers(log)[-1]) == (51, (50, b'{"n":50}'))
    assert log.mark("t") == mark


def test_what_is_too_much_goes_whole_chunks_at_a_time(log: SqliteLog) -> None:
    for chunk in range(40):  # more than one transaction removes
        append(log, 10 * chunk, 10)
    size = shown(log.engine, "t").size_bytes
    assert trim(log.engine, "t", Keep(bytes_max=size)) == Removed(0, 0)
    removed = trim(log.engine, "t", Keep(bytes_max=300))
    left = shown(log.engine, "t")
    assert removed.size_bytes + left.size_bytes == size
    assert 200 <= left.size_bytes <= 300
    assert (left.first, left.end) == (removed.records, 400)


def test_the_newest_chunk_always_stays(log: SqliteLog) -> None:
    assert trim(log.engine, "t", Keep(bytes_max=0)) == Removed(0, 0)
    append(log, 0, 5)
    append(log, 5, 5)
    assert trim(log.engine, "t", Keep(since_ms=10**15, bytes_max=0)).records == 5
    assert (log.begin("t"), log.end("t")) == (5, 10)


def test_a_reader_whose_records_were_trimmed_stops_with_what_to_do(log: SqliteLog) -> None:
    for chunk in range(3):
        append(log, 10 * chunk, 10)
    first = log.read("t", 0, 5)
    assert first is not None and first.count == 5
    trim(log.engine, "t", Keep(bytes_max=0))
    for position in (0, 5, 19):
        with pytest.raises(SourceError, match=f"{20 - position} records from {position} on.*trim"):
            log.read("t", position, 5)
    assert log.begin("t") == 20


def test_an_engine_goes_on_while_its_log_is_trimmed_behind_it(
    store_url: str, tmp_path: Path
) -> None:
    undisturbed = str(tmp_path / "undisturbed.db")
    follow(undisturbed, lines())
    held = 0
    for first in range(0, len(lines()), 8):
        log = SqliteLog(store_url, TOPIC)
        for line in lines()[first : first + 8]:
            log.append(TOPIC, line + b"\n")
        log.close()
        follow(store_url, [])
        store = open_store(store_url)
        removed = trim(store.engine, TOPIC, Keep(bytes_max=0))
        held += removed.held_at is not None
        assert compact(store.engine, TOPIC, "card").held_at == removed.held_at
        reader = shown(store.engine, TOPIC).reader
        assert reader is not None and shown(store.engine, TOPIC).first <= reader
        store.close()
    assert held > 3
    assert everything_found(store_url) == everything_found(undisturbed)


def test_an_engine_that_has_not_read_what_goes_holds_it_or_stops(store_url: str) -> None:
    follow(store_url, lines()[:PART])
    log = SqliteLog(store_url, TOPIC)
    for line in lines()[PART:]:
        log.append(TOPIC, line + b"\n")
    removed = trim(log.engine, TOPIC, Keep(bytes_max=0))
    assert removed.held_at is not None and removed.held_at <= PART
    trim(log.engine, TOPIC, Keep(bytes_max=0), unread=True)
    assert log.begin(TOPIC) == len(lines()) - 1
    with pytest.raises(SourceError, match=r"were trimmed before they were read.*cep store rebuild"):
        follow(store_url, [])
    forget_state(log.engine, TOPIC)
    said = follow(store_url, [])
    assert said == [f"{TOPIC} begins with record {len(lines()) - 1}: those before were removed"]
    log.close()


def test_rules_without_a_store_begin_where_the_log_does(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    rules = cep.compile("event E { ts: timestamp @time n: int } rule r { match E alert '{n}' }")
    log = SqliteLog(path, "t", follow=False)
    for n in range(4):
        log.append("t", b'{"type":"E","ts":%d,"n":%d}\n' % (n, n))
    trim(log.engine, "t", Keep(bytes_max=70))
    first = log.begin("t")
    assert 0 < first < 4
    said: list[str] = []
    summary = Engine(rules, log, None, notify=said.append).run()
    assert (summary.position, summary.counters["received"]) == (4, 4 - first)
    assert said == [f"t begins with record {first}: those before were removed"]
    found = [one.message for one in cep.detect(rules, f"{path}#t")]
    assert found == [str(n) for n in range(first, 4)]
    log.close()


def test_a_reader_beside_trimming_and_appending_reads_everything_or_stops(store_url: str) -> None:
    writer, reader = SqliteLog(store_url, "t", clock=ManualClock(0)), SqliteLog(store_url, "t")
    stop = threading.Event()

    def work() -> None:
        for chunk in range(60):
            append(writer, 5 * chunk, 5)
            if chunk % 7 == 6:
                trim(writer.engine, "t", Keep(bytes_max=400))
        stop.set()

    thread = threading.Thread(target=work)
    thread.start()
    position, missed = reader.begin("t"), 0
    while not (stop.is_set() and position == reader.end("t")):
        try:
            records = reader.read("t", position, 7)
        except SourceError as error:
            assert "trimmed" in str(error)
            position, missed = reader.begin("t"), missed + 1
            continue
        assert records is not None
        for place, line in enumerate(records.data.splitlines(), records.first_position):
            assert line == b'{"n":%d}' % place
        position = records.end_position
    thread.join()
    assert position == 300
    writer.close()
    reader.close()


# ---------------------------------------------------------------------------------- compaction

CHANGES = [
    b'{"type":"Host","host":"a","owner":1}',
    b'{"type":"Host","host":"b","owner":1}',
    b"no event",
    b'{"type":"Disk","host":"a","size":1}',
    b'{"type":"Host","owner":7}',
    b'{"type":"Host","host":"a","owner":2}',
    b'{"type":"Host","host":"b","owner":2}',
    b'{"type":"Host","host":"a","owner":3}',
]
COMPACTED = [b"", b"", *CHANGES[2:5], b"", *CHANGES[6:]]


def changes(log: SqliteLog, size: int) -> None:
    for first in range(0, len(CHANGES), size):
        log.append("t", b"\n".join(CHANGES[first : first + size]) + b"\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_of_each_type_and_key_the_newest_record_stays_in_its_place(
    size: int, log: SqliteLog
) -> None:
    changes(log, size)
    mark = log.mark("t")
    gone = compact(log.engine, "t", "host")
    assert (gone.records, gone.held_at) == (3, None)
    assert [line for _, line in numbers(log)] == COMPACTED
    assert compact(log.engine, "t", "host") == Removed(0, 0)
    assert log.mark("t") == mark
    log.append("t", b'{"type":"Disk","host":"a","size":2}\n')
    assert [line for _, line in numbers(log)][3] == CHANGES[3]
    compact(log.engine, "t", "host")
    assert [line for _, line in numbers(log)][3] == b""


def test_a_reader_that_missed_what_was_compacted_stops_and_a_new_one_does_not(
    log: SqliteLog, store_url: str
) -> None:
    changes(log, 2)
    assert log.begin("t") == 0
    assert log.bookmark("t", 2) == ""
    compact(log.engine, "t", "host")
    for position in (0, 3, 5):
        with pytest.raises(SourceError, match=f"up to record 6.*only up to {position}"):
            log.read("t", position, 1)
    assert log.read("t", 6, 1) is not None
    said: list[str] = []
    late = SqliteLog(store_url, "t", notify=said.append)
    assert (late.begin("t"), len(said)) == (0, 1)
    assert "compacted up to record 6" in said[0]
    assert late.read("t", 0, 3) is not None
    bookmark = late.bookmark("t", 3)
    again = SqliteLog(store_url, "t")
    again.resume("t", bookmark)
    assert again.read("t", 3, 1) is not None
    assert late.bookmark("t", 6) == ""
    for one in (late, again):
        one.close()


def test_a_crash_of_compaction_at_any_statement_loses_no_newest_record(log: SqliteLog) -> None:
    changes(log, 1)
    left: list[int] = [0]

    def crash(connection: Connection, *_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionAbortedError

    event.listen(log.engine, "before_cursor_execute", crash)
    for statements in range(200):
        left[0] = statements
        try:
            compact(log.engine, "t", "host")
        except ConnectionAbortedError:
            left[0] = 10**9
            lines_left = [line for _, line in numbers(log)]
            assert all(line in (b"", kept) for line, kept in zip(lines_left, CHANGES, strict=True))
            assert [n for n, line in enumerate(COMPACTED) if line and not lines_left[n]] == []
        else:
            break
    left[0] = 10**9
    assert [line for _, line in numbers(log)] == COMPACTED
    event.remove(log.engine, "before_cursor_execute", crash)


# ---------------------------------------------------------------------------------- command line


def test_the_command_line_shows_trims_and_compacts(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    follow(path, lines()[:PART])
    log = SqliteLog(path, TOPIC)
    log.append(TOPIC, b"\n".join(lines()[PART:]) + b"\n")
    log.close()

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "cep.cli", "log", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        return done.returncode, done.stdout + done.stderr

    url = f"{path}#{TOPIC}"
    code, said = run("show", url)
    assert code == 0
    assert f"{TOPIC}: records 0 to {len(lines())}, " in said
    assert "an engine is at record" in said
    assert run("trim", url)[0] == 2
    assert run("trim", url, "--keep-bytes", "ten")[0] == 2
    assert run("trim", "redis://127.0.0.1:1#t", "--keep-for", "1d")[0] == 2
    code, said = run("trim", url, "--keep-for", "30d", "--keep-bytes", "1KiB")
    assert (code, "0 records removed" in said, "an engine is only at" in said) == (0, True, True)
    code, said = run("compact", url, "--key", "card")
    assert (code, "records blanked" in said) == (0, True)
    code, said = run("trim", url, "--keep-bytes", "0", "--unread")
    assert (code, f"{PART} records removed" in said) == (0, True)
    assert "no engine keeps its state" not in said
    alone = str(tmp_path / "log.db")
    log = SqliteLog(alone, "t")
    for _ in range(2):
        log.append("t", b"{}\n")
    log.close()
    assert "no engine keeps its state of t" in run("trim", f"{alone}#t", "--keep-bytes", "0")[1]
