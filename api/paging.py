"""Cursor paging: a cursor is opaque to clients and marks the last row they have seen.

Pages come oldest first and `next` is always given, so a client that keeps asking with it sees every
new row once.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

import orjson
from fastapi import Query, Response

from api import limits
from api.problems import Kind, Problem

Limit = Annotated[int, Query(ge=1, le=limits.PAGE_ROWS_MAX)]
Cursor = Annotated[str | None, Query(max_length=limits.CURSOR_CHARACTERS_MAX)]


def encode_cursor(*parts: int | str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str | None, start: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The parts of `cursor`, of the same kinds as `start`, which no cursor stands for."""
    if cursor is None:
        return start
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    if not isinstance(parts, list) or [type(part) for part in parts] != [type(s) for s in start]:
        raise _bad_cursor()
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in parts):
        raise _bad_cursor()
    return tuple(parts)


def _bad_cursor() -> Problem:
    fault = {"parameter": "cursor", "reason": "not a cursor of this listing"}
    return Problem(Kind.INVALID_PARAMETERS, errors=[fault])


def page(items: Sequence[bytes], after: tuple[int | str, ...], more: bool) -> Response:
    """`items` are JSON texts and go out as they are; `after` marks the last of them."""
    ending = orjson.dumps({"next": encode_cursor(*after), "more": more})
    return json_response(b'{"items":[' + b",".join(items) + b"]," + ending[1:])


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")
