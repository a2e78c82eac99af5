"""Bodies of requests, never more of them in memory than is allowed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

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


def sent_again(body: bytes) -> Receive:
    """What a handler reads a body by that was read before."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def unpacked(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """A body as it was before it was packed for the way; never more than `bytes_max` of it.

    Raises UNSUPPORTED_MEDIA_TYPE for other encodings than gzip, MALFORMED_BODY, BODY_TOO_LARGE.
    """
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, "content-encoding: gzip, or none")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        found = unpacker.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise Problem(Kind.MALFORMED_BODY, "the body is not gzip") from error
    if len(found) > bytes_max:
        raise Problem(Kind.BODY_TOO_LARGE, f"at most {bytes_max} bytes, unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise Problem(Kind.MALFORMED_BODY, "the body is not one whole gzip stream")
    return found


class BoundedRoute(APIRoute):
    """A route whose handler gets its body from FastAPI, as a model."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            body = await read_body(request, limits.ACTION_BODY_BYTES_MAX)
            return await handler(Request(request.scope, sent_again(body)))

        return bounded
