"""GET /api/v1/dead-letters and /api/v1/late: what was not evaluated, and why.

Dead letters are records that could not become events, each with its reason; late are events that
were behind the watermark.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Response

from api import limits, schemas
from api.paging import Cursor, Limit, as_json, decode_cursor, page
from api.state import ApiState, state_of
from cep.store import reads
from cep.values import iso_time

router = APIRouter(prefix="/api/v1", tags=["detections"])
Row = TypeVar("Row", reads.StoredDeadLetter, reads.StoredLate)
Partition = Annotated[str | None, Query(max_length=200)]


@router.get("/dead-letters", response_model=schemas.Page[schemas.DeadLetter])
def list_dead_letters(
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    partition: Partition = None,
) -> Response:
    """By partition, then position.  `raw` is at most the first 4 KiB of the record."""
    return _page(reads.dead_letters, _dead_letter, state, cursor, limit, partition)


@router.get("/late", response_model=schemas.Page[schemas.LateEvent])
def list_late_events(
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    partition: Partition = None,
) -> Response:
    """By partition, then position.  `raw` is at most the first 4 KiB of the event."""
    return _page(reads.late_events, _late_event, state, cursor, limit, partition)


def _page(
    read: Callable[..., list[Row]],
    shown_as: Callable[[Row], dict[str, object]],
    state: ApiState,
    cursor: str | None,
    limit: int,
    partition: str | None,
) -> Response:
    start_partition, start_position = decode_cursor(cursor, ("", -1))
    rows: list[Row] = []
    for name in sorted(one.partition for one in reads.partitions(state.engine)):
        if name < str(start_partition) or partition not in (None, name):
            continue
        after = int(start_position) if name == start_partition else -1
        wanted = limit + 1 - len(rows)
        if wanted > 0:
            rows += read(state.engine, name, after=after, limit=wanted)
    before = start_partition, start_position
    return page(rows, limit, before, lambda row: (row.partition, row.position), as_json(shown_as))


def _dead_letter(row: reads.StoredDeadLetter) -> dict[str, object]:
    return {
        "partition": row.partition,
        "position": row.position,
        "reason": row.reason,
        **_raw(row.raw),
    }


def _late_event(row: reads.StoredLate) -> dict[str, object]:
    return {
        "partition": row.partition,
        "position": row.position,
        "time": iso_time(row.ts_ms),
        "watermark": iso_time(row.watermark_ms),
        **_raw(row.raw),
    }


def _raw(raw: bytes) -> dict[str, object]:
    """`raw` is for people: what is not UTF-8 is replaced; `raw_base64` is exact."""
    return {
        "raw": raw.decode("utf-8", "replace"),
        "raw_base64": base64.b64encode(raw).decode(),
    }
