"""Every error of the API as an RFC 9457 problem, in one table.

`type` is a URN made of the kind; programs branch on it.  No problem repeats what the client sent,
nor says anything of the inside of the server.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from http import HTTPStatus
from itertools import takewhile
from typing import Any, get_type_hints

import orjson
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from alerts.errors import NotFound, Refused, Stale
from cep.errors import CepError, RulesError, UsageError

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger("api")


class Kind(Enum):
    """(status, title) of each kind of problem; the name gives the type."""

    MALFORMED_BODY = (400, "The body is not what its content type says")
    MISDIRECTED = (421, "This server does not answer to that host name")
    UNAUTHENTICATED = (401, "Who asks is not known")
    FORBIDDEN = (403, "Whoever asks may not do that")
    CROSS_SITE = (403, "Pages of other sites may not change anything")
    NOT_FOUND = (404, "There is no such thing")
    METHOD_NOT_ALLOWED = (405, "This resource has no such method")
    KEPT_IN_FILE = (409, "The rule is kept in a file of the machine")
    NOT_POSSIBLE = (409, "That cannot be done now")
    STALE = (412, "Somebody has changed it meanwhile")
    BODY_TOO_LARGE = (413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = (415, "The body has a content type that is not understood")
    INVALID_PARAMETERS = (422, "A parameter is not valid")
    NO_EVENT_ACCEPTED = (422, "Not one of the events could be accepted")
    RULES_REFUSED = (422, "The rules cannot be run")
    KEY_OF_ANOTHER = (422, "The Idempotency-Key belongs to another request")
    NO_PRECONDITION = (428, "If-Match has to say what is changed")
    TOO_MANY_REQUESTS = (429, "There are too many requests")
    BUSY = (503, "As much of that is under way as may be at once")
    REQUEST_FAILED = (400, "The request cannot be answered")
    INTERNAL = (500, "The server failed")
    NO_LOG = (503, "This server takes no events")
    UNAVAILABLE = (503, "A part of the server is not available")

    @property
    def status(self) -> int:
        return int(self.value[0])

    @property
    def title(self) -> str:
        return str(self.value[1])

    @property
    def type(self) -> str:
        return f"urn:cep:problem:{self.name.lower().replace('_', '-')}"


class Problem(Exception):
    """Raised by a handler; `members` are added to the document, `headers` to the answer."""

    def __init__(self, kind: Kind, detail: str | None = None, **members: object) -> None:
        super().__init__(kind.name)
        self.kind = kind
        self.detail = detail
        self.members = members
        self.headers: dict[str, str] = {}

    def with_headers(self, **headers: str) -> Problem:
        """The same problem; `_` in a name stands for `-`."""
        self.headers |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self

    def response(self, status: int | None = None) -> Response:
        document: dict[str, object] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": status or self.kind.status,
        }
        if self.detail is not None:
            document["detail"] = self.detail
        return Response(
            orjson.dumps(document | self.members),
            status_code=status or self.kind.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.response()(scope, receive, send)


def rules_refused(error: RulesError | UsageError) -> Problem:
    """For rules that do not compile, with the diagnostics, or cannot be run."""
    if isinstance(error, RulesError) and error.diagnostics:
        return Problem(Kind.RULES_REFUSED, errors=error.diagnostics)
    return Problem(Kind.RULES_REFUSED, str(error))


_BY_STATUS = {
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
}


async def _problem(_request: Request, error: Problem) -> Response:
    return error.response()


async def _http(request: Request, error: HTTPException) -> Response:
    kind = _BY_STATUS.get(error.status_code)
    if kind is Kind.METHOD_NOT_ALLOWED:
        return Problem(kind).with_headers(allow=", ".join(_allowed(request))).response()
    if kind is not None:
        return Problem(kind).response()
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(Kind.REQUEST_FAILED, phrase).response(error.status_code)


def _allowed(request: Request) -> list[str]:
    """The methods of a path: each is a route, and `/x/{id}` would take `/x/1:verb`, too."""
    routes: Sequence[APIRoute] = request.app.state.api_routes
    fitting = [route for route in routes if route.path_regex.match(request.scope["path"])]
    closest = max((_literal(route) for route in fitting), default=0)
    closest_ones = (route.methods or () for route in fitting if _literal(route) == closest)
    return sorted(set().union(*closest_ones))


def _literal(route: APIRoute) -> int:
    """How much of a path is said, not left open."""
    return len(re.sub(r"\{[^}]*\}", "", route.path))


async def _validation(request: Request, error: RequestValidationError) -> Response:
    faults = error.errors()
    if any(fault["loc"] == ("body",) or fault["type"] == "json_invalid" for fault in faults):
        return Problem(Kind.MALFORMED_BODY, "a JSON object (application/json)").response()
    ours = _members(get_type_hints(request.scope["endpoint"]).values())
    named = [
        {"parameter": _name(fault["loc"], ours), "reason": fault["msg"].removeprefix(_OF_PYDANTIC)}
        for fault in faults
    ]
    return Problem(Kind.INVALID_PARAMETERS, errors=named).response()


_OF_PYDANTIC = "Value error, "


def _name(place: tuple[Any, ...], ours: set[str]) -> str:
    """Where a fault is; names of members that only the client knows are left out."""
    if place[0] != "body":
        return ".".join(str(part) for part in place[1:])
    known = takewhile(lambda part: part in ours, place[1:])
    return ".".join(known) or "body"


def _members(types: Iterable[object]) -> set[str]:
    """The names of the members of models, and of models in them."""
    models = [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]
    fields = [field for model in models for field in model.model_fields.items()]
    inner = _members(field.annotation for _, field in fields) if fields else set()
    return inner.union(name for name, _ in fields)


async def _unstorable(_request: Request, _error: DataError) -> Response:
    """PostgreSQL has no NUL in texts, for one."""
    detail = "a text or number of the request is none that the store can have"
    return Problem(Kind.INVALID_PARAMETERS, detail, errors=[]).response()


async def _not_found(_request: Request, error: NotFound) -> Response:
    return Problem(Kind.NOT_FOUND, str(error)).response()


async def _stale(_request: Request, error: Stale) -> Response:
    return Problem(Kind.STALE, str(error)).response()


async def _refused(_request: Request, error: Refused) -> Response:
    return Problem(Kind.NOT_POSSIBLE, str(error)).response()


async def _engine(_request: Request, error: CepError) -> Response:
    log.warning("unavailable", error=str(error))
    return Problem(Kind.UNAVAILABLE, "the store or the log cannot be used now").response()


async def _unexpected(_request: Request, error: Exception) -> Response:
    log.error("request_failed", error=type(error).__name__)
    return Problem(Kind.INTERNAL).response()


Handler = Callable[[Request, Exception], Awaitable[Response]]


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Every error of `app`, which is made of `routers`, leaves as a problem."""
    routes = (route for router in routers for route in router.routes)
    app.state.api_routes = [route for route in routes if isinstance(route, APIRoute)]
    handlers: dict[type[Exception], object] = {
        Problem: _problem,
        HTTPException: _http,
        RequestValidationError: _validation,
        CepError: _engine,
        DataError: _unstorable,
        NotFound: _not_found,
        Stale: _stale,
        Refused: _refused,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]  # each takes its own kind
