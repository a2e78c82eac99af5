"""Stores that earlier programs wrote are gone on from, and detect what an undisturbed run does."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from golden_stores import FOLDER, PART, TOPIC, everything_found, follow, lines, load
from sqlalchemy import update

import cep
from cep import limits
from cep.errors import StoreError
from cep.fold import Fold
from cep.store.connect import open_database
from cep.store.migrations import migrate
from cep.store.schema import VERSION
from cep.store.store import open_store
from cep.store.tables import checkpoint

GOLDEN = sorted(path.name for path in FOLDER.glob("*.gz"))
KINDS = {"rule", "facts", "starts", "evidence", "told", "suppress", "table", "strata"}
LIVE = {"climb", "pairs", "much", "each", "spree", "silent", "once", "unbounded"}


def schema_of(golden: str) -> str:
    return golden.split("-")[1]


def restore(golden: str, database: str) -> None:
    """The database as the program of that time left it."""
    engine = open_database(database)
    with engine.begin() as connection:
        migrate(connection, schema_of(golden))
        load(connection, gzip.decompress((FOLDER / golden).read_bytes()))
    engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    database = str(tmp_path_factory.mktemp("undisturbed") / "s.db")
    follow(database, lines())
    return everything_found(database)


@pytest.mark.parametrize("golden", GOLDEN)
def test_a_golden_store_is_gone_on_from(
    golden: str, store_url: str, undisturbed: dict[str, object]
) -> None:
    restore(golden, store_url)
    said = follow(store_url, lines()[PART:])
    migrated = [f"the database was migrated from schema {schema_of(golden)} to {VERSION}"]
    assert said == (migrated if schema_of(golden) != VERSION else [])
    assert everything_found(store_url) == undisturbed


def test_there_is_a_golden_store_of_this_schema_and_format() -> None:
    assert f"schema-{VERSION}-format-{limits.CHECKPOINT_FORMAT}.ndjson.gz" in GOLDEN


@pytest.mark.parametrize("golden", GOLDEN)
def test_a_golden_store_has_something_of_all_that_is_kept(golden: str, tmp_path: Path) -> None:
    database = str(tmp_path / "s.db")
    restore(golden, database)
    store = open_store(database)
    names = [name.split("/") for name in store.acquire(TOPIC).pages]
    store.close()
    assert {name[0] for name in names} == KINDS
    with_state = {name[1] for name in names if name[0] == "rule" and len(name) > 2}
    assert with_state >= LIVE


@pytest.mark.parametrize(
    ("format", "said"), [(1, "an earlier version of cep"), (99, "a later version of cep")]
)
def test_a_checkpoint_of_another_format_is_refused_with_what_to_do(
    format: int, said: str, store_url: str
) -> None:
    restore(GOLDEN[-1], store_url)
    store = open_store(store_url)
    with store.engine.begin() as connection:
        connection.execute(update(checkpoint).values(format=format))
    for _ in range(2):
        with pytest.raises(StoreError, match=f"format {format}.*{said}.*cep store rebuild"):
            store.acquire(TOPIC)
    store.close()


def test_state_in_a_form_that_is_not_known_is_refused_with_what_to_do(tmp_path: Path) -> None:
    database = str(tmp_path / "s.db")
    restore(GOLDEN[-1], database)
    store = open_store(database)
    lease = store.acquire(TOPIC)
    rules = cep.compile(FOLDER / "rules.cep")
    for number, (name, data) in enumerate(lease.pages.items()):
        others = b"\x93\x01\x02\x03", b"\xc1", data[: len(data) // 2]
        changed = {**lease.pages, name: others[number % len(others)]}
        with pytest.raises(StoreError, match=r"cannot be read.*cep store rebuild"):
            Fold(rules, TOPIC, lease.checkpoint, changed)
    store.close()
