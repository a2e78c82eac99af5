"""Reading what a partition was left with, and refusing what is not what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, select

from cep import limits
from cep.errors import StoreError
from cep.ports import Checkpoint
from cep.store import checksums
from cep.store.tables import page


class State(NamedTuple):
    """`checkpoint` is None for a partition that was never committed; `sums` are of the pages."""

    checkpoint: Checkpoint | None
    pages: Mapping[str, bytes]
    sums: dict[str, int]


def read_state(connection: Connection, row: Row[Any]) -> State:
    """The state behind a row of `checkpoint`.

    Raises StoreError, with what to do, for another format and for damage.
    """
    if row.format != limits.CHECKPOINT_FORMAT:
        raise StoreError(_other_format(row.partition, row.format))
    pages: dict[str, bytes] = {}
    sums: dict[str, int] = {}
    expected: list[tuple[str, int | None]] = []
    mine = select(page.c.name, page.c.data, page.c.checksum).where(
        page.c.partition == row.partition
    )
    for name, data, checksum in connection.execute(mine):
        pages[name] = bytes(data)
        sums[name] = checksums.of_page(name, pages[name])
        expected.append((name, checksum))
    if damage := checksums.damage(row._asdict(), row.checksum, sums, expected):
        raise StoreError(
            f"the state of {row.partition!r} is damaged: {damage}. Bring back a copy of the store, "
            "or have the state made anew from the log: cep store rebuild"
        )
    return State(_checkpoint(row), pages, sums)


def _checkpoint(row: Row[Any]) -> Checkpoint | None:
    rules = orjson.loads(row.rules)
    if rules is None:  # acquired before, never committed
        return None
    return Checkpoint(
        position=row.state_position,
        resume_position=row.resume_position,
        watermark_ms=row.state_watermark_ms,
        rules=rules,
        counters=orjson.loads(row.state_counters),
        source=row.source,
        bookmark=row.bookmark,
    )


def _other_format(partition: str, found: int) -> str:
    newer = "a later" if found > limits.CHECKPOINT_FORMAT else "an earlier"
    return (
        f"the checkpoint of {partition!r} has format {found}, and this program reads format "
        f"{limits.CHECKPOINT_FORMAT}: {newer} version of cep has written it. Go on with that "
        "version, or have the state made anew from the log: cep store rebuild"
    )
