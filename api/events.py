"""POST /api/v1/events: events into the log, with a reason for each one refused."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from api import limits, schemas
from api.bodies import read_body, unpacked
from api.ingest import Parsed, parse_events
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.log.publishing import Appended, Share

_EVENT = {"type": "object", "example": {"type": "Payment", "ts": "2026-03-01T09:00:00Z"}}
_ITEMS = {"anyOf": [_EVENT, {"type": "array", "items": _EVENT}]}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _ITEMS},
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"type": "Payment", "ts": "2026-03-01T09:00:00Z"}',
            },
        },
    }
}

router = APIRouter(prefix="/api/v1", tags=["events"])


@router.post("/events", response_model=schemas.Ingested, openapi_extra=_BODY)
async def post_events(request: Request, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """A JSON object, an array of objects, or NDJSON.

    What is accepted is durable in the log, in order and in one append, when this answers.  Events
    whose `@id` is known are left out and counted as duplicates.
    """
    if state.log is None:
        raise Problem(Kind.NO_LOG, "it was started without an embedded log to append to")
    body = await read_body(request, limits.BODY_BYTES_MAX)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    content_type = request.headers.get("content-type")
    return await run_in_threadpool(_append, state, content_type, body, encoding)


def _append(state: ApiState, content_type: str | None, body: bytes, encoding: str) -> Response:
    parsed = parse_events(content_type, unpacked(body, encoding, limits.BODY_BYTES_MAX))
    errors = _errors(parsed)
    if not parsed.lines and parsed.errors:
        raise Problem(Kind.NO_EVENT_ACCEPTED, None, **errors)
    appended = Appended({})
    if parsed.lines and state.log is not None:
        appended = state.log.publish(b"\n".join(parsed.lines) + b"\n", state.ids)
    places = [_place(name, share) for name, share in appended.shares.items()]
    answer: dict[str, object] = {
        "accepted": appended.count,
        "duplicates": appended.duplicates,
        "partitions": places,
    }
    return json_response(orjson.dumps(answer | errors))


def _place(partition: str, share: Share) -> dict[str, object]:
    counted = share.first_position is not None
    first = {"first_position": share.first_position} if counted else {}
    return {"partition": partition, **first, "accepted": share.count}


def _errors(parsed: Parsed) -> dict[str, object]:
    listed = [
        {"index": error.index, "reason": error.reason}
        for error in parsed.errors[: limits.ITEM_ERRORS_MAX]
    ]
    return {"rejected": len(parsed.errors), "errors": listed}
