"""Trimming the embedded log: removing records from its beginning, and what there is to know for it.

Nothing goes that an engine whose store is the same database has not read, unless that is asked
for; readers elsewhere notice (`cep.log.starts`).  The newest chunk always stays.  It is done in
small transactions, so that appending and commits wait for moments only; a crash leaves a log that
is trimmed in part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, delete, func, select

from cep import limits
from cep.log.starts import Start, mark_of_chunk, put_start, start_of
from cep.store.tables import checkpoint, log_chunk


@dataclass(frozen=True, slots=True)
class Keep:
    """What stays: records that came since `since_ms` (wall clock), and at most so many bytes."""

    since_ms: int | None = None
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """`held_at`: more would have gone, but an engine is at that record only."""

    records: int
    size_bytes: int
    held_at: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """Records `first` up to, not including, `end`; when they came; see `Start` and `Removed`."""

    first: int
    end: int
    size_bytes: int
    oldest_ms: int | None
    newest_ms: int | None
    compacted: int
    reader: int | None


def reader_position(connection: Connection, partition: str) -> int | None:
    """The first record that the engine of this database still needs; None: there is no engine."""
    needed = select(checkpoint.c.resume_position).where(checkpoint.c.partition == partition)
    return connection.execute(needed).scalar_one_or_none()


def reader_of(engine: Engine, partition: str) -> int | None:
    """See `reader_position`."""
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        return reader_position(connection, partition)


def shown(engine: Engine, partition: str) -> Shown:
    chunk = log_chunk.c
    figures = select(
        func.min(chunk.position),
        func.max(chunk.position + chunk.count),
        func.coalesce(func.sum(func.length(chunk.data)), 0),
        func.min(chunk.recorded_ms),
        func.max(chunk.recorded_ms),
    ).where(chunk.topic == partition)
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        first, end, size, oldest_ms, newest_ms = connection.execute(figures).one()
        compacted = start_of(connection, partition).compacted
        reader = reader_position(connection, partition)
    return Shown(first or 0, end or 0, size, oldest_ms, newest_ms, compacted, reader)


def trim(engine: Engine, partition: str, keep: Keep, *, unread: bool = False) -> Removed:
    """Removes whole chunks from the beginning; `unread`: also what an engine has not read."""
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        wanted = _wanted(connection, partition, keep)
        reader = None if unread else reader_position(connection, partition)
    until = wanted if reader is None else min(wanted, reader)
    records = size_bytes = 0
    while True:
        with engine.begin() as connection:
            some = _some_before(connection, partition, until)
            if not some:
                break
            end = some[-1].position + some[-1].count
            start = marked_start(connection, partition)
            put_start(connection, partition, replace(start, position=end))
            gone = log_chunk.c.topic == partition, log_chunk.c.position < end
            connection.execute(delete(log_chunk).where(*gone))
        records += sum(chunk.count for chunk in some)
        size_bytes += sum(chunk.size for chunk in some)
    return Removed(records, size_bytes, reader if until < wanted else None)


def _wanted(connection: Connection, partition: str, keep: Keep) -> int:
    """Records before this one may go: whichever of the limits asks for more."""
    mine = log_chunk.c.topic == partition
    newest = newest_chunk(connection, partition)
    wanted = 0
    if keep.since_ms is not None:
        young = select(func.min(log_chunk.c.position)).where(
            mine, log_chunk.c.recorded_ms >= keep.since_ms
        )
        first = connection.execute(young).scalar_one()
        wanted = newest if first is None else first
    if keep.bytes_max is not None:
        size = func.sum(func.length(log_chunk.c.data)).over(order_by=log_chunk.c.position.desc())
        sizes = select(log_chunk.c.position, size.label("size")).where(mine).subquery()
        fits = select(func.min(sizes.c.position)).where(sizes.c.size <= keep.bytes_max)
        first = connection.execute(fits).scalar_one()
        wanted = max(wanted, newest if first is None else first)
    return min(wanted, newest)


def newest_chunk(connection: Connection, partition: str) -> int:
    """The position of the newest chunk."""
    mine = select(func.max(log_chunk.c.position)).where(log_chunk.c.topic == partition)
    return connection.execute(mine).scalar_one() or 0


@dataclass(frozen=True, slots=True)
class _Chunk:
    position: int
    count: int
    size: int


def _some_before(connection: Connection, partition: str, until: int) -> list[_Chunk]:
    """The oldest chunks that end at `until` or before."""
    query = (
        select(log_chunk.c.position, log_chunk.c.count, func.length(log_chunk.c.data))
        .where(
            log_chunk.c.topic == partition,
            log_chunk.c.position + log_chunk.c.count <= until,
        )
        .order_by(log_chunk.c.position)
        .limit(limits.CHUNKS_REMOVED_AT_ONCE)
    )
    return [_Chunk(*row) for row in connection.execute(query)]


def marked_start(connection: Connection, partition: str) -> Start:
    """Where the log starts now, with the mark of its first record while that is known."""
    start = start_of(connection, partition)
    if start.mark:
        return start
    first = select(log_chunk.c.data).where(
        log_chunk.c.topic == partition, log_chunk.c.position == 0
    )
    return replace(start, mark=mark_of_chunk(bytes(connection.execute(first).scalar_one())))
