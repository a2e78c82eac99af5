"""Signing in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused
from api.console.forms import local, read_form
from api.console.page import NOBODY, Page

router = APIRouter()


@router.get("/login")
async def form(request: Request) -> Response:
    return await _show(Page(request), local(request.query_params.get("next"), "/"))


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """With name and password, or a key; then to the page that was asked for."""
    page, given = Page(request), await read_form(request)
    where = local(given.get("next"), "/")
    names = ("key",) if given.get("key") else ("name", "password")
    try:
        answer = await page.api.post("/api/v1/login", {name: given.get(name, "") for name in names})
    except ApiRefused as refused:
        return await _show(page, where, refused, given.get("name", ""))
    return _with_cookies(page.go(where), answer.headers.get_list("set-cookie"))


@router.post("/logout")
async def sign_out(request: Request) -> Response:
    page = Page(request)
    await read_form(request)
    answer = await page.api.post("/api/v1/logout")
    return _with_cookies(page.go("/login"), answer.headers.get_list("set-cookie"))


def _with_cookies(response: Response, cookies: list[str]) -> Response:
    """The browser gets the cookie that the API made."""
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response


async def _show(
    page: Page, where: str, refused: ApiRefused | None = None, name: str = ""
) -> Response:
    return await page.show("login.html", refused, who=NOBODY, next=where, name=name)
