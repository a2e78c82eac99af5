"""`If-Match`: a change says which version of a thing it was made from."""

from __future__ import annotations

from fastapi import Request, Response

from api.problems import Kind, Problem


def if_match(request: Request, where: str) -> int | None:
    """The version that the request names; None for `*`, whichever it is, and -1 for none of ours.

    `where` tells whoever gave none where to find it.
    """
    said = request.headers.get("if-match")
    if said is None:
        raise Problem(Kind.NO_PRECONDITION, f"give the ETag of {where}, or *")
    number = said.strip().strip('"')
    if said.strip() == "*":
        return None
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1


def tagged(response: Response, version: int) -> Response:
    response.headers["etag"] = f'"{version}"'
    return response
