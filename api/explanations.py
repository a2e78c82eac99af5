"""POST /api/v1/rules/{name}:explain: why a rule did not fire, or how near it is."""

from __future__ import annotations

import threading
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from api import schemas
from api.bodies import BoundedRoute
from api.fields import Moment
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep import limits as engine_limits
from cep.errors import UsageError
from cep.limits import END_OF_TIME_MS

router = APIRouter(prefix="/api/v1", route_class=BoundedRoute, tags=["rules"])
_under_way = threading.BoundedSemaphore(engine_limits.EXPLAIN_AT_ONCE)
Part = Annotated[str, Field(max_length=1000)]


class Question(BaseModel):
    """Of one `key`, or of those that came nearest; as if time stood `at` that event time."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[dict[Part, Part], Field(max_length=20)] = {}
    at: Moment | None = None
    last: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 2_000


@router.post("/rules/{name}:explain", response_model=schemas.Explanation)
def explain(name: str, body: Question, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """Reads the log, in a process of its own: which events were steps, why others were not, what
    ended it."""
    current = state.current()
    if name not in {rule.name for rule in current.rules.rules}:
        raise Problem(Kind.NOT_FOUND, "no rule of that name is running")
    if state.asking is None:
        raise Problem(Kind.NO_LOG, "it was started without a log to read")
    if not _under_way.acquire(blocking=False):
        raise Problem(Kind.BUSY, "try again in a moment").with_headers(retry_after="5")
    try:
        found = state.asking.explain(
            current.base.texts,
            name,
            body.key,
            events_max=body.last,
            until_ms=END_OF_TIME_MS if body.at is None else round(body.at.timestamp() * 1000),
        )
    except UsageError as error:
        raise Problem(Kind.NOT_POSSIBLE, str(error)) from error
    finally:
        _under_way.release()
    answer = {
        "keys": [{"key": one.key, "lines": one.lines} for one in found.keys],
        "further": found.further,
        "events": found.events,
        "left_out": found.left_out,
    }
    return json_response(orjson.dumps(answer))
