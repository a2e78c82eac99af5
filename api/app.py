"""The FastAPI app put together, and the addresses it may be bound to."""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import FastAPI

from api import (
    alert_feed,
    alerts,
    dead_letters,
    deliveries,
    deployments,
    destinations,
    detections,
    events,
    health,
    metrics,
    problems,
    rules,
    silences,
)
from api.hosts import KnownHosts
from api.state import ApiState
from cep.errors import UsageError
from cep.store.schema import prepare

ROUTERS = (
    health.router,
    metrics.router,
    events.router,
    rules.router,
    deployments.router,
    detections.router,
    alert_feed.router,  # before alerts, whose ids would be any word
    alerts.router,
    silences.router,
    destinations.router,
    deliveries.router,
    dead_letters.router,
)


def create_app(state: ApiState) -> FastAPI:
    """The API over one store; makes the tables it reads."""
    prepare(state.engine)
    # The interactive pages would load scripts from elsewhere.
    app = FastAPI(title="cep", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.api = state
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(KnownHosts, hosts=state.hosts)
    return app


def check_bind(host: str, *, insecure_no_auth: bool = False) -> None:
    """Raises `UsageError` unless `host` is loopback or the caller insists."""
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host.lower() == "localhost"
    if not loopback and not insecure_no_auth:
        raise UsageError(
            f"will not serve on {host}: the API has no authentication yet, so anyone who can reach "
            "that address could read detections and send events. Use --host 127.0.0.1 (and a "
            "proxy that authenticates), or insist with --insecure-no-auth"
        )
