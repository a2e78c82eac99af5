"""Every change that is asked for goes into the audit before it is made, and its answer afterwards.

So nothing changes without an entry, whatever crashes; a request without an answer in the audit was
under way when the program ended, or when the store was gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits
from api.access import audit
from api.access.gate import address
from api.access.roles import ANYBODY, Caller
from api.bodies import read_body, sent_again
from api.problems import Kind, Problem
from api.state import ApiState

log = structlog.get_logger("api")

_PREFIX = "/api/v1/"
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_APART = ("/api/v1/events", "/api/v1/login")  # the log keeps events, `api.logins` says who came
_NO_CHANGE_VERBS = frozenset({"validate", "format", "test", "preview", "plan", "explain"})
_SECRETS = frozenset({"password", "old", "new", "secret"})


class Recording:
    """Behind the gate, which says who asks."""

    def __init__(self, app: ASGIApp, state: ApiState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_change(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(Request(scope, receive), limits.ACTION_BODY_BYTES_MAX)
            asked = await self._record(scope, {"from": address(scope)} | _shown(body))
        except Problem as problem:
            await problem(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                try:
                    await self._record(scope, {"of": asked, **_outcome(message)}, answered=True)
                except Problem:  # what was asked for has been done, and its answer is owed
                    log.error("answer_not_audited", number=asked)
            await send(message)

        await self._app(scope, sent_again(body), answer)

    async def _record(
        self, scope: Scope, detail: Mapping[str, object], *, answered: bool = False
    ) -> int:
        caller: Caller = scope.get("caller") or ANYBODY
        subject, action = _named(scope)
        write = partial(
            audit.record,
            self._state.engine,
            self._state.clock.now_ms(),
            caller.name,
            "answered" if answered else action,
            subject,
            detail,
        )
        try:
            return await run_in_threadpool(write)
        except SQLAlchemyError as error:
            raise Problem(Kind.UNAVAILABLE, "the audit cannot be written now") from error


def _is_change(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in _CHANGING:
        return False
    path: str = scope["path"]
    verb = path.rpartition(":")[2]
    destination_test = path.startswith("/api/v1/destinations/")
    return (
        path.startswith(_PREFIX)
        and path not in _APART
        and (destination_test or verb not in _NO_CHANGE_VERBS)
    )


def _named(scope: Scope) -> tuple[str, str]:
    """(what is changed, what is done to it): ("rules/large", "pause")."""
    path = quote(scope["path"].removeprefix(_PREFIX), safe="/:@ ")
    subject, _, verb = path[: limits.AUDITED_PATH_CHARACTERS_MAX].partition(":")
    return subject, verb[:60] or scope["method"].lower()


def _shown(body: bytes) -> dict[str, object]:
    """What of a body goes into the audit; secrets do not."""
    if not body:
        return {}
    whole = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    if len(body) > limits.AUDITED_BODY_BYTES_MAX:
        return whole
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return whole
    if not isinstance(said, dict):
        return whole
    return {"said": {name: "…" if name in _SECRETS else said[name] for name in said}}


def _outcome(message: Message) -> dict[str, object]:
    headers = Headers(raw=message.get("headers", []))
    named = {name: headers[name] for name in ("etag", "location") if name in headers}
    return {"status": message["status"], **named}
