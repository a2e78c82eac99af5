"""The first page: how much comes in, how far behind, alerts over time, and what needs a look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import JSONResponse

from api.console.client import ApiRefused
from api.console.page import Page

router = APIRouter()

_SUMS = {
    "received": "cep_events_received_total",
    "processed": "cep_events_processed_total",
    "late": "cep_events_late_total",
    "dead_lettered": "cep_events_dead_lettered_total",
    "quarantined": "cep_events_quarantined_total",
    "detections": "cep_detections_total",
    "behind": "cep_records_behind",
    "outbox": "cep_outbox_rows",
}
HOURS = 24
BARS = 48


@router.get("/")
async def overview(request: Request) -> Response:
    page = Page(request)
    figures, opened, rules, destinations, health, newest = await asyncio.gather(
        _figures(page),
        page.api.get("/api/v1/alerts/opened", hours=HOURS, bars=BARS),
        page.api.get("/api/v1/rules"),
        page.api.get("/api/v1/destinations"),
        _trouble(page),
        page.api.get("/api/v1/alerts", state="open", order="newest", limit=8),
    )
    items = rules["items"]
    return await page.show(
        "overview.html",
        figures=figures,
        opened=opened,
        hours=HOURS,
        trouble=health,
        rules=items,
        degraded=[one for one in items if one["degraded"]],
        silent=[one for one in items if not one["detections"] and one["mode"] == "live"],
        idle=[one for one in items if one["mode"] != "live"],
        failing=[
            one
            for one in destinations["items"]
            if one["failing"] or one["disabled"] or one["deliveries"]["dead"]
        ],
        alerts=newest["items"],
    )


@router.get("/overview/figures")
async def figures(request: Request) -> Response:
    """For the chart that goes on."""
    return JSONResponse(await _figures(Page(request)))


@router.get("/overview/opened")
async def opened(request: Request) -> Response:
    return JSONResponse(
        await Page(request).api.get("/api/v1/alerts/opened", hours=HOURS, bars=BARS)
    )


async def _trouble(page: Page) -> Mapping[str, Any] | None:
    """What is wrong with the program; it is a problem of its own, not of this page."""
    try:
        await page.api.get("/healthz")
    except ApiRefused as refused:
        return refused.document
    return None


async def _figures(page: Page) -> dict[str, Any]:
    """Sums over the partitions, alerts by state, and the largest lag of a watermark."""
    text = (await page.api.answer("/metrics")).text
    sums = dict.fromkeys(_SUMS, 0)
    named = {metric: name for name, metric in _SUMS.items()}
    alerts: dict[str, int] = {}
    lags: list[float] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in named:
                sums[named[sample.name]] += int(sample.value)
            elif sample.name == "cep_alerts":
                alerts[sample.labels["state"]] = int(sample.value)
            elif sample.name == "cep_watermark_lag_seconds":
                lags.append(sample.value)
    lag = round(max(lags), 1) if lags else None
    return {**sums, "alerts": alerts, "watermark_lag_seconds": lag}
