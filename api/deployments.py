"""Rules changed while they run: PUT a rule, pause, resume, shadow, roll back; and what was done.

Each change says in `If-Match` which deployment it was made from, and is answered with the new one
(202): partitions take it up at once, and then tell from which record on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from api import limits, schemas
from api.bodies import read_body
from api.conditions import if_match, tagged
from api.openapi import if_match_header, json_body
from api.paging import Cursor, Limit, as_json, decode_cursor, json_response, page
from api.problems import Kind, Problem, rules_refused
from api.rule_versions import deployer_of, version_of
from api.state import ApiState, state_of
from cep.deployment.base import Mode, RuleBase
from cep.deployment.deployer import Deployed, Deployer
from cep.deployment.rollout import Deployment
from cep.deployment.switch import Policy
from cep.errors import RulesError, StaleDeployment, UsageError
from cep.ports import ActivationRow
from cep.values import iso_time

router = APIRouter(prefix="/api/v1", tags=["rules"])
State = Annotated[ApiState, Depends(state_of)]
E = TypeVar("E", Mode, Policy)

_BEGUN_MEMBER = {"enum": [*Policy, None], "default": Policy.DRAIN}
_SINCE = if_match_header("GET /api/v1/rules")
_BEGUN = _SINCE | json_body({"begun": _BEGUN_MEMBER})
_VERSION = _SINCE | json_body(
    {"begun": _BEGUN_MEMBER, "version": {"type": ["string", "null"], "default": None}}
)
_TEXT = _SINCE | json_body(
    {"text": {"type": "string"}, "mode": {"enum": [*Mode, None]}, "begun": _BEGUN_MEMBER},
    required=("text",),
)
CHANGE: dict[str, Any] = {
    "status_code": 202,
    "response_model": schemas.Deployment,
    "responses": {200: {"model": schemas.Deployment, "description": "There was nothing to change"}},
}


@router.get("/deployments", response_model=schemas.Page[schemas.Deployment])
def list_deployments(
    state: State, cursor: Cursor = None, limit: Limit = limits.PAGE_ROWS_DEFAULT
) -> Response:
    """In the order they were made, each with the record from which on partitions run it."""
    (after,) = decode_cursor(cursor, (0,))
    deployer = deployer_of(state)
    rows = deployer.deployments.after(int(after), limit + 1)
    shown_as = as_json(partial(_summary, deployer))
    return page(rows, limit, (after,), lambda row: (row.number,), shown_as)


@router.get("/deployments/{number}", response_model=schemas.DeploymentWithTexts)
def get_deployment(number: int, state: State) -> Response:
    """With all texts."""
    deployer = deployer_of(state)
    try:
        found = deployer.deployments.get(number)
    except (UsageError, OverflowError) as error:
        raise Problem(Kind.NOT_FOUND, "no deployment has that number") from error
    return json_response(
        orjson.dumps(_summary(deployer, found) | {"texts": dict(found.base.texts)})
    )


@router.put("/rules/{name}", openapi_extra=_TEXT, **CHANGE)
async def put_rule(name: str, request: Request, state: State) -> Response:
    """`{"text": …, "mode": "live" | "shadow" | "paused", "begun": "drain" | "drop"}`.

    The text declares the rule, and may declare more.
    """
    body = await members(request, {"text", "mode", "begun"})
    text, mode = body.get("text"), one_of(Mode, body, "mode")
    if not isinstance(text, str) or name not in RuleBase({"": text}).rules:
        raise Problem(Kind.MALFORMED_BODY, "`text` has to declare the rule of that name")

    return await changed(request, state, putting(name, text, mode, policy_of(body)))


@router.post("/rules/{name}:pause", openapi_extra=_BEGUN, **CHANGE)
async def pause(name: str, request: Request, state: State) -> Response:
    """The rule sees no events until it is resumed."""
    return await _set_mode(name, Mode.PAUSED, request, state)


@router.post("/rules/{name}:resume", openapi_extra=_BEGUN, **CHANGE)
async def resume(name: str, request: Request, state: State) -> Response:
    """The rule is live."""
    return await _set_mode(name, Mode.LIVE, request, state)


@router.post("/rules/{name}:shadow", openapi_extra=_BEGUN, **CHANGE)
async def shadow(name: str, request: Request, state: State) -> Response:
    """The rule detects and tells nobody."""
    return await _set_mode(name, Mode.SHADOW, request, state)


@router.post("/rules/{name}:rollback", openapi_extra=_VERSION, **CHANGE)
async def roll_back(name: str, request: Request, state: State) -> Response:
    """The rule has the text again that it had before its last change, or that of a `version`."""
    body = await members(request, {"begun", "version"})
    policy, wanted = policy_of(body), body.get("version")
    if not isinstance(wanted, str | None):
        raise Problem(Kind.MALFORMED_BODY, "`version` is one of GET /api/v1/rules/{name}/versions")

    def change(deployer: Deployer, made_from: int | None) -> Deployed:
        if wanted is None:
            return deployer.roll_back(name, policy, made_from)
        text = version_of(deployer, name, wanted).text
        return deployer.return_rule_to(name, text, policy, made_from)

    return await changed(request, state, change, name)


async def _set_mode(name: str, mode: Mode, request: Request, state: ApiState) -> Response:
    body = await members(request, {"begun"})
    return await changed(
        request,
        state,
        lambda deployer, made_from: deployer.set_mode([name], mode, policy_of(body), made_from),
        name,
    )


# ------------------------------------------------------------------------------------- changes

Change = Callable[[Deployer, int | None], Deployed]


def putting(name: str, text: str, mode: Mode | None, policy: Policy) -> Change:
    """The change that gives a rule its text, unless a file of the machine has it."""

    def change(deployer: Deployer, made_from: int | None) -> Deployed:
        file = deployer.latest().base.text_of(name)
        if file is not None and file in deployer.deployments.files():
            raise Problem(Kind.KEPT_IN_FILE, f"change {file}, and `cep deploy` it", file=file)
        texts = {f"api/{name}.cep": text}
        return deployer.deploy(texts, mode, policy, made_from, outside=True)

    return change


async def changed(
    request: Request, state: ApiState, change: Change, existing: str | None = None
) -> Response:
    """The answer to a change; the rule `existing` has to be there."""
    deployer, made_from = deployer_of(state), if_match(request, "GET /api/v1/rules")
    return await run_in_threadpool(_change, deployer, change, made_from, existing)


def _change(
    deployer: Deployer, change: Change, made_from: int | None, existing: str | None
) -> Response:
    if existing is not None and deployer.latest().base.text_of(existing) is None:
        raise Problem(Kind.NOT_FOUND, "no rule of that name is running")
    try:
        done = change(deployer, made_from)
    except StaleDeployment as error:
        raise Problem(Kind.STALE, str(error)) from error
    except (RulesError, UsageError) as error:
        raise rules_refused(error) from error
    found = deployer.deployments.get(done.number)
    status = 202 if done.changed else 200
    return tagged(json_response(orjson.dumps(_summary(deployer, found)), status), done.number)


async def members(request: Request, known: set[str]) -> Mapping[str, Any]:
    """The JSON object in the body, which may be empty."""
    raw = await read_body(request, limits.RULE_BODY_BYTES_MAX)
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise Problem(Kind.MALFORMED_BODY, "the body is not JSON") from error
    if not isinstance(body, dict) or not body.keys() <= known:
        allowed = ", ".join(sorted(known))
        raise Problem(Kind.MALFORMED_BODY, f"a JSON object with no members but: {allowed}")
    return body


def policy_of(body: Mapping[str, Any]) -> Policy:
    return one_of(Policy, body, "begun") or Policy.DRAIN


def one_of(kind: type[E], body: Mapping[str, Any], member: str) -> E | None:
    given = body.get(member)
    if given is None:
        return None
    try:
        return kind(given)
    except ValueError as error:
        allowed = ", ".join(kind)
        raise Problem(Kind.MALFORMED_BODY, f"`{member}` is one of: {allowed}") from error


# ------------------------------------------------------------------------------------- shapes


def _summary(deployer: Deployer, row: Deployment) -> dict[str, object]:
    placed = deployer.deployments.placed(row.number)
    return {
        "number": row.number,
        "what": row.what,
        "begun": str(row.policy),
        "recorded": iso_time(row.recorded_ms),
        "modes": {rule: str(mode) for rule, mode in row.base.modes.items()},
        "texts": list(row.base.texts),
        "partitions": [_activation(name, found) for name, found in placed.items()],
    }


def _activation(partition: str, row: ActivationRow) -> dict[str, object]:
    return {
        "partition": partition,
        "position": row.position,
        "dropped": row.dropped,
        "leaving": row.leaving,
        "refused": row.refused,
    }
