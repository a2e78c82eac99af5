"""For administrators: who changed what, and who may."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.page import Page

router = APIRouter()
ROLES = ("viewer", "analyst", "author", "publisher", "ingest", "admin")
ROWS = 100


@router.get("/audit")
async def audit(request: Request) -> Response:
    page, asked = Page(request), request.query_params
    filters = {name: asked.get(name, "") for name in ("actor", "subject")}
    found = await page.api.get(
        "/api/v1/audit", cursor=asked.get("cursor"), limit=ROWS, order="newest", **filters
    )
    more = urlencode(filters | {"cursor": found["next"]})
    return await page.show(
        "audit.html",
        entries=found["items"],
        filters=filters,
        next=f"/audit?{more}" if found["more"] else None,
    )


@router.get("/access")
async def access(request: Request) -> Response:
    return await _show(Page(request))


@router.post("/access/people")
async def add_person(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    body: dict[str, object] = {name: form.get(name, "") for name in ("name", "password")}
    return await _change(page, "people", body | {"roles": [form.get("role", "")]})


@router.post("/access/keys")
async def make_key(request: Request) -> Response:
    """The key is shown in this answer only."""
    page, form = Page(request), await read_form(request)
    body: dict[str, object] = {"name": form.get("name", ""), "roles": [form.get("role", "")]}
    return await _change(page, "keys", body)


@router.post("/access/{kind}/{verb}")
async def change(kind: str, verb: str, request: Request) -> Response:
    """Whom or which is in the form."""
    page, form = Page(request), await read_form(request)
    who = segment(form.get("id", ""))
    return await _change(page, f"{segment(kind)}/{who}:{segment(verb)}", None)


async def _change(page: Page, path: str, body: dict[str, object] | None) -> Response:
    try:
        answer = await page.api.post(f"/api/v1/{path}", body)
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, refused)
    if "key" in (made := answer.json() if answer.content else {}):
        return await _show(page, made=made)
    return page.go("/access", "saved")


async def _show(
    page: Page, refused: ApiRefused | None = None, made: dict[str, object] | None = None
) -> Response:
    people, keys = await asyncio.gather(
        page.api.get("/api/v1/people", limit=500), page.api.get("/api/v1/keys", limit=500)
    )
    return await page.show(
        "access.html", refused, people=people["items"], keys=keys["items"], made=made, roles=ROLES
    )
