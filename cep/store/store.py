"""The durable state of partitions over SQLAlchemy Core, on SQLite or PostgreSQL.

Contract: `commit` writes position, changed pages, detections, outbox rows, resolutions, dead
letters, late events and activations in one transaction, and only when the lease's epoch is still
the newest.  Without pages, or with pages of an earlier position, state is those pages and the
records of the log from there to the position.  Checkpoint and pages are written with checksums, and
read back only if they fit.  What is already there under its id (a dead letter: its position) stays
as it is, so work done again changes nothing.
Reads for listings are in `cep.store.reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from cep import limits
from cep.errors import StaleWriter, StoreError
from cep.ports import (
    ActivationRow,
    Checkpoint,
    DeadLetterRow,
    DetectionRow,
    LateRow,
    Lease,
    ResolutionRow,
)
from cep.store import checksums
from cep.store.connect import open_database
from cep.store.failures import named_errors
from cep.store.restoring import read_state
from cep.store.schema import prepare
from cep.store.tables import (
    activation,
    checkpoint,
    dead_letter,
    detection,
    late,
    outbox,
    page,
    resolution,
)

_RESOLUTIONS_LOCK = 0x726573  # of commits that have some; see also cep.store.schema


class SqlStore:
    """A `Store`; makes or migrates the schema of its database.  `notify` is told of that."""

    def __init__(
        self, engine: Engine, notify: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self.engine = engine
        self._held: dict[str, _Held] = {}
        with named_errors("open"):
            prepare(engine, notify)

    def acquire(self, partition: str) -> Lease:
        with named_errors("acquire"), self.engine.begin() as connection:
            row = connection.execute(
                select(checkpoint).where(checkpoint.c.partition == partition).with_for_update()
            ).one_or_none()
            if row is None:
                return self._first_lease(connection, partition)
            state = read_state(connection, row)
            epoch = row.epoch + 1
            connection.execute(
                update(checkpoint).where(checkpoint.c.partition == partition).values(epoch=epoch)
            )
            self._held[partition] = _Held(row._asdict(), state.sums)
            if state.checkpoint is None:
                return Lease(partition, epoch, None, {})
            return Lease(partition, epoch, state.checkpoint, state.pages, row.position)

    def _first_lease(self, connection: Connection, partition: str) -> Lease:
        columns = first_columns()
        connection.execute(insert(checkpoint).values(partition=partition, epoch=1, **columns))
        self._held[partition] = _Held(columns, {})
        return Lease(partition, 1, None, {})

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        pages: Mapping[str, bytes] | None,
        detections: Sequence[DetectionRow],
        dead_letters: Sequence[DeadLetterRow],
        resolutions: Sequence[ResolutionRow] = (),
        late: Sequence[LateRow] = (),
        activations: Sequence[ActivationRow] = (),
        state: Checkpoint | None = None,
    ) -> None:
        held = self._held[lease.partition].behind(checkpoint, pages, state or checkpoint)
        with named_errors("commit"), self.engine.begin() as connection:
            _write_checkpoint(connection, lease, held.row())
            _write_pages(connection, lease.partition, pages or {}, held.sums)
            _write_detections(connection, lease.partition, detections)
            _write_dead_letters(connection, lease.partition, dead_letters)
            _write_late(connection, lease.partition, late)
            _write_activations(connection, lease.partition, activations)
            write_resolutions(connection, lease.partition, resolutions)  # last, for it locks
        self._held[lease.partition] = held

    def pages(self, lease: Lease) -> Mapping[str, bytes]:
        with named_errors("read"), self.engine.connect() as connection:
            connection.execution_options(read_only=True)
            mine = select(checkpoint).where(checkpoint.c.partition == lease.partition)
            row = connection.execute(mine).one()
            if row.epoch != lease.epoch:
                raise _stale(lease)
            return read_state(connection, row).pages

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str, notify: Callable[[str], None] = lambda sentence: None) -> SqlStore:
    """Opens `path.db`, `sqlite:///path.db` or `postgresql://…`; see `SqlStore`."""
    return SqlStore(open_database(url), notify)


class _Held(NamedTuple):
    """What is stored of a partition that is held: the checkpoint's columns, sums of its pages."""

    columns: Mapping[str, object]
    sums: dict[str, int]

    def behind(
        self, values: Checkpoint, changed: Mapping[str, bytes] | None, state: Checkpoint
    ) -> _Held:
        """After a commit of these pages, which are of `state`, or one without pages."""
        columns = {**self.columns, **_position_columns(values)}
        if changed is None:
            return _Held(columns, self.sums)
        sums = {name: known for name, known in self.sums.items() if name not in changed}
        sums |= {name: checksums.of_page(name, data) for name, data in changed.items() if data}
        return _Held(columns | _state_columns(state), sums)

    def row(self) -> dict[str, object]:
        """What to write."""
        columns = {name: self.columns[name] for name in checksums.COLUMNS}
        return columns | {"checksum": checksums.of_checkpoint(columns, self.sums.values())}


def first_columns() -> dict[str, object]:
    """Of a partition that was never committed."""
    return _Held({}, {}).behind(Checkpoint(), {}, Checkpoint()).row()


def _position_columns(values: Checkpoint) -> dict[str, object]:
    """How far detections are committed."""
    return {
        "position": values.position,
        "watermark_ms": values.watermark_ms,
        "counters": orjson.dumps(values.counters).decode(),
    }


def _state_columns(values: Checkpoint) -> dict[str, object]:
    """What the pages belong to."""
    return {
        "state_position": values.position,
        "state_watermark_ms": values.watermark_ms,
        "state_counters": orjson.dumps(values.counters).decode(),
        "resume_position": values.resume_position,
        "rules": orjson.dumps(values.rules).decode(),
        "format": limits.CHECKPOINT_FORMAT,
        "source": values.source,
        "bookmark": values.bookmark,
    }


def _write_checkpoint(connection: Connection, lease: Lease, columns: dict[str, object]) -> None:
    """First of all the writes: a stale writer is turned away before it touches anything."""
    written = connection.execute(
        update(checkpoint)
        .where(checkpoint.c.partition == lease.partition, checkpoint.c.epoch == lease.epoch)
        .values(**columns)
    )
    if written.rowcount != 1:
        mine = select(checkpoint.c.epoch).where(checkpoint.c.partition == lease.partition)
        if connection.execute(mine).one_or_none() is None:
            raise StoreError(
                f"the store was emptied: nothing is left of partition {lease.partition!r}, and "
                "nothing was written. Put a copy back, or use a new store to detect all anew"
            )
        raise _stale(lease)


def _stale(lease: Lease) -> StaleWriter:
    return StaleWriter(
        f"partition {lease.partition!r} was taken over by another engine "
        f"(this one holds epoch {lease.epoch}); nothing was written"
    )


def _write_pages(
    connection: Connection,
    partition: str,
    pages: Mapping[str, bytes],
    sums: Mapping[str, int],
) -> None:
    gone = [{"of": partition, "called": name} for name, data in pages.items() if not data]
    if gone:
        connection.execute(_DELETE_PAGE, gone)
    rows = [
        {"partition": partition, "name": name, "data": data, "checksum": sums[name]}
        for name, data in pages.items()
        if data
    ]
    if rows:
        statement = _dialect(connection).insert(page)
        replaced = {name: statement.excluded[name] for name in ("data", "checksum")}
        key = [page.c.partition, page.c.name]
        upsert = statement.on_conflict_do_update(index_elements=key, set_=replaced)
        connection.execute(upsert, rows)


_DELETE_PAGE = delete(page).where(
    page.c.partition == bindparam("of"), page.c.name == bindparam("called")
)


def _write_detections(
    connection: Connection, partition: str, detections: Sequence[DetectionRow]
) -> None:
    """A detection that is known has got its outbox rows already; they may be delivered and gone."""
    new = insert_new(
        connection,
        detection,
        [
            {
                "id": row.id,
                "partition": partition,
                "rule": row.rule,
                "version": row.version,
                "severity": row.severity,
                "at_ms": row.at_ms,
                "suppressed_by": row.suppressed_by,
                "shadow": row.shadow,
                "body": row.body,
            }
            for row in detections
        ],
        returning="id",
    )
    insert_new(
        connection,
        outbox,
        [
            {"detection_id": row.id, "destination": destination}
            for row in detections
            if row.id in new
            for destination in row.destinations
        ],
    )


def write_resolutions(
    connection: Connection, partition: str, resolutions: Sequence[ResolutionRow]
) -> None:
    """Whoever has read one has read those with lower sequences, too (`alerts.episodes`): on
    PostgreSQL, commits that have some therefore come one after the other."""
    if resolutions and connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_RESOLUTIONS_LOCK})"))
    insert_new(
        connection,
        resolution,
        [
            {
                "id": row.id,
                "partition": partition,
                "rule": row.rule,
                "key": row.key,
                "at_ms": row.at_ms,
                "position": row.position,
            }
            for row in resolutions
        ],
    )


def _write_dead_letters(
    connection: Connection, partition: str, dead_letters: Sequence[DeadLetterRow]
) -> None:
    insert_new(
        connection,
        dead_letter,
        [
            {
                "partition": partition,
                "position": letter.position,
                "reason": letter.reason,
                "raw": letter.raw[: limits.DEAD_LETTER_RAW_BYTES],
            }
            for letter in dead_letters
        ],
    )


def _write_late(connection: Connection, partition: str, rows: Sequence[LateRow]) -> None:
    insert_new(connection, late, [{"partition": partition, **row._asdict()} for row in rows])


def _write_activations(
    connection: Connection, partition: str, rows: Sequence[ActivationRow]
) -> None:
    values = [{"partition": partition, **row._asdict()} for row in rows]
    insert_new(connection, activation, values)


def insert_new(
    connection: Connection,
    table: Table,
    rows: list[dict[str, object]],
    returning: str | None = None,
) -> set[object]:
    """Inserts rows in order; one that violates a unique key is left out.

    Gives the values that the column `returning` has in the rows that are new.
    """
    if not rows:
        return set()
    statement = _dialect(connection).insert(table).on_conflict_do_nothing()
    if returning is None:
        connection.execute(statement, rows)
        return set()
    return set(connection.execute(statement.returning(table.c[returning]), rows).scalars())


def _dialect(connection: Connection) -> Any:
    """What `insert` of this database can do besides the standard."""
    return postgresql if connection.dialect.name == "postgresql" else sqlite
