"""Signing in and out, and who one is: /api/v1/login, /logout, /whoami."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from api import limits, schemas
from api.access import accounts, audit
from api.access.gate import COOKIE, address, cookie, too_often
from api.access.permissions import caller_of
from api.access.rate import Rate
from api.bodies import BoundedRoute
from api.fields import Password
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=BoundedRoute)
State = Annotated[ApiState, Depends(state_of)]


class Credentials(BaseModel):
    """Name and password of a person, or a key."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str | None, Field(max_length=100)] = None
    password: Annotated[str | None, Field(max_length=limits.PASSWORD_CHARACTERS_MAX)] = None
    key: Annotated[str | None, Field(max_length=200)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Credentials:
        named = self.name is not None and self.password is not None
        if named == (self.key is not None):
            raise ValueError("give name and password, or a key")
        return self


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old: Annotated[str, Field(max_length=limits.PASSWORD_CHARACTERS_MAX)]
    new: Password


@router.post("/login", status_code=204)
async def log_in(body: Credentials, request: Request, state: State) -> Response:
    """A cookie that stands for who signs in, for half a day."""
    if not state.authentication:
        raise Problem(Kind.NOT_POSSIBLE, "this server asks nobody who they are")
    names = [f"from {address(request.scope)}", f"as {body.name or 'a key'}"]
    rate, now_ms = _failures(request), state.clock.now_ms()
    for name in names:  # a try counts until it has succeeded
        if wait := rate.take(name, now_ms):
            raise too_often(wait)
    token = await run_in_threadpool(_token, state, body, request)
    if token is None:
        detail = "name and password do not belong together, or the key is not valid"
        raise Problem(Kind.UNAUTHENTICATED, detail)
    for name in names:
        rate.give_back(name)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token,
        max_age=limits.LOGIN_MS // 1000,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _failures(request: Request) -> Rate:
    """Of this server: how often signing in has failed of late."""
    found: Rate | None = getattr(request.app.state, "sign_in_failures", None)
    if found is None:
        per_second = 1000 / limits.SIGN_IN_TRY_EVERY_MS
        found = request.app.state.sign_in_failures = Rate(per_second, limits.SIGN_IN_TRIES)
    return found


def _token(state: ApiState, given: Credentials, request: Request) -> str | None:
    now_ms = state.clock.now_ms()
    if given.key is not None:
        who, token = "a key", accounts.sign_in_with_key(state.engine, given.key, now_ms)
    else:
        who = given.name or ""
        token = accounts.sign_in(state.engine, who, given.password or "", now_ms)
    detail = {"from": address(request.scope), "status": 401 if token is None else 204}
    audit.record(state.engine, now_ms, repr(who)[1:-1], "sign in", "login", detail)
    return token


@router.post("/logout", status_code=204)
async def log_out(request: Request, state: State) -> Response:
    """The cookie stands for nobody any more."""
    token = cookie(request.headers)
    if token is not None:
        await run_in_threadpool(accounts.sign_out, state.engine, token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/whoami", response_model=schemas.Caller)
def who_am_i(request: Request) -> Response:
    """Name, roles and permissions of whoever asks; and whether this server asks who they are."""
    caller = caller_of(request)
    return json_response(
        orjson.dumps(
            {
                "name": caller.name,
                "roles": caller.roles,
                "permissions": sorted(caller.permissions),
                "authentication": caller.authenticated,
            }
        )
    )


@router.post("/whoami:password", status_code=204)
async def change_password(body: NewPassword, request: Request, state: State) -> Response:
    """One's own; one has to sign in again everywhere."""
    name = caller_of(request).name
    verify = partial(accounts.sign_in, state.engine, name, body.old, state.clock.now_ms())
    if not caller_of(request).authenticated or await run_in_threadpool(verify) is None:
        raise Problem(Kind.FORBIDDEN, "that is not the password of a person who has signed in")
    await run_in_threadpool(accounts.set_password, state.engine, name, body.new)
    return Response(status_code=204)
