"""The embedded log: topics of NDJSON chunks in the table `log_chunk` of a store's database.

One row holds a chunk of consecutive records of a partition (`cep.log.topics`), and when it came.
Appending is one transaction and is durable when it returns.  Reading never blocks an appender.  A
tick is a chunk of its own with one blank record.
Works on every database the store works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cep import limits
from cep.errors import SourceError, SourceGone, UsageError
from cep.log.buffer import Block, count_lines
from cep.log.event_ids import take_in
from cep.log.lines import whole_lines
from cep.log.positional import Positional
from cep.log.publishing import Appended, Share
from cep.log.routing import NO_IDS, EventIds, placed
from cep.log.starts import Start, check_compacted, check_trimmed, mark_of_chunk, start_of
from cep.log.topics import Topic, checked, declare, known
from cep.ports import Clock, Ingest, Records, SystemClock
from cep.store.connect import open_database
from cep.store.failures import is_gone, words
from cep.store.schema import prepare
from cep.store.tables import log_chunk, log_start

T = TypeVar("T")

_APPEND_ATTEMPTS = 20  # appenders of one topic that collide on PostgreSQL try again


class SqliteLog(Positional):
    """`database` is a URL, or an engine as `open_database` makes it.

    `follow`: the end of the topic means "nothing yet".  `create`: the file may be a new one.
    `topic` may be the name of one partition, `events/2`, to read that one alone.  Appended events
    more than `ahead_ms_max` ahead of the clock will be quarantined.  `notify` is told when the
    database was migrated.
    """

    def __init__(
        self,
        database: Engine | str,
        topic: str,
        *,
        follow: bool = True,
        create: bool = True,
        ahead_ms_max: int = limits.AHEAD_OF_INGEST_MS_MAX,
        clock: Clock | None = None,
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._follow = follow
        self._ahead_ms_max = ahead_ms_max
        self._notify = notify
        self._compacted: dict[str, int] = {}  # up to where it was when a partition was begun
        self._clock = clock or SystemClock()
        self._engine = open_database(database) if isinstance(database, str) else database
        is_file = self._engine.dialect.name == "sqlite"
        if not create and is_file and not Path(str(self._engine.url.database)).exists():
            raise UsageError(f"no such log: {self._engine.url.database}")
        with _named_errors(f"open {self._engine.url}"):
            prepare(self._engine, notify)
            with self._engine.connect() as connection:
                connection.execution_options(read_only=True)
                self.topic = known(connection, topic) or Topic(topic)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def partitions(self) -> tuple[str, ...]:
        return self.topic.names

    def declare(self, topic: Topic) -> None:
        """Makes the topic of this log; raises UsageError when it is something else already."""
        assert topic.name == self.topic.name
        with _named_errors("make the topic"), self._engine.begin() as connection:
            declare(connection, checked(topic))
        self.topic = topic

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        """Chunks are joined up to `max_records` records and `BATCH_BYTES_MAX` bytes."""
        with _named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            chunks = _chunks_from(connection, partition, position, max_records)
            end = position if chunks else _end(connection, partition)
            if end > position:  # appended since, or gone
                chunks = _chunks_from(connection, partition, position, max_records)
            if not chunks and not position:
                _check_still(self.topic, connection)
            if not chunks and end > position:
                check_trimmed(partition, start_of(connection, partition), position)
        if end < position:
            raise SourceError(f"log: {partition} ends at record {end}, before record {position}")
        if not chunks:
            return Records(position, b"", 0) if self._follow else None
        known = self._compacted.get(partition, 0)
        check_compacted(partition, chunks[-1].compacted, position, known)
        data = b"".join(chunk.data for chunk in chunks)
        count = count_lines(data)
        if count > max_records:
            data = data[: Block(data).behind(max_records)]
            count = max_records
        ingests = tuple(chunk.ingest for chunk in chunks)
        return Records(position, data, count, ingests=ingests, tick_ms=chunks[0].tick_ms)

    def begin(self, partition: str) -> int:
        start = self._start(partition)
        if start.position < start.compacted:
            self._notify(
                f"{partition} is compacted up to record {start.compacted}: before that, only the "
                "newest record of each key is left"
            )
        self._compacted[partition] = start.compacted
        return start.position

    def mark(self, partition: str) -> str:
        with _named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            known = start_of(connection, partition).mark
            first = [] if known else _chunks_from(connection, partition, 0, 1)
            if not known and not first:
                _check_still(self.topic, connection)
        return mark_of_chunk(first[0].data) if first else known

    def bookmark(self, partition: str, position: int) -> str:
        """Up to where the log was compacted when its reader began, if that is behind `position`."""
        compacted = self._compacted.get(partition, 0)
        return str(compacted) if position < compacted else ""

    def resume(self, partition: str, bookmark: str) -> None:
        self._compacted[partition] = int(bookmark or 0)

    def _start(self, partition: str) -> Start:
        with _named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            return start_of(connection, partition)

    def end(self, partition: str, bookmark: str = "") -> int:
        with _named_errors("read"), self._engine.connect() as connection:
            connection.execution_options(read_only=True)
            return _end(connection, partition)

    def append(self, partition: str, data: bytes) -> range:
        """Appends NDJSON as one chunk; the last line is terminated, long records are refused."""
        if not data:
            end = self.end(partition)
            return range(end, end)
        data = _chunk(data)
        return self._appending(lambda connection: self._append(connection, partition, data))

    def publish(self, data: bytes, ids: EventIds = NO_IDS) -> Appended:
        """Appends NDJSON to the partitions the events belong to, in one transaction.

        Those that say an id (`ids`) that is known are left out and counted.
        """
        topic = checked(self.topic)
        if not data:
            return Appended({})
        data = _chunk(data)
        events = placed(data, topic, ids) if topic.partitions > 1 or ids else None

        def append(connection: Connection) -> Appended:
            _check_still(topic, connection)
            if events is None:
                return Appended({topic.name: _share(self._append(connection, topic.name, data))})
            repeated = take_in(connection, topic.name, events.ids)
            shares = {}
            for place, lines in events.parts(left_out=repeated).items():
                name = topic.names[place]
                shares[name] = _share(self._append(connection, name, b"\n".join(lines) + b"\n"))
            return Appended(shares, len(repeated))

        return self._appending(append)

    def _appending(self, append: Callable[[Connection], T]) -> T:
        for _ in range(_APPEND_ATTEMPTS):
            try:
                with _named_errors("append"), self._engine.begin() as connection:
                    return append(connection)
            except IntegrityError:  # another appender took the position, or the id
                continue
        raise SourceError("log: cannot append: too many others append to this topic")

    def append_tick(self, partition: str, tick_ms: int) -> bool:
        """Appends a tick; False when somebody else appended something at that moment."""
        try:
            with _named_errors("append"), self._engine.begin() as connection:
                self._append(connection, partition, b"\n", tick_ms)
        except IntegrityError:
            return False
        return True

    def _append(
        self, connection: Connection, partition: str, data: bytes, tick_ms: int | None = None
    ) -> range:
        first, count = _end(connection, partition), count_lines(data)
        now_ms = self._clock.now_ms()
        connection.execute(
            insert(log_chunk).values(
                topic=partition,
                position=first,
                count=count,
                data=data,
                recorded_ms=now_ms,
                latest_ms=now_ms + self._ahead_ms_max,
                tick_ms=tick_ms,
            )
        )
        return range(first, first + count)

    def close(self) -> None:
        self._engine.dispose()


def _chunk(data: bytes) -> bytes:
    """`data` with its last line terminated; raises UsageError for what is too long."""
    if len(data) > limits.BATCH_BYTES_MAX:
        raise UsageError(f"log: {len(data)} bytes are too many for one chunk")
    return whole_lines(data)


def _share(positions: range) -> Share:
    return Share(len(positions), positions.start)


def _check_still(topic: Topic, connection: Connection) -> None:
    """Raises SourceError when somebody has made the topic as another one since it was opened."""
    now = known(connection, topic.name)
    if now not in (None, topic):
        raise SourceError(f"log: it has become a {now} since it was opened: start again")


_NEWEST_CHUNK = (
    select(log_chunk.c.position, log_chunk.c.count)
    .where(log_chunk.c.topic == bindparam("of"))
    .order_by(log_chunk.c.position.desc())
    .limit(1)
)


def _end(connection: Connection, topic: str) -> int:
    row = connection.execute(_NEWEST_CHUNK, {"of": topic}).one_or_none()
    return 0 if row is None else row[0] + row[1]


class _Chunk(NamedTuple):
    data: bytes
    ingest: Ingest
    tick_ms: int | None
    compacted: int  # see `Start`


# Made once: putting them together takes as long as running them.
_CHUNK_OF = select(func.max(log_chunk.c.position)).where(
    log_chunk.c.topic == bindparam("of"), log_chunk.c.position <= bindparam("here")
)
_CHUNKS = (
    select(
        log_chunk.c.position,
        log_chunk.c.count,
        log_chunk.c.data,
        log_chunk.c.recorded_ms,
        log_chunk.c.latest_ms,
        log_chunk.c.tick_ms,
        select(log_start.c.compacted).where(log_start.c.topic == bindparam("of")).scalar_subquery(),
    )
    .where(
        log_chunk.c.topic == bindparam("of"),
        log_chunk.c.position >= bindparam("start"),
        log_chunk.c.position < bindparam("end"),
    )
    .order_by(log_chunk.c.position)
    .limit(limits.CHUNKS_PER_QUERY)
)


def _rows(
    connection: Connection, topic: str, start: int, end: int
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Chunks from the one at `start` to `end`, a few a query: whoever has read enough leaves no
    cursor behind that a server would have to be asked to close.  Later queries may see more."""
    count = limits.CHUNKS_PER_QUERY
    while count == limits.CHUNKS_PER_QUERY:
        rows = connection.execute(_CHUNKS, {"of": topic, "start": start, "end": end}).all()
        yield from rows
        count = len(rows)
        start = rows[-1].position + 1 if rows else end


def _chunks_from(
    connection: Connection, topic: str, position: int, max_records: int
) -> list[_Chunk]:
    """From exactly `position` on, to about `max_records` records or to a tick; it comes alone."""
    start = connection.execute(_CHUNK_OF, {"of": topic, "here": position}).scalar_one()
    if start is None:
        return []
    chunks: list[_Chunk] = []
    size, expected = 0, position
    for first, count, data, recorded_ms, latest_ms, tick_ms, compacted in _rows(
        connection, topic, start, position + max_records
    ):
        if first + count <= position:
            continue
        if first > expected or (chunks and tick_ms is not None):
            break
        expected = first + count
        if first < position:
            data = data[Block(data).behind(position - first) :]
        ingest = Ingest(max(first, position), recorded_ms, latest_ms)
        chunks.append(_Chunk(bytes(data), ingest, tick_ms, compacted or 0))
        size += len(data)
        if size >= limits.BATCH_BYTES_MAX or tick_ms is not None:
            break
    return chunks


@contextmanager
def _named_errors(action: str) -> Iterator[None]:
    """Any other database error than a taken position becomes a `SourceError`."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        kind = SourceGone if is_gone(error) else SourceError
        raise kind(f"log: cannot {action}: {words(error)}") from error
