"""Refuses requests whose Host header names another server (DNS rebinding), and changes that a web
page of another site asks for, which its browser says in `Origin`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Kind, Problem


class KnownHosts:
    """Passes HTTP requests to one of `hosts` on; `*` among them passes all."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._hosts:
            headers = Headers(scope=scope)
            if _without_port(headers.get("host", "")) not in self._hosts:
                await Problem(Kind.MISDIRECTED)(scope, receive, send)
                return
            origin = headers.get("origin")
            if origin is not None and scope["method"] not in _READING:
                site = _without_port(origin.rpartition("://")[2])
                if site not in self._hosts:
                    await Problem(Kind.CROSS_SITE)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


_READING = ("GET", "HEAD", "OPTIONS")


def _without_port(host: str) -> str:
    host = host.lower()
    return host if host.endswith("]") else host.rpartition(":")[0] or host
