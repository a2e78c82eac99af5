"""Back-tests: ask for one, watch it, and see what would be different."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.page import Page
from api.console.sparkline import sparkline

router = APIRouter()
FIELDS = ("rule", "text", "since", "until")
ROWS = 50


@router.get("/backtests")
async def backtests(request: Request) -> Response:
    page = Page(request)
    return await _list(page, {"rule": request.query_params.get("rule", "")})


@router.post("/backtests")
async def start(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    body: dict[str, object] = {name: form[name] for name in ("rule", "text") if form.get(name)}
    body |= {name: _time(form[name]) for name in ("since", "until") if form.get(name)}
    try:
        made = (await page.api.post("/api/v1/backtests", body)).json()
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _list(page, form, refused)
    return page.go(f"/backtests/{made['id']}")


@router.get("/backtests/{id_}")
async def backtest(id_: str, request: Request) -> Response:
    return await _show(Page(request), id_)


@router.post("/backtests/{id_}/cancel")
async def cancel(id_: str, request: Request) -> Response:
    page = Page(request)
    await read_form(request)
    try:
        await page.api.post(f"/api/v1/backtests/{segment(id_)}:cancel")
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, id_, refused)
    return page.go(f"/backtests/{segment(id_)}")


def _time(text: str) -> str:
    """A field of date and time says no offset: it is UTC."""
    return text if text.endswith("Z") or "+" in text else f"{text}Z"


async def _list(page: Page, form: dict[str, str], refused: ApiRefused | None = None) -> Response:
    found, rules = await asyncio.gather(
        page.api.get("/api/v1/backtests", order="newest", limit=ROWS),
        page.api.get("/api/v1/rules"),
    )
    return await page.show(
        "backtests.html",
        refused,
        backtests=found["items"],
        rules=sorted(one["name"] for one in rules["items"]),
        form={name: form.get(name, "") for name in FIELDS},
    )


async def _show(page: Page, id_: str, refused: ApiRefused | None = None) -> Response:
    found = await page.api.get(f"/api/v1/backtests/{segment(id_)}")
    return await page.show(
        "backtest.html",
        refused,
        backtest=found,
        runs=found["state"] in ("waiting", "running"),
        bars=_bars(found["result"]),
    )


def _bars(result: dict[str, Any] | None) -> dict[str, Any]:
    """What was found over time, as small bars: what is found, added, and lost."""
    items = result["buckets"]["items"] if result else []
    return {
        name: sparkline([int(one.get(name, 0)) for one in items])
        for name in ("found", "added", "lost")
    }
