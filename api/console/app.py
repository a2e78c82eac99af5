"""The console put together: its pages, its files, and the headers that keep browsers strict."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.console import (
    access,
    alert,
    backtests,
    deliveries,
    destinations,
    editor,
    inbox,
    overview,
    reader,
    records,
    rule,
    rules,
    sign_in,
    silences,
)
from api.console.client import ApiRefused
from api.console.page import FOLDER, NOBODY, Page

ROUTERS = (
    overview.router,
    inbox.router,
    alert.router,
    rules.router,
    rule.router,
    editor.router,
    silences.router,
    destinations.router,
    deliveries.router,
    records.router,
    backtests.router,
    access.router,
    reader.router,
    sign_in.router,
)

_OF_THE_API = ("/api/", "/metrics", "/healthz")

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: FastAPI) -> None:
    """Pages at `/`, files at `/static`."""
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.add_exception_handler(ApiRefused, _refused)  # type: ignore[arg-type]  # takes its own kind
    app.add_middleware(StrictBrowsers)


async def _refused(request: Request, error: ApiRefused) -> Response:
    """A page that could not be made: to the sign-in, or what the API said."""
    page = Page(request)
    if error.status == 401:
        seen = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        where = f"/login?next={quote(seen if request.method == 'GET' else '/', safe='')}"
        if not page.is_part:
            return page.go(where)
        return Response(status_code=401, headers={"hx-redirect": where})
    try:
        who = await page.who()
    except ApiRefused:
        who = NOBODY
    return await page.show("refused.html", error, who=who)


class StrictBrowsers:
    """Pages and files of the console get headers by which browsers load and run nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OF_THE_API):
            await self._app(scope, receive, send)
            return

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                is_file = scope["path"].startswith("/static/")
                headers["cache-control"] = "no-cache" if is_file else "no-store"
            await send(message)

        await self._app(scope, receive, strict)
