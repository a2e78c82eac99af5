"""The rules that run: how they are, and how many alerts they opened of late."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from api.console.page import Page
from api.console.sparkline import sparkline

router = APIRouter()
HOURS, BARS = 24, 24
MODES = ("live", "shadow", "paused")


@router.get("/rules")
async def rules(request: Request) -> Response:
    page = Page(request)
    found, opened = await asyncio.gather(
        page.api.get("/api/v1/rules"),
        page.api.get("/api/v1/alerts/opened", hours=HOURS, bars=BARS, by="rule"),
    )
    asked = request.query_params
    text, mode = asked.get("q", "").lower(), asked.get("mode", "")
    shown = [
        one
        for one in found["items"]
        if (not mode or one["mode"] == mode)
        and text in f"{one['name']} {one['title'] or ''} {' '.join(one['tags'])}".lower()
    ]
    return await page.show(
        "rules.html",
        rules=shown,
        all=len(found["items"]),
        q=asked.get("q", ""),
        mode=mode,
        modes=MODES,
        hours=HOURS,
        lines={name: sparkline(counts) for name, counts in opened["opened"].items()},
        sums={name: sum(counts) for name, counts in opened["opened"].items()},
    )
