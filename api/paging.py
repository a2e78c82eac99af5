"""Cursor paging: a cursor is opaque to clients and marks the last row they have seen.

Pages come oldest first unless the listing is asked for the newest, and `next` is always given: a
client that keeps asking with it sees every new row once, or goes back to older ones.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

import orjson
from fastapi import Query, Response

from api import limits
from api.problems import Kind, Problem

Row = TypeVar("Row")
Place = tuple[int | str, ...]
Limit = Annotated[int, Query(ge=1, le=limits.PAGE_ROWS_MAX)]
Cursor = Annotated[str | None, Query(max_length=limits.CURSOR_CHARACTERS_MAX)]


class Order(StrEnum):
    OLDEST = "oldest"  # first
    NEWEST = "newest"  # first


PAST_ALL = 2**62
"""Behind every number of a row: where listings begin that have the newest first."""


def encode_cursor(*parts: int | str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str | None, start: Place) -> Place:
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


def page(
    rows: Sequence[Row],
    limit: int,
    before: Place,
    place: Callable[[Row], Place],
    shown_as: Callable[[Row], bytes],
) -> Response:
    """The first `limit` rows; one more than those says that there are more.

    `place` of a row is what a cursor marks, `before` that of the row before the first; `shown_as`
    gives JSON, which goes out as it is.
    """
    shown = rows[:limit]
    last = place(shown[-1]) if shown else before
    ending = orjson.dumps({"next": encode_cursor(*last), "more": len(rows) > limit})
    return json_response(b'{"items":[' + b",".join(map(shown_as, shown)) + b"]," + ending[1:])


def as_json(shape: Callable[[Row], object]) -> Callable[[Row], bytes]:
    return lambda row: orjson.dumps(shape(row))


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")
