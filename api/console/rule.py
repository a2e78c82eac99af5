"""One rule: what it says, how it is, where it was deployed; and its mode."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.graph import drawing
from api.console.page import Page

router = APIRouter()
DONE = {"pause": "paused", "resume": "live", "shadow": "shadow", "rollback": "rolled-back"}


@router.get("/rules/{name}")
async def rule(name: str, request: Request) -> Response:
    return await _show(Page(request), name)


@router.post("/rules/{name}/{verb}")
async def change(name: str, verb: str, request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    made_from = f'"{form.get("deployment", "")}"'
    try:
        await page.api.post(f"/api/v1/rules/{segment(name)}:{segment(verb)}", {}, made_from)
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, name, refused)
    return page.go(f"/rules/{segment(name)}", DONE.get(verb))


async def _show(page: Page, name: str, refused: ApiRefused | None = None) -> Response:
    answer = await page.api.answer(f"/api/v1/rules/{segment(name)}")
    found, deployment = answer.json(), answer.headers.get("etag", "").strip('"')
    detections, alerts, text, graph = await asyncio.gather(
        page.api.get("/api/v1/detections", rule=name, order="newest", limit=10),
        page.api.get("/api/v1/alerts", rule=name, order="newest", limit=10),
        _text(page, found, deployment),
        page.api.get(f"/api/v1/rules/{segment(name)}/graph"),
    )
    return await page.show(
        "rule.html",
        refused,
        rule=found,
        deployment=deployment,
        detections=detections["items"],
        alerts=alerts["items"],
        text=text,
        drawing=drawing(graph),
    )


async def _text(page: Page, rule: Mapping[str, Any], deployment: str) -> str | None:
    """The text that declares the rule; None on a server whose rules do not change."""
    try:
        found = await page.api.get(f"/api/v1/deployments/{segment(deployment)}")
    except ApiRefused:
        return None
    text: str | None = found["texts"].get(rule["text"])
    return text
