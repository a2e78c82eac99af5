"""GET /api/v1/detections: what was detected, as `cep run --out jsonl` prints it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import limits, schemas
from api.paging import PAST_ALL, Cursor, Limit, Order, decode_cursor, json_response, page
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.store import reads

router = APIRouter(prefix="/api/v1", tags=["detections"])


@router.get("/detections", response_model=schemas.Page[schemas.Detection])
def list_detections(
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    rule: Annotated[str | None, Query(max_length=200)] = None,
    order: Order = Order.OLDEST,
) -> Response:
    """In the order they were committed, or the other way round.

    A suppressed one says what hid it (`suppressed_by`).
    """
    newest_first = order is Order.NEWEST
    (after,) = decode_cursor(cursor, (PAST_ALL if newest_first else 0,))
    rows = reads.detections(
        state.engine, after=int(after), limit=limit + 1, rule=rule, newest_first=newest_first
    )
    return page(rows, limit, (after,), lambda row: (row.sequence,), lambda row: row.body)


@router.get("/detections/{id_}", response_model=schemas.Detection)
def get_detection(id_: str, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    body = reads.detection_body(state.engine, id_)
    if body is None:
        raise Problem(Kind.NOT_FOUND, "no detection has that id")
    return json_response(body)
