"""Compacting the embedded log: of each key, the newest record stays.

Older ones become blank lines, so that positions stay what they are.  As for trimming, what an
engine of the same database has not read is left alone, and so is the newest chunk; readers that
have missed something notice (`cep.log.starts`).  Each chunk is a transaction of its own; a crash
leaves a log that is compacted in part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Engine, select, update

from cep.log.removal import Removed, marked_start, newest_chunk, reader_position
from cep.log.routing import EventIds, read
from cep.log.starts import put_start, start_of
from cep.store.tables import log_chunk


def compact(engine: Engine, partition: str, key: str, *, unread: bool = False) -> Removed:
    """Blanks what is older than the newest record of its type and `key`, a dotted field.

    Records without the key stay.  Takes about 100 bytes of memory for each key.
    """
    with engine.begin() as connection:
        wanted = newest_chunk(connection, partition)
        reader = None if unread else reader_position(connection, partition)
        until = wanted if reader is None else min(wanted, reader)
        start = start_of(connection, partition)
        if until <= start.position:
            return Removed(0, 0, reader if until < wanted else None)
        start = marked_start(connection, partition)
        put_start(connection, partition, replace(start, compacted=max(start.compacted, until)))
    ids = EventIds(anywhere=tuple(key.split(".")))
    seen: set[bytes] = set()
    records = size_bytes = 0
    for position, data in _backwards(engine, partition):
        lines = data.split(b"\n")[:-1]
        blanked = _blank_older(lines, ids, seen, until - position)
        if blanked:
            left = b"".join(line + b"\n" for line in lines)
            with engine.begin() as connection:
                mine = log_chunk.c.topic == partition, log_chunk.c.position == position
                connection.execute(update(log_chunk).where(*mine).values(data=left))
            records += blanked
            size_bytes += len(data) - len(left)
    return Removed(records, size_bytes, reader if until < wanted else None)


def _blank_older(lines: list[bytes], ids: EventIds, seen: set[bytes], before: int) -> int:
    """Blanks the lines of keys seen behind them, those in front of `before`; how many."""
    blanked = 0
    for number in range(len(lines) - 1, -1, -1):
        said = ids.of(read(lines[number])) if lines[number] else None
        if said is None:
            continue
        if said in seen and number < before:
            lines[number] = b""
            blanked += 1
        seen.add(said)
    return blanked


def _backwards(engine: Engine, partition: str) -> Iterator[tuple[int, bytes]]:
    """Position and data of each chunk, the newest first."""
    query = select(log_chunk.c.position, log_chunk.c.data).where(log_chunk.c.topic == partition)
    before: int | None = None
    while True:
        older = query if before is None else query.where(log_chunk.c.position < before)
        with engine.connect() as connection:
            connection.execution_options(read_only=True)
            row = connection.execute(
                older.order_by(log_chunk.c.position.desc()).limit(1)
            ).one_or_none()
        if row is None:
            return
        before = row.position
        yield row.position, bytes(row.data)
