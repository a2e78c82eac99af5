"""The FastAPI app put together."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from api import (
    alert_feed,
    alerts,
    audit,
    backtests,
    dead_letters,
    deliveries,
    deployments,
    destinations,
    detections,
    drafts,
    events,
    explanations,
    health,
    keys,
    logins,
    metrics,
    partial_matches,
    people,
    problems,
    rule_texts,
    rule_versions,
    rules,
    silences,
    tables,
)
from api.access.gate import Gate
from api.access.permissions import authorize
from api.access.recording import Recording
from api.console import app as console
from api.hosts import KnownHosts
from api.idempotency import Idempotency
from api.openapi import PROBLEMS, describe
from api.state import ApiState
from cep.store.schema import prepare

ROUTERS = (
    health.router,
    metrics.router,
    events.router,
    rules.router,
    rule_texts.router,
    explanations.router,
    rule_versions.router,
    drafts.router,
    partial_matches.router,
    deployments.router,
    backtests.router,
    detections.router,
    tables.router,
    alert_feed.router,  # before alerts, whose ids would be any word
    alerts.router,
    silences.router,
    destinations.router,
    deliveries.router,
    dead_letters.router,
    logins.router,
    people.router,
    keys.router,
    audit.router,
)


def create_app(state: ApiState) -> FastAPI:
    """The API over one store, and the console on it; makes the tables it reads."""
    prepare(state.engine)
    # The interactive pages would load scripts from elsewhere.
    app = FastAPI(
        title="cep",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        dependencies=[Depends(authorize)],
        responses=PROBLEMS,
    )
    app.state.api = state
    for router in ROUTERS:
        app.include_router(router)
    console.install(app)
    problems.install(app, ROUTERS)
    describe(app)
    # Outermost last: a request's host, who asks, whether they asked before, what they ask for.
    app.add_middleware(Recording, state=state)
    app.add_middleware(Idempotency, state=state)
    app.add_middleware(Gate, state=state)
    app.add_middleware(KnownHosts, hosts=state.hosts)
    return app
