"""Which permission each route needs; a change that nobody has thought of needs an administrator."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from api.access.roles import ANYBODY, Caller, Permission
from api.problems import Kind, Problem

_P = Permission

CHANGES: dict[tuple[str, str], Permission | None] = {
    ("POST", "/api/v1/login"): None,
    ("POST", "/api/v1/logout"): None,
    ("POST", "/api/v1/events"): _P.INGEST,
    ("POST", "/api/v1/rules:validate"): _P.TRY,
    ("POST", "/api/v1/rules:format"): _P.TRY,
    ("POST", "/api/v1/rules:test"): _P.TRY,
    ("POST", "/api/v1/rules/{name}:explain"): _P.TRY,
    ("PUT", "/api/v1/drafts/{name}"): _P.WRITE,
    ("DELETE", "/api/v1/drafts/{name}"): _P.WRITE,
    ("POST", "/api/v1/drafts/{name}:deploy"): _P.DEPLOY,
    ("PUT", "/api/v1/rules/{name}"): _P.DEPLOY,
    ("POST", "/api/v1/rules/{name}:pause"): _P.DEPLOY,
    ("POST", "/api/v1/rules/{name}:resume"): _P.DEPLOY,
    ("POST", "/api/v1/rules/{name}:shadow"): _P.DEPLOY,
    ("POST", "/api/v1/rules/{name}:rollback"): _P.DEPLOY,
    ("POST", "/api/v1/backtests"): _P.TRY,
    ("POST", "/api/v1/backtests/{id_}:cancel"): _P.TRY,
    ("POST", "/api/v1/alerts/{id_}:acknowledge"): _P.HANDLE,
    ("POST", "/api/v1/alerts/{id_}:assign"): _P.HANDLE,
    ("POST", "/api/v1/alerts/{id_}:comment"): _P.HANDLE,
    ("POST", "/api/v1/alerts/{id_}:snooze"): _P.HANDLE,
    ("POST", "/api/v1/alerts/{id_}:resolve"): _P.HANDLE,
    ("POST", "/api/v1/alerts/{id_}:reopen"): _P.HANDLE,
    ("POST", "/api/v1/silences"): _P.HANDLE,
    ("POST", "/api/v1/silences:preview"): _P.READ,
    ("POST", "/api/v1/silences/{id_}:end"): _P.HANDLE,
    ("POST", "/api/v1/destinations/{name:path}:test"): _P.OPERATE,
    ("POST", "/api/v1/destinations/{name:path}:enable"): _P.OPERATE,
    ("POST", "/api/v1/destinations/{name:path}:replay"): _P.OPERATE,
    ("POST", "/api/v1/deliveries/{id_}:replay"): _P.OPERATE,
    ("POST", "/api/v1/whoami:password"): None,
    ("POST", "/api/v1/keys"): _P.ADMINISTER,
    ("POST", "/api/v1/keys/{id_}:revoke"): _P.ADMINISTER,
    ("POST", "/api/v1/people"): _P.ADMINISTER,
    ("POST", "/api/v1/people/{name}:password"): _P.ADMINISTER,
    ("POST", "/api/v1/people/{name}:roles"): _P.ADMINISTER,
    ("POST", "/api/v1/people/{name}:disable"): _P.ADMINISTER,
    ("POST", "/api/v1/people/{name}:enable"): _P.ADMINISTER,
}
"""By method and path; None: for whoever comes through the gate."""

_OPEN_TO_ALL_ROLES = ("/healthz", "/api/v1/whoami")
_OF_ADMINISTRATORS = ("/api/v1/keys", "/api/v1/people", "/api/v1/audit")


def needed(method: str, path: str) -> Permission | None:
    """`path` is that of a route, with its parameters in braces."""
    if method not in ("GET", "HEAD"):
        return CHANGES.get((method, path), Permission.ADMINISTER)
    if path in _OPEN_TO_ALL_ROLES:
        return None
    return Permission.ADMINISTER if path.startswith(_OF_ADMINISTRATORS) else Permission.READ


def authorize(
    request: Request, _: Annotated[object, Depends(HTTPBearer(auto_error=False))]
) -> None:
    """A dependency of every route."""
    permission = needed(request.method, request.scope["route"].path)
    if permission is not None and permission not in caller_of(request).permissions:
        raise Problem(Kind.FORBIDDEN, f"it needs the permission to {permission}")


def caller_of(request: Request) -> Caller:
    """Who makes the request."""
    caller: Caller = request.scope.get("caller") or ANYBODY
    return caller


def actor(request: Request, said: str | None) -> str:
    """The name under which a change goes into histories; `said` is what the body calls itself."""
    caller = caller_of(request)
    if not caller.authenticated:
        return said or caller.name
    if said not in (None, caller.name):
        raise Problem(Kind.FORBIDDEN, "`by` is who has signed in; leave it out")
    return caller.name
