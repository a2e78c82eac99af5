"""Stores written down as text, so that later programs can be asked whether they go on from them.

Each file `golden/schema-N-format-M.ndjson.gz` is a store, and the log beside it, as a program of
that time left them after the first part of `golden/events.ndjson`: a line is a row, `[table,
columns]`, octets as {"base64": …}.  After the schema or the format of checkpoints has got a new
number,

    PYTHONPATH=. python tests/cep/golden_stores.py

adds the file that belongs to it; the older ones stay.
"""

from __future__ import annotations

import base64
import gzip
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from engine_cases import BASE_MS, ManualClock
from sqlalchemy import Connection, Engine, MetaData, insert, select, text

import cep
from cep import limits
from cep.engine import Engine as Partition
from cep.log.sqlite import SqliteLog
from cep.store import reads
from cep.store.schema import VERSION, version_table
from cep.store.store import open_store
from cep.tables.frames import GivenSource

FOLDER = Path(__file__).parent / "golden"
TOPIC = "events"
PART = 64  # events that were in the log when the store was written down
ROWS = {
    "shops": [{"shop": "s0", "owner": "ada"}, {"shop": "s1", "owner": "grace"}],
    "cards": [{"card": "a", "owner": "ann"}, {"card": "d", "owner": "dan"}],
}


def lines() -> list[bytes]:
    return (FOLDER / "events.ndjson").read_bytes().splitlines()


def follow(database: str, added: Sequence[bytes], *, batch_records: int = 16) -> list[str]:
    """Appends events and folds them, until there are none; what the engine said meanwhile."""
    said: list[str] = []
    log = SqliteLog(database, TOPIC, notify=said.append)
    store = open_store(database, said.append)
    if added:
        log.append(TOPIC, b"\n".join(added) + b"\n")
    clock = ManualClock(BASE_MS)
    engine = Partition(
        cep.compile(FOLDER / "rules.cep"),
        log,
        store,
        clock=clock,
        batch_records=batch_records,
        commit_interval_ms=0,
        notify=said.append,
        tables={name: GivenSource(rows) for name, rows in ROWS.items()},
    )
    clock.on_sleep = engine.stop
    try:
        engine.run()
    finally:
        log.close()
        store.close()
    return said


def everything_found(database: str) -> dict[str, Any]:
    """What a store says to those who ask."""
    store = open_store(database)
    engine = store.engine
    (status,) = reads.partitions(engine)
    listed = {
        "detections": [one.body for one in reads.detections(engine, limit=1000)],
        "resolutions": [(one.id, one.at_ms) for one in reads.resolutions(engine, limit=1000)],
        "dead": reads.dead_letters(engine, TOPIC, limit=1000),
        "position": status.position,
        "counters": status.counters,
    }
    store.close()
    return listed


def dumped(connection: Connection) -> Iterator[bytes]:
    """The rows of all tables, a line each, in an order that foreign keys allow."""
    for table in _tables(connection).sorted_tables:
        if table.name == version_table.name:
            continue
        for row in connection.execute(select(table).order_by(*table.primary_key)).mappings():
            columns = {str(name): _plain(value) for name, value in row.items() if value is not None}
            yield orjson.dumps([str(table.name), columns])


def load(connection: Connection, dump: bytes) -> None:
    """The inverse of `dumped`, into tables that are there and empty."""
    tables = _tables(connection).tables
    for line in dump.splitlines():
        name, columns = orjson.loads(line)
        values = {column: _octets(value) for column, value in columns.items()}
        connection.execute(insert(tables[name]).values(values))
    if connection.dialect.name == "postgresql":
        for name in ("detection", "outbox", "resolution"):
            numbers = f"pg_get_serial_sequence('{name}', 'sequence')"
            connection.execute(text(f"SELECT setval({numbers}, max(sequence)) FROM {name}"))


def _tables(connection: Connection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    return found


def _plain(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _octets(value: Any) -> object:
    return base64.b64decode(value["base64"]) if isinstance(value, Mapping) else value


def write() -> Path:
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/golden.db"
        follow(database, lines()[:PART])
        engine: Engine = open_store(database).engine
        with engine.connect() as connection:
            rows = [*dumped(connection)]
        engine.dispose()
    path = FOLDER / f"schema-{VERSION}-format-{limits.CHECKPOINT_FORMAT}.ndjson.gz"
    path.write_bytes(gzip.compress(b"\n".join(rows) + b"\n", mtime=0))
    return path


if __name__ == "__main__":
    print(write())
