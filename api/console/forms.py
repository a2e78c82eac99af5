"""What forms send, bounded before it is read."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from api import limits
from api.bodies import read_body
from api.problems import Kind, Problem


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, without spaces around them; the last of each name.

    Raises a `Problem` when it is too large, is no such form, or comes from another site.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(Kind.CROSS_SITE)
    origin = request.headers.get("origin")
    if origin is not None and origin.rpartition("://")[2] != request.url.netloc:
        raise Problem(Kind.CROSS_SITE)
    body = await read_body(request, limits.FORM_BYTES_MAX)
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            max_num_fields=limits.FORM_FIELDS_MAX,
            errors="strict",
        )
    except ValueError as error:
        raise Problem(Kind.MALFORMED_BODY, "a form (application/x-www-form-urlencoded)") from error
    return {name: value.replace("\r\n", "\n").strip() for name, value in pairs}


def local(path: str | None, otherwise: str) -> str:
    """`path` if it leads to this server and is one; a browser reads `//` and `/\\` as another."""
    if path is None or not path.startswith("/") or path[1:2] in ("/", "\\"):
        return otherwise
    return path if path.isprintable() and path.isascii() else otherwise
