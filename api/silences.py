"""Silences: make one, look what it would hide, end it early; and what they have hidden."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from alerts import silences
from alerts.matching import Matcher
from alerts.message import rfc3339
from alerts.silences import Silence
from api import limits, schemas
from api.access.permissions import actor
from api.bodies import BoundedRoute
from api.fields import Moment, Name, Text
from api.paging import Cursor, Limit, as_json, decode_cursor, json_response, page
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["silences"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]


class Preview(BaseModel):
    model_config = ConfigDict(extra="forbid")

    match: Matcher


class NewSilence(Preview):
    """`ends` is mandatory; it begins at once when `starts` is not given."""

    by: Name | None = None  # where nobody signs in
    comment: Annotated[Text, Field(min_length=1)]
    starts: Moment | None = None
    ends: Moment


@router.get("/silences", response_model=schemas.Page[schemas.Silence])
def get_silences(
    state: State,
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    over: Annotated[bool | None, Query()] = None,
) -> Response:
    """In the order they were made; with `over`, only those that are, or are not."""
    (after,) = decode_cursor(cursor, (0,))
    rows = silences.list_silences(
        state.engine, after=int(after), limit=limit + 1, over=over, now_ms=state.clock.now_ms()
    )
    return page(rows, limit, (after,), lambda one: (one.sequence,), as_json(_silence))


@router.post("/silences", status_code=201, response_model=schemas.Silence)
def make_silence(body: NewSilence, request: Request, state: State) -> Response:
    now_ms = state.clock.now_ms()
    made = silences.make_silence(
        state.engine,
        body.match,
        starts_ms=now_ms if body.starts is None else round(body.starts.timestamp() * 1000),
        ends_ms=round(body.ends.timestamp() * 1000),
        actor=actor(request, body.by),
        comment=body.comment,
        now_ms=now_ms,
    )
    return json_response(orjson.dumps(_silence(made)), 201)


@router.post("/silences:preview", response_model=schemas.SilencePreview)
def preview_silence(body: Preview, state: State) -> Response:
    """What one would hide: alerts that are going on, and of the newest detections how many."""
    found = silences.preview(state.engine, body.match, state.tags_of)
    alerts = [{"id": one.id, "title": one.title, "state": str(one.state)} for one in found.alerts]
    return JSONResponse(
        {"alerts": alerts, "detections": found.detections, "looked_at": found.looked_at}
    )


@router.get("/silences/{id_}", response_model=schemas.Silence)
def get_silence(id_: str, state: State) -> Response:
    return json_response(orjson.dumps(_silence(silences.find_silence(state.engine, id_))))


@router.post("/silences/{id_}:end", response_model=schemas.Silence)
def end_silence(id_: str, state: State) -> Response:
    """It hides nothing from now on."""
    ended = silences.end_silence(state.engine, id_, state.clock.now_ms())
    return json_response(orjson.dumps(_silence(ended)))


def _silence(one: Silence) -> dict[str, object]:
    return {
        "id": one.id,
        "match": one.matcher.model_dump(exclude_defaults=True),
        "starts": rfc3339(one.starts_ms),
        "ends": rfc3339(one.ends_ms),
        "by": one.actor,
        "comment": one.comment,
        "made": rfc3339(one.made_ms),
        "hidden": one.hidden,
    }
