"""Destinations: how they are, and what may be tried again."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused
from api.console.forms import read_form
from api.console.page import Page

router = APIRouter()
VERBS = {"test": None, "enable": "enabled", "replay": "replayed"}


@router.get("/destinations")
async def destinations(request: Request) -> Response:
    return await _show(Page(request))


@router.post("/destinations/{verb}")
async def act(verb: str, request: Request) -> Response:
    """The name is in the form: it may have any characters."""
    page, form = Page(request), await read_form(request)
    name = form.get("name", "")
    try:
        done = await page.api.post(f"/api/v1/destinations/{quote(name)}:{quote(verb, safe='')}")
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, refused)
    if verb == "test":
        return page.go(f"/deliveries/{done.json()['delivery']}")
    return page.go("/destinations", VERBS.get(verb))


async def _show(page: Page, refused: ApiRefused | None = None) -> Response:
    found = await page.api.get("/api/v1/destinations")
    return await page.show("destinations.html", refused, destinations=found["items"])
