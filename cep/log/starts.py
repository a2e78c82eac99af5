"""Where a partition of the embedded log begins, once records have been removed from it.

Whoever removes records says so here first, in the transaction that removes the first of them, so a
reader that comes later, or is in the middle, is never handed a log with a hole as if it were whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from cep.errors import SourceError
from cep.ports import mark_of
from cep.store.tables import log_start


@dataclass(frozen=True, slots=True)
class Start:
    """`position` is the first record there is.  Before `compacted`, of each key only the newest
    record is there, in its place; the others are blank.  `mark` is that of the whole log."""

    position: int = 0
    compacted: int = 0
    mark: str = ""


def mark_of_chunk(data: bytes) -> str:
    """The mark of a log whose first chunk this is."""
    return mark_of(data[: data.index(b"\n") + 1])


def start_of(connection: Connection, partition: str) -> Start:
    columns = log_start.c.position, log_start.c.compacted, log_start.c.mark
    row = connection.execute(select(*columns).where(log_start.c.topic == partition)).one_or_none()
    return Start() if row is None else Start(*row)


def put_start(connection: Connection, partition: str, start: Start) -> None:
    values = {"position": start.position, "compacted": start.compacted, "mark": start.mark}
    mine = log_start.c.topic == partition
    if connection.execute(log_start.update().where(mine).values(values)).rowcount == 0:
        connection.execute(log_start.insert().values(topic=partition, **values))


_WAY_OUT = (
    "Bring the log back from a copy, or give up what is missing: have the state made anew from "
    "what is there (cep store rebuild), or start with another store"
)


def check_trimmed(partition: str, start: Start, position: int) -> None:
    """For a reader that finds nothing at `position`, though the log goes on: raises SourceError."""
    if position < start.position:
        raise SourceError(
            f"{partition}: {start.position - position} records from {position} on were trimmed "
            f"before they were read (or while their events waited for the watermark). {_WAY_OUT}"
        )
    raise SourceError(f"log: record {position} of {partition} is missing")


def check_compacted(partition: str, compacted: int, position: int, known: int) -> None:
    """Raises SourceError for a reader at `position` that began when `known` was compacted only."""
    if position < compacted and known < compacted:
        raise SourceError(
            f"{partition}: the log was compacted up to record {compacted}, but was read only up to "
            f"{position}: of each key only the newest record is left. {_WAY_OUT}"
        )
