"""Drafts: /api/v1/drafts, texts of rules that are being written, until they are deployed.

Each change says in `If-Match` which version of the draft it was made from, and the first of all
says `If-None-Match: *`.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from alerts.message import rfc3339
from api import limits, schemas
from api.access.permissions import caller_of
from api.bodies import BoundedRoute
from api.conditions import if_match, tagged
from api.deployments import CHANGE, changed, members, one_of, policy_of, putting
from api.openapi import if_match_header, json_body
from api.paging import Cursor, Limit, as_json, decode_cursor, json_response, page
from api.problems import Kind, Problem
from api.rule_texts import RuleText
from api.state import ApiState, state_of
from cep.deployment.base import Mode, RuleBase
from cep.deployment.switch import Policy
from cep.store import drafts
from cep.store.drafts import Draft

router = APIRouter(prefix="/api/v1", route_class=BoundedRoute, tags=["rules"])
State = Annotated[ApiState, Depends(state_of)]
_WHERE = "GET /api/v1/drafts/{name}"
_DEPLOY = if_match_header("GET /api/v1/rules") | json_body(
    {
        "mode": {"enum": [*Mode, None]},
        "begun": {"enum": [*Policy, None], "default": Policy.DRAIN},
    }
)
_NEW_OR_SEEN: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": said,
        }
        for name, said in (
            ("If-Match", f"the ETag of {_WHERE}, or *"),
            ("If-None-Match", "* for a new one"),
        )
    ]
}


@router.get("/drafts", response_model=schemas.Page[schemas.Draft])
def list_drafts(
    state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """By name."""
    (after,) = decode_cursor(cursor, ("",))
    rows = drafts.listed(state.engine, str(after), limit + 1)
    return page(rows, limit, (after,), lambda one: (one.name,), as_json(_draft))


@router.get("/drafts/{name}", response_model=schemas.Draft)
def get_draft(name: str, state: State) -> Response:
    return _shown(_there(name, state))


@router.put(
    "/drafts/{name}",
    response_model=schemas.Draft,
    responses={201: {"model": schemas.Draft, "description": "It is new"}},
    openapi_extra=_NEW_OR_SEEN,
)
def put_draft(name: str, body: RuleText, request: Request, state: State) -> Response:
    """The text need not compile; `rules:validate` says whether it does."""
    if not 0 < len(name) <= limits.DRAFT_NAME_CHARACTERS_MAX or not name.isprintable():
        raise Problem(Kind.NOT_FOUND, "no draft can have that name")
    by, now_ms = caller_of(request).name, state.clock.now_ms()
    if request.headers.get("if-none-match") == "*":
        made_from = state.current().number
        made = drafts.begin(state.engine, name, body.text, made_from, by, now_ms)
        if made is None:
            raise Problem(Kind.STALE, "there is a draft of that name")
        return _shown(made, 201)
    seen = if_match(request, f"{_WHERE}, or If-None-Match: * for a new one")
    found = drafts.change(state.engine, name, body.text, seen, by, now_ms)
    if found is None:
        _there(name, state)
        raise Problem(Kind.STALE, "somebody has changed the draft since")
    return _shown(found)


@router.delete("/drafts/{name}", status_code=204, openapi_extra=if_match_header(_WHERE))
def delete_draft(name: str, request: Request, state: State) -> Response:
    seen = if_match(request, _WHERE)
    if not drafts.drop(state.engine, name, seen):
        _there(name, state)
        raise Problem(Kind.STALE, "somebody has changed the draft since")
    return Response(status_code=204)


@router.post("/drafts/{name}:deploy", openapi_extra=_DEPLOY, **CHANGE)
async def deploy_draft(name: str, request: Request, state: State) -> Response:
    """As PUT /rules/{name} with its text; the draft is gone when that is done."""
    if_match(request, "GET /api/v1/rules")  # raises when it is not given
    body = await members(request, {"mode", "begun"})
    found = await run_in_threadpool(_there, name, state)
    if name not in RuleBase({"": found.text}).rules:
        raise Problem(Kind.RULES_REFUSED, "the text does not declare the rule of that name")
    change = putting(name, found.text, one_of(Mode, body, "mode"), policy_of(body))
    response = await changed(request, state, change)
    await run_in_threadpool(drafts.drop, state.engine, name, found.version)
    return response


def _there(name: str, state: ApiState) -> Draft:
    found = drafts.find(state.engine, name)
    if found is None:
        raise Problem(Kind.NOT_FOUND, "there is no draft of that name")
    return found


def _shown(one: Draft, status: int = 200) -> Response:
    return tagged(json_response(orjson.dumps(_draft(one)), status), one.version)


def _draft(one: Draft) -> dict[str, object]:
    return {
        "name": one.name,
        "text": one.text,
        "made_from": one.made_from,
        "version": one.version,
        "by": one.actor,
        "changed": rfc3339(one.changed_ms),
    }
