"""Bodies of requests, never more of them in memory than is allowed."""

from __future__ import annotations

from fastapi import Request

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
