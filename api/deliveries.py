"""GET /api/v1/deliveries: what became of each message, and the log of its attempts."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response

from alerts.listings import ListedAttempt, ListedDelivery, find_delivery, list_deliveries
from alerts.message import rfc3339, rfc3339_or_none
from alerts.reasons import State
from api import limits, schemas
from api.paging import PAST_ALL, Cursor, Limit, Order, as_json, decode_cursor, json_response, page
from api.problems import Kind, Problem
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["destinations"])


@router.get("/deliveries", response_model=schemas.Page[schemas.Delivery])
def get_deliveries(
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    status: Annotated[State | None, Query(alias="state")] = None,
    destination: Annotated[str | None, Query(max_length=200)] = None,
    detection: Annotated[str | None, Query(max_length=32)] = None,
    alert: Annotated[str | None, Query(max_length=32)] = None,
    order: Order = Order.OLDEST,
) -> Response:
    """In the order of the outbox, or the other way round."""
    newest_first = order is Order.NEWEST
    start = PAST_ALL if newest_first else 0
    sequence, created_ms, id_ = decode_cursor(cursor, (start, start, ""))
    rows = list_deliveries(
        state.engine,
        after=(int(sequence), int(created_ms), str(id_)),
        limit=limit + 1,
        state=status,
        destination=destination,
        detection_id=detection,
        alert_id=alert,
        newest_first=newest_first,
    )
    before = sequence, created_ms, id_
    return page(
        rows, limit, before, lambda row: (row.sequence, row.created_ms, row.id), as_json(_delivery)
    )


@router.get("/deliveries/{id_}", response_model=schemas.DeliveryWithAttempts)
def get_delivery(id_: str, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """One delivery with its attempts, the first 8 KiB of each answer included."""
    found = find_delivery(state.engine, id_)
    if found is None:
        raise Problem(Kind.NOT_FOUND, "no delivery has that id")
    row, attempts = found
    log = [_attempt(attempt) for attempt in attempts]
    return json_response(orjson.dumps(_delivery(row) | {"attempt_log": log}))


def _delivery(row: ListedDelivery) -> dict[str, object]:
    waits = row.state in (State.PENDING, State.GATHERING)
    return {
        "id": row.id,
        "kind": row.kind,
        "alert_id": row.alert_id,
        "number": row.number,
        "detection_id": row.detection_id,
        "destination": row.destination,
        "state": row.state,
        "reason": row.reason,
        "attempts": row.attempts,
        "next_attempt": rfc3339(row.next_attempt_ms) if waits else None,
        "created": rfc3339(row.created_ms),
        "finished": rfc3339_or_none(row.finished_ms),
        "note": row.note,
        "recipients": None if row.recipients is None else orjson.loads(row.recipients),
    }


def _attempt(row: ListedAttempt) -> dict[str, object]:
    return {
        "number": row.number,
        "started": rfc3339(row.started_ms),
        "duration_ms": row.duration_ms,
        "reason": row.reason,
        "status": row.status,
        "answer": row.answer.decode("utf-8", "replace"),
        "error": row.error,
    }
