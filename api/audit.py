"""The audit: GET /api/v1/audit, and whether it is whole.  For administrators."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response

from alerts.message import rfc3339
from api import limits, schemas
from api.access import audit
from api.access.audit import Entry
from api.paging import PAST_ALL, Cursor, Limit, Order, as_json, decode_cursor, json_response, page
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["access"])
State = Annotated[ApiState, Depends(state_of)]


@router.get("/audit", response_model=schemas.Page[schemas.AuditEntry])
def list_entries(
    state: State,
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    subject: Annotated[str | None, Query(max_length=300)] = None,
    order: Order = Order.OLDEST,
) -> Response:
    """In the order it was written, or the other way round."""
    newest_first = order is Order.NEWEST
    (after,) = decode_cursor(cursor, (PAST_ALL if newest_first else 0,))
    rows = audit.entries(state.engine, int(after), limit + 1, actor, subject, newest_first)
    return page(rows, limit, (after,), lambda one: (one.number,), as_json(_entry))


@router.get("/audit:verify", response_model=schemas.AuditVerified)
def verify(state: State) -> Response:
    """Reads all of it; `hash` is that of the newest entry up to which everything fits."""
    found = audit.verify(state.engine)
    return json_response(
        orjson.dumps({"entries": found.entries, "hash": found.hash, "wrong": found.wrong})
    )


def _entry(one: Entry) -> dict[str, object]:
    return {
        "number": one.number,
        "at": rfc3339(one.at_ms),
        "actor": one.actor,
        "action": one.action,
        "subject": one.subject,
        "detail": orjson.Fragment(one.detail),
        "hash": one.hash,
    }
