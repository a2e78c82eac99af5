"""A database has one schema with a version: made, found or migrated by whoever opens it first."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, column, inspect, select, table, update

from cep.errors import SourceError, StoreError
from cep.log.sqlite import SqliteLog
from cep.store.connect import open_database
from cep.store.migrations import configured, migrate
from cep.store.schema import VERSION, prepare, version_table
from cep.store.store import open_store
from cep.store.tables import metadata

ROOT = Path(__file__).parents[2]
VERSIONS = [f"{number:04d}" for number in range(1, int(VERSION) + 1)]


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        options = {"version_table": version_table.name, "compare_type": True}
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        )


def version(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(select(version_table.c.version_num)).scalar_one())


def columns(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        found = inspect(connection)
        return {name: len(found.get_columns(name)) for name in found.get_table_names()}


def at_version(url: str, number: str) -> Engine:
    engine = open_database(url)
    with engine.begin() as connection:
        migrate(connection, number)
    return engine


def test_migrations_are_numbered_and_the_newest_is_that_of_the_program() -> None:
    script = ScriptDirectory.from_config(configured())
    assert script.get_current_head() == VERSION
    assert sorted(one.revision for one in script.walk_revisions()) == VERSIONS


@pytest.mark.parametrize("number", VERSIONS)
def test_what_migrations_come_to_is_what_an_empty_database_gets(
    number: str, store_url: str
) -> None:
    engine = at_version(store_url, number)
    said: list[str] = []
    prepare(engine, said.append)
    assert said == (
        []
        if number == VERSION
        else [f"the database was migrated from schema {number} to {VERSION}"]
    )
    assert (version(engine), differences(engine)) == (VERSION, [])
    engine.dispose()


def test_an_empty_database_gets_the_tables_of_the_program(store_url: str) -> None:
    engine = open_database(store_url)
    prepare(engine)
    prepare(engine)
    assert (version(engine), differences(engine)) == (VERSION, [])
    engine.dispose()


@pytest.mark.parametrize("kept", ["all", "log", "checkpoint"])
def test_a_database_without_a_version_is_migrated_from_what_is_there(
    kept: str, store_url: str
) -> None:
    """Programs before the first version made their tables one by one."""
    engine = at_version(store_url, "0001" if kept != "all" else "0002")
    there = columns(engine)
    with engine.begin() as connection:
        for name in reversed(metadata.sorted_tables):
            if name.name in there and kept != "all" and not name.name.startswith(kept):
                name.drop(connection)
        version_table.drop(connection)
    prepare(engine)
    assert (version(engine), differences(engine)) == (VERSION, [])
    engine.dispose()


@pytest.mark.parametrize("number", ["0001", "empty"])
def test_several_processes_that_open_at_once_migrate_it_once(number: str, store_url: str) -> None:
    if number != "empty":
        at_version(store_url, number).dispose()
    begin, said, failed = threading.Barrier(6), [], []

    def open_it() -> None:
        begin.wait()
        try:
            open_store(store_url, said.append).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, len(said)) == ([], 0 if number == "empty" else 1)
    engine = open_database(store_url)
    assert (version(engine), differences(engine)) == (VERSION, [])
    engine.dispose()


def test_a_database_of_a_newer_program_is_refused_with_what_to_do(store_url: str) -> None:
    store = open_store(store_url)
    with store.engine.begin() as connection:
        connection.execute(update(version_table).values(version_num="0999"))
    for opened in (open_store, lambda url: SqliteLog(url, "t")):
        with pytest.raises(StoreError, match=r"newer version of cep.*0999.*Run that version"):
            opened(store_url)
    assert version(store.engine) == "0999"
    store.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(store_url: str) -> None:
    engine = at_version(store_url, "0001")
    before = columns(engine)
    with engine.begin() as connection:  # in the way of 0002
        connection.exec_driver_sql("CREATE INDEX late ON page (name)")
    with pytest.raises(StoreError, match="cannot open"):
        open_store(store_url)
    with pytest.raises(SourceError, match="cannot open"):
        SqliteLog(store_url, "t")
    assert version(engine) == "0001"
    assert columns(engine) == before
    engine.dispose()


def test_chunks_of_an_older_log_are_read_and_nothing_in_them_is_quarantined(store_url: str) -> None:
    engine = at_version(store_url, "0001")
    row = {"topic": "t", "position": 0, "count": 2, "data": b"a\nb\n"}
    with engine.begin() as connection:
        connection.execute(table("log_chunk", *map(column, row)).insert().values(row))
    engine.dispose()
    log = SqliteLog(store_url, "t", follow=False)
    records = log.read("t", 0, 10)
    assert records is not None and records.data == b"a\nb\n"
    assert records.ingests[0].latest_ms == 2**62
    log.append("t", b"c\n")
    assert log.end("t") == 3
    log.close()


def test_a_database_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from cep.store.store import open_store; open_store('s.db').close();"
        "print('alembic' in sys.modules)"
    )
    for _ in range(2):  # made, then found
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
        )
        assert done.stdout == "False\n"
