"""`Idempotency-Key`: a POST that is sent again, after a lost answer, gets the answer of the first.

The answer is kept for a day, by caller and key.  One that would be a fault of the server's is not
kept: then the request is tried anew.  A request that was under way when the server ended is tried
anew a minute later.  Answers with secrets in them are never kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits
from api.access.roles import ANYBODY, Caller
from api.bodies import read_body, sent_again
from api.problems import Kind, Problem
from api.state import ApiState
from cep.errors import CepError
from cep.store import answers
from cep.store.answers import Answer

_PREFIX = "/api/v1/"
_WITH_SECRETS = ("/api/v1/keys", "/api/v1/login", "/api/v1/people", "/api/v1/whoami")
_KEPT_HEADERS = ("content-type", "etag", "location")


class Idempotency:
    """Behind the gate, which says who asks."""

    def __init__(self, app: ASGIApp, state: ApiState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        try:
            if not 0 < len(key) <= limits.IDEMPOTENCY_KEY_CHARACTERS_MAX or not key.isprintable():
                raise _bad_key()
            body = await read_body(Request(scope, receive), limits.BODY_BYTES_MAX)
            caller: Caller = scope.get("caller") or ANYBODY
            request = _Request(caller.name, key, _fingerprint(scope, body))
            known = await run_in_threadpool(self._claim, request)
        except CepError:
            problem = Problem(Kind.UNAVAILABLE, "the store cannot be used now")
            await problem(scope, receive, send)
            return
        except Problem as problem:
            await problem(scope, receive, send)
            return
        if known is not None:
            await known(scope, receive, send)
            return
        heard = _Heard(send, partial(self._settle, request))
        try:
            await self._app(scope, sent_again(body), heard)
        finally:
            if not heard.whole:
                await run_in_threadpool(self._settle, request, heard)

    def _claim(self, request: _Request) -> Response | None:
        """The answer there is; None when the request is to be worked on."""
        engine, now_ms = self._state.engine, self._state.clock.now_ms()
        since_ms = now_ms - limits.ANSWERS_KEPT_MS
        claim = partial(answers.claim, engine, request.actor, request.key, request.fingerprint)
        known = claim(now_ms, since_ms=since_ms)
        if known is None:
            return None
        if known.fingerprint != request.fingerprint:
            raise Problem(Kind.KEY_OF_ANOTHER, "take another Idempotency-Key")
        if known.status is None:
            if now_ms - known.made_ms < limits.ANSWER_UNDER_WAY_MS:
                raise Problem(Kind.NOT_POSSIBLE, "a request of that Idempotency-Key is under way")
            answers.forget(engine, request.actor, request.key)
            claim(now_ms, since_ms=since_ms)
            return None
        return _response(known)

    def _settle(self, request: _Request, heard: _Heard) -> None:
        engine = self._state.engine
        if heard.is_kept():
            headers = orjson.dumps(heard.headers()).decode()
            body = bytes(heard.body)
            answers.keep(engine, request.actor, request.key, heard.status, headers, body)
        else:
            answers.forget(engine, request.actor, request.key)


@dataclass(frozen=True, slots=True)
class _Request:
    actor: str
    key: str
    fingerprint: bytes


@dataclass(slots=True)
class _Heard:
    """What is answered, on its way to the client; settled before the client has all of it."""

    send: Send
    settle: Callable[[_Heard], None]
    status: int = 0
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.raw_headers = message["status"], message.get("headers", [])
        else:
            if len(self.body) <= limits.ANSWER_KEPT_BYTES_MAX:
                self.body += message.get("body", b"")
            if not message.get("more_body", False):
                self.whole = True
                await run_in_threadpool(self.settle, self)
        await self.send(message)

    def is_kept(self) -> bool:
        fits = len(self.body) <= limits.ANSWER_KEPT_BYTES_MAX
        return self.whole and fits and self.status < 500 and self.status != 429

    def headers(self) -> dict[str, str]:
        found = Headers(raw=self.raw_headers)
        return {name: found[name] for name in _KEPT_HEADERS if name in found}


def _key(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path: str = scope["path"]
    if not path.startswith(_PREFIX) or path.startswith(_WITH_SECRETS):
        return None
    return Headers(scope=scope).get("idempotency-key")


def _bad_key() -> Problem:
    limit = limits.IDEMPOTENCY_KEY_CHARACTERS_MAX
    reason = f"1 to {limit} printable characters"
    return Problem(
        Kind.INVALID_PARAMETERS, errors=[{"parameter": "Idempotency-Key", "reason": reason}]
    )


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    headers = Headers(scope=scope)
    said = [headers.get(name, "") for name in ("content-type", "content-encoding", "if-match")]
    head = orjson.dumps([scope["path"], scope["query_string"].decode("latin-1"), *said])
    return hashlib.sha256(head + b"\n" + body).digest()


def _response(known: Answer) -> Response:
    headers = {**orjson.loads(known.headers or "{}"), "idempotency-replayed": "true"}
    return Response(known.body, status_code=known.status or 500, headers=headers)
