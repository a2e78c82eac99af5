"""Alerts over time: as they happen, by server-sent events, and how many were opened when."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from alerts.alert_listings import alerts_opened
from alerts.feed import Change
from alerts.limits import FEED_POLL_MS
from alerts.message import rfc3339
from api import limits, schemas
from api.alerts import alert_shape
from api.paging import json_response
from api.state import ApiState, state_of
from api.streams import Event, EventStream

router = APIRouter(prefix="/api/v1", tags=["alerts"])
State = Annotated[ApiState, Depends(state_of)]

_RUN = secrets.token_hex(4)
"""Numbers of changes mean something within one run of the program only."""


class Split(StrEnum):
    SEVERITY = "severity"
    RULE = "rule"


@router.get("/alerts/events", response_class=EventStream)
async def get_alert_events(request: Request, state: State) -> Response:
    """New and changed alerts: `opened` and `changed`, each with the alert as it is then.

    First comes `ready`, or `reset` when the client missed changes that are not kept any more: then
    it has to read the listing.
    """
    return state.streams.response(_events(state, request.headers.get("last-event-id", "")))


@router.get("/alerts/opened", response_model=schemas.AlertsOpened)
def get_alerts_opened(
    state: State,
    hours: Annotated[int, Query(ge=1, le=24 * 366)] = 24,
    bars: Annotated[int, Query(ge=1, le=limits.BARS_MAX)] = 48,
    by: Split = Split.SEVERITY,
) -> Response:
    """How many were opened in each of `bars` equal intervals of the last `hours`, the last of which
    ends now."""
    width_ms = hours * 3_600_000 // bars
    start_ms = state.clock.now_ms() + 1 - width_ms * bars
    counts = alerts_opened(state.engine, by, start_ms=start_ms, width_ms=width_ms, bars=bars)
    found = {"start": rfc3339(start_ms), "width_ms": width_ms, "bars": bars, "opened": counts}
    return json_response(orjson.dumps(found))


async def _events(state: ApiState, last_id: str) -> AsyncIterator[Event | None]:
    feed, streams = state.alert_feed, state.streams
    known = _number(last_id)
    number = await run_in_threadpool(feed.last) if known is None else known
    yield Event("reset" if last_id and known is None else "ready", id=_id(number))
    quiet_seconds = 0.0
    while True:
        try:
            changes, number = await run_in_threadpool(feed.after, number)
        except LookupError:
            number = await run_in_threadpool(feed.last)
            yield Event("reset", id=_id(number))
            continue
        for change in changes:
            yield _event(change)
        quiet_seconds = 0.0 if changes else quiet_seconds + FEED_POLL_MS / 1000
        if quiet_seconds >= limits.STREAM_HEARTBEAT_SECONDS:
            quiet_seconds = 0.0
            yield None
        if not await streams.pause(FEED_POLL_MS / 1000):
            return


def _event(change: Change) -> Event:
    kind = "opened" if change.is_new else "changed"
    return Event(kind, orjson.dumps(alert_shape(change.alert)), _id(change.number))


def _id(number: int) -> str:
    return f"{_RUN}-{number}"


def _number(id_: str) -> int | None:
    run, _, number = id_.partition("-")
    is_ours = run == _RUN and number.isascii() and number.isdigit() and len(number) < 19
    return int(number) if is_ours else None
