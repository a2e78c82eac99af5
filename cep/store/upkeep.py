"""Looking after a store that no engine is running on: is its state whole, and making it anew."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, select, update

from cep.errors import StoreError, UsageError
from cep.store.restoring import read_state
from cep.store.store import first_columns
from cep.store.tables import checkpoint, page


@dataclass(frozen=True, slots=True)
class Soundness:
    """Of a partition's state; `trouble` says what is wrong, or is None."""

    partition: str
    position: int
    pages: int
    size_bytes: int
    trouble: str | None


def soundness(engine: Engine) -> list[Soundness]:
    """Reads the state of all partitions, as an engine would."""
    found = []
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        for row in connection.execute(select(checkpoint).order_by(checkpoint.c.partition)).all():
            sizes = select(func.count(), func.coalesce(func.sum(func.length(page.c.data)), 0))
            mine = page.c.partition == row.partition
            count, size = connection.execute(sizes.where(mine)).one()
            trouble = None
            try:
                read_state(connection, row)
            except StoreError as error:
                trouble = str(error)
            found.append(Soundness(row.partition, row.position, count, size, trouble))
    return found


def forget_state(engine: Engine, partition: str) -> None:
    """Lets the next engine begin with the log's first record; what was detected stays.

    An engine that runs meanwhile is turned away at its next commit.  Raises UsageError for a
    partition that is not there.
    """
    with engine.begin() as connection:
        mine = checkpoint.c.partition == partition
        done = connection.execute(
            update(checkpoint).where(mine).values(epoch=checkpoint.c.epoch + 1, **first_columns())
        )
        if done.rowcount != 1:
            known = connection.execute(select(checkpoint.c.partition)).scalars().all()
            raise UsageError(
                f"the store has no partition {partition!r}, only: {', '.join(known) or 'none'}"
            )
        connection.execute(delete(page).where(page.c.partition == partition))
