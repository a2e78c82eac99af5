"""What a reader chooses for their browser: light or dark, and a name where nobody signs in."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from api.console.forms import local, read_form
from api.console.page import NAME_CHARACTERS_MAX, NAME_COOKIE, THEME_COOKIE, THEMES, Page

router = APIRouter()
_YEAR_SECONDS = 366 * 24 * 3600


@router.post("/theme")
async def choose_theme(request: Request) -> Response:
    form = await read_form(request)
    response = Page(request).go(_before(request))
    if form.get("theme") in THEMES:
        _remember(response, THEME_COOKIE, form["theme"])
    else:
        response.delete_cookie(THEME_COOKIE)
    return response


@router.get("/you")
async def you(request: Request) -> Response:
    """Who one is here."""
    return await Page(request).show("you.html")


@router.post("/you")
async def choose_name(request: Request) -> Response:
    name = (await read_form(request)).get("name", "")[:NAME_CHARACTERS_MAX]
    response = Page(request).go("/you", "saved")
    if name and name.isascii() and name.isprintable():
        _remember(response, NAME_COOKIE, name)
    else:
        response.delete_cookie(NAME_COOKIE)
    return response


def _remember(response: Response, cookie: str, value: str) -> None:
    response.set_cookie(cookie, value, _YEAR_SECONDS, httponly=True, samesite="strict")


def _before(request: Request) -> str:
    """The page that the form was on."""
    parts = urlsplit(request.headers.get("referer", ""))
    return local(parts.path + (f"?{parts.query}" if parts.query else ""), "/")
