"""Keys of programs: /api/v1/keys.  For administrators."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from alerts.errors import Refused
from alerts.message import rfc3339, rfc3339_or_none
from api import limits, schemas
from api.access import accounts
from api.access.accounts import Key
from api.access.permissions import caller_of
from api.bodies import BoundedRoute
from api.fields import Moment, Name, Roles
from api.paging import Cursor, Limit, as_json, decode_cursor, json_response, page
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]


class NewKey(BaseModel):
    """It is valid for ever when `expires` is not given."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    roles: Roles
    expires: Moment | None = None


@router.get("/keys", response_model=schemas.Page[schemas.Key])
def list_keys(
    state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """In the order they were made, those that are no longer valid included."""
    made_ms, id_ = decode_cursor(cursor, (0, ""))
    rows = accounts.list_keys(state.engine, (int(made_ms), str(id_)), limit + 1)
    return page(rows, limit, (made_ms, id_), lambda one: (one.made_ms, one.id), as_json(_key))


@router.post("/keys", response_model=schemas.MadeKey, status_code=201)
def make_key(body: NewKey, request: Request, state: State) -> Response:
    """`key` is in this answer only."""
    now_ms = state.clock.now_ms()
    expires_ms = None if body.expires is None else round(body.expires.timestamp() * 1000)
    if expires_ms is not None and expires_ms <= now_ms:
        raise Refused("`expires` is in the past")
    by = caller_of(request).name
    made = accounts.make_key(state.engine, body.name, body.roles, by, now_ms, expires_ms)
    shown = _key(accounts.find_key(state.engine, made.id)) | {"key": str(made)}
    return json_response(orjson.dumps(shown), 201)


@router.get("/keys/{id_}", response_model=schemas.Key)
def get_key(id_: str, state: State) -> Response:
    return json_response(orjson.dumps(_key(accounts.find_key(state.engine, id_))))


@router.post("/keys/{id_}:revoke", response_model=schemas.Key)
def revoke_key(id_: str, state: State) -> Response:
    """It opens nothing from now on."""
    revoked = accounts.revoke_key(state.engine, id_, state.clock.now_ms())
    return json_response(orjson.dumps(_key(revoked)))


def _key(one: Key) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "roles": one.roles,
        "made_by": one.made_by,
        "made": rfc3339(one.made_ms),
        "expires": rfc3339_or_none(one.expires_ms),
        "revoked": rfc3339_or_none(one.revoked_ms),
        "used": rfc3339_or_none(one.used_ms),
    }
