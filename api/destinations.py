"""Destinations: how they are, a test message, and what may be tried again."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from starlette.responses import JSONResponse

from alerts import deliveries
from alerts.breaker import Breaker
from alerts.listings import counts_by_state, find_delivery, has_deliveries
from alerts.message import rfc3339
from alerts.reasons import State as DeliveryState
from api import schemas
from api.bodies import BoundedRoute
from api.problems import Kind, Problem
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["destinations"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]


@router.get("/destinations", response_model=schemas.Destinations)
def get_destinations(state: State) -> Response:
    """Those of the configuration, and those that only old deliveries know of."""
    counts = counts_by_state(state.engine)
    disabled = deliveries.disabled_destinations(state.engine)
    breakers = deliveries.read_breakers(state.engine)
    configured = state.destinations.destinations
    items = [
        {
            "name": name,
            "type": configured[name].type if name in configured else None,
            "disabled": disabled.get(name),
            "failing": _failing(breakers.get(name)),
            "deliveries": {str(one): counts.get((name, one), 0) for one in DeliveryState},
        }
        for name in sorted({*configured, *disabled, *(name for name, _ in counts)})
    ]
    return JSONResponse({"items": items})


@router.post("/destinations/{name:path}:test", status_code=202, response_model=schemas.TestSent)
def send_test(name: str, state: State) -> Response:
    """Sends a message that says it is a test; the answer names its delivery."""
    _check_configured(name, state)
    id_ = uuid.uuid4().hex
    deliveries.add_test(state.engine, id_, name, state.clock.now_ms())
    return JSONResponse({"delivery": id_}, 202)


@router.post("/destinations/{name:path}:enable", response_model=schemas.Enabled)
def enable(name: str, state: State) -> Response:
    """After a receiver said that it wants no more.  Dead deliveries stay dead until replayed."""
    _check_known(name, state)
    return JSONResponse({"enabled": deliveries.enable_destination(state.engine, name)})


@router.post("/destinations/{name:path}:replay", response_model=schemas.Replayed)
def replay_all(name: str, state: State) -> Response:
    """Its dead deliveries are pending again, with the same ids and bytes."""
    _check_known(name, state)
    count = deliveries.replay(state.engine, state.clock.now_ms(), destination=name)
    return JSONResponse({"replayed": count})


@router.post("/deliveries/{id_}:replay", response_model=schemas.Replayed)
def replay_one(id_: str, state: State) -> Response:
    """A dead delivery is pending again."""
    if not deliveries.replay(state.engine, state.clock.now_ms(), id_=id_):
        found = find_delivery(state.engine, id_)
        if found is None:
            raise Problem(Kind.NOT_FOUND, "no delivery has that id")
        raise Problem(Kind.NOT_POSSIBLE, f"the delivery is {found[0].state}")
    return JSONResponse({"replayed": 1})


def _check_configured(name: str, state: ApiState) -> None:
    if name not in state.destinations.destinations:
        raise Problem(Kind.NOT_FOUND, "no destination of the configuration has that name")


def _check_known(name: str, state: ApiState) -> None:
    """Old deliveries may be to destinations that are in no configuration any more."""
    if name not in state.destinations.destinations and not has_deliveries(state.engine, name):
        raise Problem(Kind.NOT_FOUND, "no destination has that name")


def _failing(breaker: Breaker | None) -> dict[str, object] | None:
    if breaker is None:
        return None
    return {
        "attempts": breaker.failures,
        "since": rfc3339(breaker.since_ms),
        "left_alone": breaker.is_open(),
        "next_attempt": rfc3339(breaker.probe_ms) if breaker.probe_ms else None,
    }
