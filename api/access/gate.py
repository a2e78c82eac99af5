"""In front of the API: who asks, and whether they ask too often.

What the gate finds is in `scope["caller"]`; what they may do is decided where the route is known
(`api.access.permissions`).  Pages of the console get through without a caller: all they show they
ask the API for, with the credentials of their reader.
"""

from __future__ import annotations

import math
from http.cookies import CookieError, SimpleCookie

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api import limits
from api.access import accounts
from api.access.rate import Rate
from api.access.roles import ANYBODY, Caller
from api.problems import Kind, Problem
from api.state import ApiState

COOKIE = "cep_login"
_GUARDED = ("/api/", "/metrics")
OPEN = frozenset({"/api/v1/login", "/api/v1/logout", "/healthz"})
_UNCOUNTED = ("/api/v1/events", "/api/v1/login")
_READING = ("GET", "HEAD", "OPTIONS")


class Gate:
    def __init__(self, app: ASGIApp, state: ApiState) -> None:
        self._app = app
        self._state = state
        per_second = state.requests_per_second
        self._rate = Rate(per_second, per_second * limits.REQUESTS_BURST_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
            if caller is None and scope["path"] not in OPEN:
                raise _unknown()
            if scope["path"] not in _UNCOUNTED:
                self._count(caller, scope)
        except Problem as problem:
            await problem(scope, receive, send)
            return
        scope["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller | None:
        if not self._state.authentication:
            return ANYBODY
        headers, now_ms = Headers(scope=scope), self._state.clock.now_ms()
        scheme, _, key = headers.get("authorization", "").partition(" ")
        engine = self._state.engine
        if scheme.lower() == "bearer":
            return await run_in_threadpool(accounts.caller_of_key, engine, key.strip(), now_ms)
        token = cookie(headers)
        if token is None:
            return None
        _must_be_own_page(scope, headers)
        return await run_in_threadpool(accounts.caller_of_login, engine, token, now_ms)

    def _count(self, caller: Caller | None, scope: Scope) -> None:
        name = caller.name if caller and caller.authenticated else address(scope)
        wait = self._rate.take(name, self._state.clock.now_ms())
        if wait:
            raise too_often(wait)


def cookie(headers: Headers) -> str | None:
    """The token of a login, from the cookies of a request."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def address(scope: Scope) -> str:
    """Where a request comes from, without the port."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def too_often(wait_seconds: float) -> Problem:
    seconds = math.ceil(wait_seconds)
    return Problem(Kind.TOO_MANY_REQUESTS, f"ask again in {seconds} s").with_headers(
        retry_after=str(seconds)
    )


def _unknown() -> Problem:
    detail = "give a valid key (Authorization: Bearer cep_…), or sign in"
    return Problem(Kind.UNAUTHENTICATED, detail).with_headers(www_authenticate="Bearer")


def _must_be_own_page(scope: Scope, headers: Headers) -> None:
    """A browser sends the cookie by itself: a page of another site must not change anything."""
    origin = headers.get("origin")
    if scope["method"] in _READING or origin is None:
        return
    if origin.rpartition("://")[2].lower() != headers.get("host", "").lower():
        raise Problem(Kind.CROSS_SITE)
