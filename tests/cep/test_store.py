"""The contract of a store, for each database: all or nothing, idempotent, fenced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, delete, event, select

from cep.errors import StaleWriter, StoreError, UsageError
from cep.ports import Checkpoint, DeadLetterRow, DetectionRow, ResolutionRow
from cep.store import reads
from cep.store.connect import database_url, open_database
from cep.store.store import SqlStore, open_store
from cep.store.tables import checkpoint, dead_letter, detection, outbox, page, resolution


def detected(number: int, *destinations: str, hidden: bool = False) -> DetectionRow:
    return DetectionRow(
        id=f"{number:032x}",
        rule="r" if number % 2 else "s",
        version="v" * 16,
        severity="high",
        at_ms=number,
        suppressed_by="0" * 32 if hidden else None,
        body=b'{"number":%d}' % number,
        destinations=destinations,
    )


POINT = Checkpoint(
    position=10,
    resume_position=7,
    watermark_ms=5,
    rules={"r": "p"},
    counters={"received": 10},
    source="abc",
)
PAGES = {"rule/r": b"\x00state", "suppress/r/01": b"{}"}
BEFORE_COMMIT, NEVER = -1, 10**9
DEAD = [DeadLetterRow(3, "not JSON", b"\xff")]


def resolved(number: int) -> ResolutionRow:
    rule = "r" if number % 2 else "s"
    return ResolutionRow(f"{number:032x}", rule, b'{"k":%d}' % number, number, number)


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def everything(store: SqlStore) -> list[list[tuple[object, ...]]]:
    tables = (checkpoint, page, detection, outbox, resolution, dead_letter)
    with store.engine.connect() as connection:
        connection.execution_options(read_only=True)
        return [
            sorted(
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in connection.execute(select(table))
            )
            for table in tables
        ]


def test_partition_never_written_has_no_checkpoint(store: SqlStore) -> None:
    assert store.acquire("p").checkpoint is None
    lease = store.acquire("p")
    assert (lease.checkpoint, lease.epoch, lease.pages) == (None, 2, {})


def test_commit_is_what_the_next_acquire_reads(store: SqlStore) -> None:
    store.commit(store.acquire("p"), POINT, PAGES, [detected(1, "soc", "mail")], DEAD)
    lease = store.acquire("p")
    assert (lease.epoch, lease.checkpoint, lease.pages) == (2, POINT, PAGES)
    assert store.acquire("other").checkpoint is None
    found = reads.detections(store.engine)
    assert [(d.id, d.rule, d.body) for d in found] == [(f"{1:032x}", "r", b'{"number":1}')]
    assert reads.dead_letters(store.engine, "p") == [
        reads.StoredDeadLetter("p", 3, "not JSON", b"\xff")
    ]
    assert [(s.partition, s.position) for s in reads.partitions(store.engine)] == [
        ("other", 0),
        ("p", 10),
    ]


def test_page_changes_replace_and_empty_pages_go(store: SqlStore) -> None:
    lease = store.acquire("p")
    store.commit(lease, POINT, PAGES, [], [])
    store.commit(lease, POINT, {"rule/r": b"new", "suppress/r/01": b""}, [], [])
    assert store.acquire("p").pages == {"rule/r": b"new"}


def test_work_done_again_changes_nothing(store: SqlStore) -> None:
    lease = store.acquire("p")
    rows = [detected(1, "soc", "mail"), detected(2, hidden=True), detected(3, "default")]
    store.commit(lease, POINT, PAGES, rows, DEAD, [resolved(4)])
    once = everything(store)
    store.commit(lease, POINT, PAGES, rows, DEAD, [resolved(4)])
    assert everything(store) == once


def test_stale_writer_is_refused_and_writes_nothing(store: SqlStore) -> None:
    old = store.acquire("p")
    new = store.acquire("p")
    with pytest.raises(StaleWriter, match="taken over"):
        store.commit(old, POINT, PAGES, [detected(1, "soc")], DEAD)
    assert store.acquire("p").checkpoint is None
    assert reads.detections(store.engine) == []
    with pytest.raises(StaleWriter):
        store.commit(new, POINT, PAGES, [], [])


def test_emptied_store_is_not_taken_for_a_new_one(store: SqlStore) -> None:
    lease = store.acquire("p")
    with store.engine.begin() as connection:
        connection.execute(delete(checkpoint))
    with pytest.raises(StoreError, match="the store was emptied: nothing is left of"):
        store.commit(lease, POINT, PAGES, [detected(1, "soc")], DEAD)
    assert reads.detections(store.engine) == []


def test_crash_between_any_two_statements_leaves_all_or_nothing(store: SqlStore) -> None:
    lease = store.acquire("p")
    store.commit(lease, POINT, PAGES, [detected(1, "soc")], DEAD)
    before = everything(store)
    later = Checkpoint(20, 20, 9, {"r": "p"}, {"received": 20}, "abc")
    changes = {"rule/r": b"later", "rule/new": b"x", "suppress/r/01": b""}
    rows = [detected(2, "soc"), detected(3, "mail")]
    statements = 0
    crash_at = BEFORE_COMMIT

    def before_statement(connection: Connection, *_: object) -> None:
        nonlocal statements
        statements += 1
        if statements - 1 == crash_at:
            connection.detach()  # the process is gone: the connection closes without a word
            raise ConnectionAbortedError

    def before_commit(_: Connection) -> None:
        if crash_at == BEFORE_COMMIT:
            raise ConnectionAbortedError

    def commit_crashes() -> bool:
        try:
            dead = [DeadLetterRow(12, "bad", b"")]
            store.commit(lease, later, changes, rows, dead, [resolved(5)])
        except ConnectionAbortedError:
            assert everything(store) == before
            return True
        return False

    event.listen(store.engine, "before_cursor_execute", before_statement)
    event.listen(store.engine, "commit", before_commit)
    crashes = 0
    while commit_crashes():
        crashes += 1
        statements, crash_at = 0, crash_at + 1
    crash_at = NEVER
    assert crashes >= 8  # checkpoint, pages twice, five tables of rows (outbox, …), COMMIT
    assert everything(store) != before
    assert store.acquire("p").checkpoint == later
    assert len(reads.detections(store.engine)) == 3


def test_listing_goes_on_after_its_cursor(store: SqlStore) -> None:
    lease = store.acquire("p")
    store.commit(lease, POINT, {}, [detected(n) for n in range(10)], [])
    first = reads.detections(store.engine, limit=4)
    rest = reads.detections(store.engine, after=first[-1].sequence, limit=100)
    assert [d.at_ms for d in first + rest] == list(range(10))
    assert [d.at_ms for d in reads.detections(store.engine, rule="r")] == [1, 3, 5, 7, 9]
    assert reads.detections_per_rule(store.engine) == {"r": 5, "s": 5}
    assert reads.detection_body(store.engine, f"{4:032x}") == b'{"number":4}'
    assert reads.detection_body(store.engine, "nothing") is None


def test_resolutions_are_listed_like_detections(store: SqlStore) -> None:
    lease = store.acquire("p")
    store.commit(lease, POINT, {}, [], [], [resolved(n) for n in range(6)])
    first = reads.resolutions(store.engine, limit=2)
    rest = reads.resolutions(store.engine, after=first[-1].sequence)
    assert [(r.key, r.at_ms, r.position) for r in first] == [(b'{"k":0}', 0, 0), (b'{"k":1}', 1, 1)]
    assert [r.position for r in rest] == [2, 3, 4, 5]
    assert [r.position for r in reads.resolutions(store.engine, rule="r")] == [1, 3, 5]


def test_store_that_is_gone_is_a_named_error() -> None:
    with pytest.raises(UsageError, match="no such folder"):
        open_store("/no/such/folder/s.db")
    with pytest.raises(StoreError, match="cannot open"):
        open_store("postgresql://nobody@127.0.0.1:1/none")


def test_urls_name_the_database() -> None:
    assert database_url("s.db").render_as_string() == "sqlite:///s.db"
    assert database_url("postgresql://h/d").drivername == "postgresql+psycopg"
    for bad in ("mysql://h/d", "sqlite://", "::://"):
        with pytest.raises(UsageError):
            database_url(bad)


def test_sqlite_commits_survive_power_loss_by_its_settings(tmp_path: object) -> None:
    engine = open_database(f"{tmp_path}/s.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()
