"""Refuses requests whose Host header names another server (DNS rebinding)."""

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
            host = Headers(scope=scope).get("host", "").lower()
            if not host.endswith("]"):
                host = host.rpartition(":")[0] or host
            if host not in self._hosts:
                await Problem(Kind.MISDIRECTED)(scope, receive, send)
                return
        await self._app(scope, receive, send)
