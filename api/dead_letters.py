"""GET /api/v1/dead-letters: records that could not become events, each with its reason."""

from __future__ import annotations

import base64
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response

from api import limits
from api.paging import Cursor, Limit, decode_cursor, page
from api.state import ApiState, state_of
from cep.store import reads

router = APIRouter(prefix="/api/v1")


@router.get("/dead-letters")
def list_dead_letters(
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    partition: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """By partition, then position.  `raw` is at most the first 4 KiB of the record."""
    start_partition, start_position = decode_cursor(cursor, ("", -1))
    rows: list[reads.StoredDeadLetter] = []
    for name in sorted(one.partition for one in reads.partitions(state.engine)):
        if name < str(start_partition) or partition not in (None, name):
            continue
        after = int(start_position) if name == start_partition else -1
        wanted = limit + 1 - len(rows)
        if wanted > 0:
            rows += reads.dead_letters(state.engine, name, after=after, limit=wanted)
    shown = rows[:limit]
    last = (start_partition, start_position)
    if shown:
        last = (shown[-1].partition, shown[-1].position)
    return page([orjson.dumps(_dead_letter(row)) for row in shown], last, len(rows) > limit)


def _dead_letter(row: reads.StoredDeadLetter) -> dict[str, object]:
    """`raw` is for people: what is not UTF-8 is replaced; `raw_base64` is exact."""
    return {
        "partition": row.partition,
        "position": row.position,
        "reason": row.reason,
        "raw": row.raw.decode("utf-8", "replace"),
        "raw_base64": base64.b64encode(row.raw).decode(),
    }
