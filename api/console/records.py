"""Records that could not become events, and events that came too late."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from api.console.page import Page

router = APIRouter()
ROWS = 50


@router.get("/dead-letters")
async def dead_letters(request: Request) -> Response:
    return await _show(request, "dead-letters", "dead_letters.html")


@router.get("/late")
async def late(request: Request) -> Response:
    return await _show(request, "late", "late.html")


async def _show(request: Request, what: str, template: str) -> Response:
    page, cursor = Page(request), request.query_params.get("cursor")
    found = await page.api.get(f"/api/v1/{what}", cursor=cursor, limit=ROWS)
    more = f"/{what}?{urlencode({'cursor': found['next']})}" if found["more"] else None
    return await page.show(template, records=found["items"], next=more)
