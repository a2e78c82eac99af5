"""Silences: those there are, and a new one, looked at before it is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from api.console.client import ApiRefused, segment
from api.console.forms import read_form
from api.console.page import Page

router = APIRouter()
HOURS = {"1": "1 hour", "4": "4 hours", "24": "1 day", "72": "3 days", "168": "1 week"}
SEVERITIES = ("info", "low", "medium", "high", "critical")
FIELDS = ("rule", "severity", "tags", "key", "comment", "hours", "ends")


@router.get("/silences")
async def silences(request: Request) -> Response:
    return await _show(Page(request), dict(request.query_params))


@router.post("/silences/preview")
async def preview(request: Request) -> Response:
    """The form again, with what it would hide."""
    page, form = Page(request), await read_form(request)
    try:
        found = (await page.api.post("/api/v1/silences:preview", {"match": _match(form)})).json()
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, form, refused)
    return await _show(page, form, found=found)


@router.post("/silences")
async def make(request: Request) -> Response:
    page, form = Page(request), await read_form(request)
    body = {"match": _match(form), "comment": form.get("comment", ""), "ends": _ends(form)}
    try:
        await page.api.post("/api/v1/silences", body | await page.by())
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, form, refused)
    return page.go("/silences", "silenced")


@router.post("/silences/{id_}/end")
async def end(id_: str, request: Request) -> Response:
    page = Page(request)
    await read_form(request)
    try:
        await page.api.post(f"/api/v1/silences/{segment(id_)}:end")
    except ApiRefused as refused:
        if refused.status == 401:
            raise
        return await _show(page, {}, refused)
    return page.go("/silences", "ended")


def _match(form: dict[str, str]) -> dict[str, object]:
    """The matcher of the API: lists are written with commas, keys as `host=db1, host=db2`."""
    match: dict[str, object] = {
        name: _listed(form[name]) for name in ("rule", "severity", "tags") if form.get(name)
    }
    keys: dict[str, list[str]] = {}
    for pair in _listed(form.get("key", "")):
        name, _, value = pair.partition("=")
        keys.setdefault(name.strip(), []).append(value.strip())
    return match | ({"key": keys} if keys else {})


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ends(form: dict[str, str]) -> str:
    hours = form.get("hours", "1")
    until = datetime.now(UTC) + timedelta(hours=int(hours) if hours in HOURS else 1)
    return until.isoformat(timespec="seconds")


async def _show(
    page: Page,
    form: dict[str, str],
    refused: ApiRefused | None = None,
    found: dict[str, Any] | None = None,
) -> Response:
    going_on = await page.api.get("/api/v1/silences", over="false", limit=500)
    over = await page.api.get("/api/v1/silences", over="true", limit=100)
    return await page.show(
        "silences.html",
        refused,
        silences=going_on["items"],
        over=over["items"][::-1],
        form={name: form.get(name, "") for name in FIELDS},
        preview=found,
        hours=HOURS,
        severities=SEVERITIES,
    )
