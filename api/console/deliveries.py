"""The log of messages: what became of each, and its attempts."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.page import Page

router = APIRouter()
STATES = ("gathering", "waiting", "pending", "delivered", "dead")
ROWS = 50


@router.get("/deliveries")
async def deliveries(request: Request) -> Response:
    page, asked = Page(request), request.query_params
    filters = {name: asked.get(name, "") for name in ("state", "destination")}
    state = filters["state"] if filters["state"] in STATES else None
    found, destinations = await asyncio.gather(
        page.api.get(
            "/api/v1/deliveries",
            state=state,
            destination=filters["destination"],
            cursor=asked.get("cursor"),
            limit=ROWS,
            order="newest",
        ),
        page.api.get("/api/v1/destinations"),
    )
    more = urlencode(filters | {"cursor": found["next"]})
    return await page.show(
        "deliveries.html",
        deliveries=found["items"],
        next=f"/deliveries?{more}" if found["more"] else None,
        filters=filters,
        states=STATES,
        destinations=[one["name"] for one in destinations["items"]],
    )


@router.get("/deliveries/{id_}")
async def delivery(id_: str, request: Request) -> Response:
    return await _show(Page(request), id_)


@router.post("/deliveries/{id_}/replay")
async def replay(id_: str, request: Request) -> Response:
    page = Page(request)
    await read_form(request)
    try:
        await page.api.post(f"/api/v1/deliveries/{segment(id_)}:replay")
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, id_, refused)
    return page.go(f"/deliveries/{segment(id_)}", "replayed")


async def _show(page: Page, id_: str, refused: ApiRefused | None = None) -> Response:
    found = await page.api.get(f"/api/v1/deliveries/{segment(id_)}")
    waits = found["state"] in ("pending", "waiting", "gathering")
    return await page.show("delivery.html", refused, delivery=found, waits=waits)
