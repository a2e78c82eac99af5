"""Bodies of requests, never more of them in memory than is allowed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from api import limits
from api.problems import Kind, Problem


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body; raises BODY_TOO_LARGE, before it is read where its length is announced."""
    too_large = Problem(Kind.BODY_TOO_LARGE, f"at most {bytes_max} bytes")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise too_large
    return bytes(body)


class BoundedRoute(APIRoute):
    """A route whose handler gets its body from FastAPI, as a model."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            body = await read_body(request, limits.ACTION_BODY_BYTES_MAX)

            async def again() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handler(Request(request.scope, again))

        return bounded
