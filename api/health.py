"""GET /healthz: whether the store answers and the engine runs, and how far it is behind the log."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from api import schemas
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.errors import SourceError
from cep.store import reads
from cep.store.tables import checkpoint

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=schemas.Health)
def healthz(state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """200 when all is well, 503 with the reason otherwise.

    `degraded` are rules that were refused partial matches at a limit.
    """
    reason = state.health()
    if reason is not None:
        raise Problem(Kind.UNAVAILABLE, reason)
    try:
        with state.engine.connect() as connection:
            connection.execution_options(read_only=True)
            connection.execute(select(checkpoint.c.partition).limit(1))
    except SQLAlchemyError as error:
        raise Problem(Kind.UNAVAILABLE, "the store does not answer") from error
    intake = state.intake()
    partitions = [
        {"partition": name, "behind": behind, "intake": intake.get(name)}
        for name, behind in records_behind(state).items()
    ]
    degraded = sorted(reads.capped_per_rule(state.engine))
    found = {"status": "ok", "partitions": partitions, "degraded": degraded}
    return json_response(orjson.dumps(found))


def records_behind(state: ApiState) -> dict[str, int | None]:
    """Records of the log that are not committed, by partition; None while the log is gone."""
    log = state.log
    if log is None:
        return {}
    committed = {found.partition: found for found in reads.partitions(state.engine)}

    def behind(partition: str) -> int | None:
        found = committed.get(partition)
        position, bookmark = (found.position, found.bookmark) if found is not None else (0, "")
        try:
            return max(0, log.end(partition, bookmark) - position)
        except SourceError:
            return None

    return {name: behind(name) for name in log.partitions}
