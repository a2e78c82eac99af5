"""One alert: its evidence on a time line, what was done, who was told, and what can be done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.page import Page
from api.console.timeline import Evidence, timeline

router = APIRouter()
DETECTIONS_SHOWN = 20  # listed
DETECTIONS_DRAWN = 5  # on one time line
HISTORY_SHOWN = 100
SNOOZES = {"1": "1 hour", "4": "4 hours", "24": "1 day", "168": "1 week"}
DISPOSITIONS = ("true_positive", "false_positive", "benign", "duplicate")
DONE = {
    "acknowledge": "acknowledged",
    "assign": "assigned",
    "comment": "commented",
    "snooze": "snoozed",
    "resolve": "resolved",
    "reopen": "reopened",
}


@router.get("/alerts/{id_}")
async def alert(id_: str, request: Request) -> Response:
    return await _show(Page(request), id_)


@router.post("/alerts/{id_}/{verb}")
async def act(id_: str, verb: str, request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    body = _body(verb, form) | await page.by()
    try:
        await page.api.post(
            f"/api/v1/alerts/{segment(id_)}:{segment(verb)}", body, f'"{form.get("version", "")}"'
        )
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, id_, refused)
    return page.go(f"/alerts/{segment(id_)}", DONE.get(verb))


def _body(verb: str, form: dict[str, str]) -> dict[str, object]:
    match verb:
        case "assign":
            return {"to": form.get("to") or None}
        case "comment":
            return {"text": form.get("text", "")}
        case "snooze":
            hours = form.get("hours", "1")
            until = datetime.now(UTC) + timedelta(hours=int(hours) if hours in SNOOZES else 1)
            return {"until": until.isoformat(timespec="seconds")}
        case "resolve":
            return {"disposition": form.get("disposition", ""), "text": form.get("text", "")}
    return {}


async def _show(page: Page, id_: str, refused: ApiRefused | None = None) -> Response:
    path = f"/api/v1/alerts/{segment(id_)}"
    who, found, listed, deliveries = await asyncio.gather(
        page.who(),
        page.api.get(path),
        page.api.get(f"{path}/detections", limit=500),
        page.api.get("/api/v1/deliveries", alert=id_, order="newest", limit=50),
    )
    chosen = page.request.query_params.get("detection")
    items = listed["items"]
    drawn = [one for one in items if one["id"] == chosen] or items[-DETECTIONS_DRAWN:]
    bodies, times, attempts = await asyncio.gather(
        asyncio.gather(*(page.api.get(f"/api/v1/detections/{one['id']}") for one in drawn)),
        _time_fields(page, found["rule"]),
        _attempts(page, deliveries["items"]),
    )
    evidence = Evidence.of(bodies, times)
    return await page.show(
        "alert.html",
        refused,
        who=who,
        alert=found,
        history=found["history"][::-1],
        detections=items[-DETECTIONS_SHOWN:][::-1],
        left_out=max(0, found["detections"] - DETECTIONS_SHOWN),
        chosen=chosen,
        bodies=bodies,
        evidence=evidence,
        timeline=timeline(evidence),
        deliveries=deliveries["items"],
        attempts=attempts,
        snoozes=SNOOZES,
        dispositions=DISPOSITIONS,
    )


async def _time_fields(page: Page, rule: str) -> dict[str, list[str] | None]:
    """Where events of the rule have their time; nothing for a rule that is gone."""
    try:
        found: dict[str, list[str] | None] = (await page.api.get(f"/api/v1/rules/{segment(rule)}"))[
            "time_fields"
        ]
    except ApiRefused:
        return {}
    return found


async def _attempts(page: Page, deliveries: list[dict[str, Any]]) -> dict[str, Any]:
    """The attempts of the newest few deliveries, by their id."""
    some = [one["id"] for one in deliveries[:10]]
    found = await asyncio.gather(*(page.api.get(f"/api/v1/deliveries/{id_}") for id_ in some))
    return {id_: one["attempt_log"] for id_, one in zip(some, found, strict=True)}
