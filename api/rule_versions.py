"""GET /api/v1/rules/{name}/versions: the texts that a rule has had, and how two of them differ."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response

from alerts.message import rfc3339
from api import limits, schemas
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep import limits as engine_limits
from cep.deployment import versions
from cep.deployment.deployer import Deployer
from cep.deployment.versions import Version

router = APIRouter(prefix="/api/v1", tags=["rules"])
State = Annotated[ApiState, Depends(state_of)]
VersionId = Annotated[str, Query(max_length=limits.VERSION_CHARACTERS_MAX)]


@router.get("/rules/{name}/versions", response_model=schemas.Versions)
def list_versions(name: str, state: State) -> Response:
    """The newest first; the first of them runs, if the rule is still there."""
    found = [_shown(one) for one in _versions(deployer_of(state), name)]
    return json_response(orjson.dumps({"items": found}))


@router.get("/rules/{name}/diff", response_model=schemas.Difference)
def get_difference(
    name: str,
    state: State,
    before: Annotated[VersionId, Query(alias="from")],
    after: Annotated[VersionId, Query(alias="to")],
) -> Response:
    """What differs between two versions."""
    deployer = deployer_of(state)
    one, other = (version_of(deployer, name, id_) for id_ in (before, after))
    found = versions.difference(name, one, other, deployer.deployments)
    return json_response(orjson.dumps({"lines": found.lines, "same_pattern": found.same_pattern}))


def version_of(deployer: Deployer, name: str, id_: str) -> Version:
    """Raises NOT_FOUND."""
    for one in _versions(deployer, name):
        if one.id == id_:
            return one
    raise Problem(Kind.NOT_FOUND, "the rule has no version of that name")


def deployer_of(state: ApiState) -> Deployer:
    if state.deployer is None:
        raise Problem(Kind.NOT_FOUND, "the rules of this server do not change")
    return state.deployer


def _versions(deployer: Deployer, name: str) -> list[Version]:
    newest = deployer.deployments.listed(limit=engine_limits.READ_PAGE_ROWS_MAX)
    found = versions.versions(name, newest)
    if not found:
        raise Problem(Kind.NOT_FOUND, "there has been no rule of that name")
    return found


def _shown(one: Version) -> dict[str, object]:
    return {
        "version": one.id,
        "deployment": one.deployment,
        "recorded": rfc3339(one.recorded_ms),
        "what": one.what,
        "text": one.text,
    }
