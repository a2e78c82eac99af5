"""People who sign in: /api/v1/people.  For administrators."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from alerts.message import rfc3339, rfc3339_or_none
from api import limits, schemas
from api.access import accounts
from api.access.accounts import Person
from api.access.permissions import caller_of
from api.bodies import BoundedRoute
from api.fields import Password, PersonName, Roles
from api.paging import Cursor, Limit, as_json, decode_cursor, json_response, page
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: Password


class NewRoles(BaseModel):
    model_config = ConfigDict(extra="forbid")

    roles: Roles


class NewPerson(NewPassword, NewRoles):
    name: PersonName


@router.get("/people", response_model=schemas.Page[schemas.Person])
def list_people(
    state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """By name."""
    (after,) = decode_cursor(cursor, ("",))
    rows = accounts.list_people(state.engine, str(after), limit + 1)
    return page(rows, limit, (after,), lambda one: (one.name,), as_json(_person))


@router.post("/people", response_model=schemas.Person, status_code=201)
def add_person(body: NewPerson, request: Request, state: State) -> Response:
    by, now_ms = caller_of(request).name, state.clock.now_ms()
    added = accounts.add_person(state.engine, body.name, body.password, body.roles, by, now_ms)
    return json_response(orjson.dumps(_person(added)), 201)


@router.get("/people/{name}", response_model=schemas.Person)
def get_person(name: str, state: State) -> Response:
    return _shown(accounts.find_person(state.engine, name))


@router.post("/people/{name}:password", status_code=204)
def set_password(name: str, body: NewPassword, state: State) -> Response:
    """For one who has forgotten theirs."""
    accounts.set_password(state.engine, name, body.password)
    return Response(status_code=204)


@router.post("/people/{name}:roles", response_model=schemas.Person)
def set_roles(name: str, body: NewRoles, state: State) -> Response:
    return _shown(accounts.set_roles(state.engine, name, body.roles, state.clock.now_ms()))


@router.post("/people/{name}:disable", response_model=schemas.Person)
def disable_person(name: str, state: State) -> Response:
    """They are signed out, and cannot sign in."""
    return _shown(accounts.disable_person(state.engine, name, state.clock.now_ms()))


@router.post("/people/{name}:enable", response_model=schemas.Person)
def enable_person(name: str, state: State) -> Response:
    return _shown(accounts.enable_person(state.engine, name, state.clock.now_ms()))


def _shown(one: Person) -> Response:
    return json_response(orjson.dumps(_person(one)))


def _person(one: Person) -> dict[str, object]:
    return {
        "name": one.name,
        "roles": one.roles,
        "made_by": one.made_by,
        "made": rfc3339(one.made_ms),
        "disabled": rfc3339_or_none(one.disabled_ms),
    }
