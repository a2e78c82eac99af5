"""State that is not what was written stops the engine, and can be made anew from the log."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from pathlib import Path

import pytest
from golden_stores import FOLDER, PART, TOPIC, everything_found, follow, lines, load
from sqlalchemy import delete, func, select, update

from cep.errors import StaleWriter, StoreError, UsageError
from cep.store import checksums, upkeep
from cep.store.schema import VERSION
from cep.store.store import SqlStore, open_store
from cep.store.tables import checkpoint, detection, outbox, page

ROOT = Path(__file__).parents[2]
NEWEST = FOLDER / f"schema-{VERSION}-format-2.ndjson.gz"


@pytest.fixture
def database(store_url: str) -> str:
    """A store with state of every kind."""
    store = open_store(store_url)
    with store.engine.begin() as connection:
        load(connection, gzip.decompress(NEWEST.read_bytes()))
    store.close()
    return store_url


def pages_of(store: SqlStore) -> dict[str, bytes]:
    with store.engine.connect() as connection:
        return {row.name: bytes(row.data) for row in connection.execute(select(page))}


def change(store: SqlStore, name: str, **values: object) -> None:
    with store.engine.begin() as connection:
        connection.execute(update(page).where(page.c.name == name).values(**values))


def test_a_changed_bit_in_any_page_is_refused_by_name(database: str) -> None:
    store, rng = open_store(database), random.Random(5)
    pages = pages_of(store)
    assert len(pages) > 50
    for name, data in pages.items():
        place = rng.randrange(len(data))
        flipped = data[place] ^ (1 << rng.randrange(8))
        change(store, name, data=data[:place] + bytes([flipped]) + data[place + 1 :])
        with pytest.raises(StoreError, match=f"damaged: {name}.*cep store rebuild"):
            store.acquire(TOPIC)
        change(store, name, data=data)
    assert store.acquire(TOPIC).pages == pages
    store.close()


def test_a_page_that_is_missing_or_of_another_time_is_refused(database: str) -> None:
    store = open_store(database)
    name, data = next(iter(pages_of(store).items()))
    older = data + b"older"
    change(store, name, data=older, checksum=checksums.of_page(name, older))
    with pytest.raises(StoreError, match="missing, or from another time"):
        store.acquire(TOPIC)
    with store.engine.begin() as connection:
        connection.execute(delete(page).where(page.c.name == name))
    with pytest.raises(StoreError, match="missing, or from another time"):
        store.acquire(TOPIC)
    store.close()


@pytest.mark.parametrize("column", checksums.COLUMNS)
def test_a_changed_checkpoint_is_refused(column: str, database: str) -> None:
    if column == "format":
        return  # refused for itself
    store = open_store(database)
    text = column in ("rules", "counters", "state_counters", "source", "bookmark")
    other = "{}" if text else checkpoint.c[column] + 1
    with store.engine.begin() as connection:
        connection.execute(update(checkpoint).values({column: other}))
    with pytest.raises(StoreError, match="the checkpoint's row is damaged"):
        store.acquire(TOPIC)
    store.close()


def test_checksums_go_along_with_commits(store_url: str) -> None:
    """The sums that are kept while an engine runs are those that are found after it."""
    for part in range(0, len(lines()), 16):
        follow(store_url, lines()[part : part + 16], batch_records=5)
        store = open_store(store_url)
        with store.engine.connect() as connection:
            for table in (checkpoint, page):
                assert None not in connection.execute(select(table.c.checksum)).scalars().all()
        assert [one.trouble for one in upkeep.soundness(store.engine)] == [None]
        store.close()


def test_state_made_anew_detects_the_same_and_nothing_twice(database: str, tmp_path: Path) -> None:
    store = open_store(database)
    running = store.acquire(TOPIC)
    change(store, "strata", data=b"\xc0")
    with store.engine.begin() as connection:
        before = connection.execute(select(func.count()).select_from(detection)).scalar_one()
        connection.execute(delete(outbox))  # all of it was delivered
    upkeep.forget_state(store.engine, TOPIC)
    with pytest.raises(StaleWriter):
        store.commit(running, running.checkpoint or pytest.fail(), {}, [], [])
    with pytest.raises(UsageError, match="no partition 'other', only: events"):
        upkeep.forget_state(store.engine, "other")
    store.close()
    follow(database, [])
    assert len(everything_found(database)["detections"]) == before
    follow(database, lines()[PART:])
    undisturbed = str(tmp_path / "undisturbed.db")
    follow(undisturbed, lines())
    assert everything_found(database) == everything_found(undisturbed)


def test_the_command_line_checks_and_rebuilds(tmp_path: Path) -> None:
    path = str(tmp_path / "s.db")
    follow(path, lines()[:PART])

    def cep(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "cep.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        return done.returncode, done.stdout + done.stderr

    code, said = cep("store", "check", path)
    assert (code, said.startswith(f"{TOPIC}: at record {PART}, "), "sound" in said) == (
        0,
        True,
        True,
    )
    store = open_store(path)
    change(store, "strata", data=b"\xc0")
    store.close()
    code, said = cep("store", "check", path)
    assert code == 3
    assert "pages are damaged: strata" in said
    assert cep("store", "rebuild", path, "nothing")[0] == 2
    assert cep("store", "rebuild", path, TOPIC)[0] == 0
    assert cep("store", "check", path)[0] == 0
    code, said = cep("store", "check", str(tmp_path / "typo.db"))
    assert (code, "no such store" in said) == (2, True)
    follow(path, [])
    assert cep("store", "check", path)[1].startswith(f"{TOPIC}: at record {PART}, ")
