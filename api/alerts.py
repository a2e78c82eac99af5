"""Alerts: the inbox, one alert with its detections and history, and what people do to them.

Each action says in `If-Match` which version of the alert it was made from; new detections do not
change that.
"""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from alerts import lifecycle
from alerts.alert import Alert, AlertState, Disposition
from alerts.alert_listings import (
    Entry,
    OfAlert,
    detections_of,
    find_alert,
    history,
    list_alerts,
    newest_history,
)
from alerts.lifecycle import By
from alerts.message import rfc3339, rfc3339_or_none
from api import limits, schemas
from api.access.permissions import actor
from api.bodies import BoundedRoute
from api.conditions import if_match, tagged
from api.fields import Moment, Name, Text
from api.openapi import if_match_header
from api.paging import PAST_ALL, Cursor, Limit, Order, as_json, decode_cursor, json_response, page
from api.state import ApiState, state_of
from cep.values import iso_time

router = APIRouter(prefix="/api/v1", tags=["alerts"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]
_SEEN = if_match_header("GET /api/v1/alerts/{id}")


class Act(BaseModel):
    """`by` is who does it, where nobody signs in."""

    model_config = ConfigDict(extra="forbid")

    by: Name | None = None


class Assignment(Act):
    to: Name | None  # null: nobody


class Comment(Act):
    text: Annotated[Text, Field(min_length=1)]


class Snooze(Act):
    until: Moment


class Resolution(Act):
    disposition: Disposition
    text: Text = ""


@router.get("/alerts", response_model=schemas.Page[schemas.Alert])
def get_alerts(
    state: State,
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    status: Annotated[AlertState | None, Query(alias="state")] = None,
    rule: Annotated[str | None, Query(max_length=200)] = None,
    assignee: Annotated[str | None, Query(max_length=200)] = None,
    order: Order = Order.OLDEST,
) -> Response:
    """In the order they were opened, or the other way round."""
    newest_first = order is Order.NEWEST
    (after,) = decode_cursor(cursor, (PAST_ALL if newest_first else 0,))
    rows = list_alerts(
        state.engine,
        after=int(after),
        limit=limit + 1,
        state=status,
        rule=rule,
        assignee=assignee,
        newest_first=newest_first,
    )
    return page(rows, limit, (after,), lambda one: (one.sequence,), as_json(alert_shape))


@router.get("/alerts/{id_}", response_model=schemas.AlertWithHistory)
def get_alert(id_: str, state: State) -> Response:
    """One alert with the newest of its history."""
    found = find_alert(state.engine, id_)
    entries = [_entry(one) for one in newest_history(state.engine, id_, limits.PAGE_ROWS_DEFAULT)]
    return tagged(
        json_response(orjson.dumps(alert_shape(found) | {"history": entries})), found.version
    )


@router.get("/alerts/{id_}/detections", response_model=schemas.Page[schemas.DetectionOfAlert])
def get_alert_detections(
    id_: str, state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """In the order they were committed; hidden and suppressed ones included, with the reason."""
    find_alert(state.engine, id_)  # raises for one that is not there
    (after,) = decode_cursor(cursor, (0,))
    rows = detections_of(state.engine, id_, after=int(after), limit=limit + 1)
    return page(rows, limit, (after,), lambda one: (one.sequence,), as_json(_detection))


@router.get("/alerts/{id_}/history", response_model=schemas.Page[schemas.Entry])
def get_alert_history(
    id_: str, state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """What happened to it, from the beginning."""
    find_alert(state.engine, id_)  # raises for one that is not there
    (after,) = decode_cursor(cursor, (0,))
    rows = history(state.engine, id_, after=int(after), limit=limit + 1)
    return page(rows, limit, (after,), lambda one: (one.number,), as_json(_entry))


@router.post("/alerts/{id_}:acknowledge", response_model=schemas.Alert, openapi_extra=_SEEN)
def acknowledge(id_: str, body: Act, request: Request, state: State) -> Response:
    """No more reminders, and nobody else is called."""
    by = _by(body, request, state)
    return _acted(lifecycle.acknowledge(state.engine, id_, by))


@router.post("/alerts/{id_}:assign", response_model=schemas.Alert, openapi_extra=_SEEN)
def assign(id_: str, body: Assignment, request: Request, state: State) -> Response:
    by = _by(body, request, state)
    return _acted(lifecycle.assign(state.engine, id_, by, body.to))


@router.post("/alerts/{id_}:comment", response_model=schemas.Alert, openapi_extra=_SEEN)
def comment(id_: str, body: Comment, request: Request, state: State) -> Response:
    by = _by(body, request, state)
    return _acted(lifecycle.comment(state.engine, id_, by, body.text))


@router.post("/alerts/{id_}:snooze", response_model=schemas.Alert, openapi_extra=_SEEN)
def snooze(id_: str, body: Snooze, request: Request, state: State) -> Response:
    """Nobody is told anything of it until then."""
    by, until_ms = _by(body, request, state), round(body.until.timestamp() * 1000)
    return _acted(lifecycle.snooze(state.engine, id_, by, until_ms))


@router.post("/alerts/{id_}:resolve", response_model=schemas.Alert, openapi_extra=_SEEN)
def resolve(id_: str, body: Resolution, request: Request, state: State) -> Response:
    """It is over; the next detection opens another alert."""
    by = _by(body, request, state)
    return _acted(lifecycle.resolve(state.engine, id_, by, body.disposition, body.text))


@router.post("/alerts/{id_}:reopen", response_model=schemas.Alert, openapi_extra=_SEEN)
def reopen(id_: str, body: Act, request: Request, state: State) -> Response:
    by = _by(body, request, state)
    return _acted(lifecycle.reopen(state.engine, id_, by))


def _by(body: Act, request: Request, state: ApiState) -> By:
    version = if_match(request, "GET /api/v1/alerts/{id}")
    return By(actor(request, body.by), state.clock.now_ms(), version)


def _acted(changed: Alert) -> Response:
    return tagged(json_response(orjson.dumps(alert_shape(changed))), changed.version)


# ------------------------------------------------------------------------------------- shapes


def alert_shape(one: Alert) -> dict[str, object]:
    """An alert as answers have it; to be written by orjson."""
    return {
        "id": one.id,
        "rule": one.rule,
        "severity": one.severity,
        "key": orjson.Fragment(one.key),
        "title": one.title,
        "state": str(one.state),
        "disposition": one.disposition,
        "assignee": one.assignee,
        "detections": one.detections,
        "first_at": iso_time(one.first_at_ms),
        "last_at": iso_time(one.last_at_ms),
        "opened": rfc3339(one.opened_ms),
        "resolved": rfc3339_or_none(one.resolved_ms),
        "snoozed_until": rfc3339_or_none(one.snoozed_until_ms),
        "route": one.route,
        "escalations": one.escalations,
        "version": one.version,
    }


def _entry(one: Entry) -> dict[str, object]:
    return {
        "number": one.number,
        "at": rfc3339(one.at_ms),
        "by": one.actor,
        "action": one.action,
        "detail": one.detail,
    }


def _detection(one: OfAlert) -> dict[str, object]:
    return {
        "id": one.id,
        "at": iso_time(one.at_ms),
        "hidden_by": one.hidden_by,
        "suppressed_by": one.suppressed_by,
    }
