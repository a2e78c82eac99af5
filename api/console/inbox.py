"""The inbox: alerts, the newest first, and what can be done to them from the list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import local, read_form
from api.console.page import Page

router = APIRouter()
STATES = ("open", "acknowledged", "resolved")
ROWS = 50


@router.get("/alerts")
async def inbox(request: Request) -> Response:
    return await _show(Page(request), dict(request.query_params))


@router.post("/alerts/{id_}/acknowledge")
async def acknowledge(id_: str, request: Request) -> Response:
    """From the list; the answer is the list again."""
    page, form = Page(request), await read_form(request)
    refused = None
    try:
        await page.api.post(
            f"/api/v1/alerts/{segment(id_)}:acknowledge",
            await page.by(),
            if_match=f'"{form.get("version", "")}"',
        )
    except ApiRefused as error:
        refused = error
    filters = {name: form.get(name, "") for name in ("state", "rule", "assignee")}
    if page.is_part or refused is not None:
        return await _show(page, filters, refused)
    return page.go(local(f"/alerts?{_query(filters)}", "/alerts"), "acknowledged")


async def _show(page: Page, asked: dict[str, str], refused: ApiRefused | None = None) -> Response:
    who = await page.who()
    filters = {name: asked.get(name, "") for name in ("rule", "assignee")}
    # Whoever asks for nothing wants to see what has to be done.
    filters["state"] = asked.get("state", "open")
    cursor = asked.get("cursor")
    state = filters["state"] if filters["state"] in STATES else None
    found = await page.api.get(
        "/api/v1/alerts",
        state=state,
        rule=filters["rule"],
        assignee=filters["assignee"],
        cursor=cursor,
        limit=ROWS,
        order="newest",
    )
    rules = await page.api.get("/api/v1/rules")
    context: dict[str, Any] = {
        "alerts": found["items"],
        "next": f"/alerts?{_query(filters | {'cursor': found['next']})}" if found["more"] else None,
        "filters": filters,
        "states": STATES,
        "rules": sorted(one["name"] for one in rules["items"]),
        "live": cursor is None,
        "here": f"/alerts?{_query(filters)}",
    }
    # htmx shows no body of an error: the list is what it asked for, with the problem above it.
    status = 200 if page.is_part else None
    return await page.show("inbox.html", refused, status, who=who, **context)


def _query(filters: dict[str, str]) -> str:
    return urlencode(filters)
