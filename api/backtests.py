"""Back-tests: ask what rules would have found, watch how far it is, read what came of it.

They run in processes of their own (`cep.backtest.jobs`), so the answer to a request is where to
look.  Text is put into the rules of a deployment as `PUT /rules/{name}` puts it, and refused for
the same reasons.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from starlette.concurrency import run_in_threadpool

from alerts.message import rfc3339, rfc3339_or_none
from api import limits, schemas
from api.access.permissions import actor
from api.bodies import BoundedRoute
from api.fields import Moment
from api.paging import (
    PAST_ALL,
    Cursor,
    Limit,
    Order,
    as_json,
    decode_cursor,
    json_response,
    page,
)
from api.problems import Kind, Problem, rules_refused
from api.rule_versions import deployer_of
from api.state import ApiState, state_of
from api.streams import Event, EventStream
from cep import limits as engine_limits
from cep.backtest import request as asked
from cep.backtest.jobs import BackTests
from cep.deployment.base import RuleBase
from cep.deployment.deployer import Deployer
from cep.errors import Busy, RulesError, UsageError
from cep.store.backtests import BacktestRow
from cep.values import iso_time

router = APIRouter(prefix="/api/v1", route_class=BoundedRoute, tags=["rules"])
State = Annotated[ApiState, Depends(state_of)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
_DEPLOYED = "deployed"


class Baseline(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deployment: Number


class NewBackTest(BaseModel):
    """`text` is put into the rules of `deployment`, by default the newest; with `rule`, only that
    rule is looked at.  `baseline`, when it is left out, is what is deployed now where the rules
    differ from that, and none where they do not."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)] | None = None
    rule: (
        Annotated[str, Field(max_length=engine_limits.RULE_NAME_CHARACTERS_MAX, min_length=1)]
        | None
    ) = None
    deployment: Number | None = None
    baseline: Baseline | Literal["deployed"] | None = None
    since: Moment | None = None
    until: Moment | None = None

    @field_validator("until")
    @classmethod
    def _later(cls, until: Moment | None, info: ValidationInfo) -> Moment | None:
        since = info.data.get("since")
        if until is not None and since is not None and until <= since:
            raise ValueError("not later than `since`")
        return until


@router.post("/backtests", status_code=202, response_model=schemas.BackTest)
def ask(body: NewBackTest, request: Request, state: State) -> Response:
    """It waits for its turn, then runs; the answer says where to look."""
    backtests, deployer = _backtests(state), deployer_of(state)
    try:
        id_ = backtests.submit(_request(body, backtests.topic, deployer), actor(request, None))
    except (RulesError, UsageError) as error:
        raise rules_refused(error) from error
    except Busy as error:
        raise Problem(Kind.BUSY, str(error)).with_headers(retry_after="30") from error
    answer = json_response(orjson.dumps(_shape(_found(backtests, id_))), 202)
    answer.headers["location"] = f"{router.prefix}/backtests/{id_}"
    return answer


@router.get("/backtests", response_model=schemas.Page[schemas.BackTest])
def list_backtests(
    state: State,
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    order: Order = Order.OLDEST,
) -> Response:
    """In the order they were asked for, or the other way round; without their results."""
    newest_first = order is Order.NEWEST
    (after,) = decode_cursor(cursor, (PAST_ALL if newest_first else 0,))
    rows = _backtests(state).listed(int(after), limit + 1, newest_first=newest_first)
    return page(rows, limit, (after,), lambda row: (row.sequence,), as_json(_shape))


@router.get("/backtests/{id_}", response_model=schemas.BackTestWithResult)
def get_backtest(id_: str, state: State) -> Response:
    """With the text that was asked about and, when it is done, the result."""
    backtests = _backtests(state)
    found = _found(backtests, id_)
    result = backtests.result(id_)
    more = {
        "text": asked.Request.of_json(found.request).text,
        "result": None if result is None else orjson.Fragment(result),
    }
    return json_response(orjson.dumps(_shape(found) | more))


@router.get("/backtests/{id_}/events", response_class=EventStream)
async def get_backtest_events(id_: str, state: State) -> Response:
    """`progress` while it waits and runs, then `done`, whatever became of it; then it ends."""
    backtests = _backtests(state)
    first = await run_in_threadpool(_found, backtests, id_)
    return state.streams.response(_events(state, backtests, first))


@router.post("/backtests/{id_}:cancel", response_model=schemas.BackTest)
def cancel(id_: str, state: State) -> Response:
    """Its process is killed, or never started."""
    backtests = _backtests(state)
    _found(backtests, id_)
    if not backtests.cancel(id_):
        raise Problem(Kind.NOT_POSSIBLE, "it is over already")
    return json_response(orjson.dumps(_shape(_found(backtests, id_))))


# -------------------------------------------------------------------------------------- parts


def _backtests(state: ApiState) -> BackTests:
    if state.backtests is None:
        raise Problem(Kind.NOT_FOUND, "this server runs no back-tests")
    return state.backtests


def _found(backtests: BackTests, id_: str) -> BacktestRow:
    found = backtests.get(id_)
    if found is None:
        raise Problem(Kind.NOT_FOUND, "no back-test has that id")
    return found


def _request(body: NewBackTest, topic: str, deployer: Deployer) -> asked.Request:
    """Raises RulesError with the diagnostics, UsageError for what cannot be run."""
    name = None if body.text is None else _name(body.text, body.rule)
    texts = {} if name is None or body.text is None else {name: body.text}
    considered = deployer.considered(texts, body.deployment)
    return asked.Request(
        topic=topic,
        deployment=considered.number,
        baseline=_baseline(body, deployer.latest().number, considered.changed, considered.number),
        name=name,
        text=body.text,
        rule=body.rule,
        since_ms=None if body.since is None else round(body.since.timestamp() * 1000),
        until_ms=None if body.until is None else round(body.until.timestamp() * 1000),
    )


def _name(text: str, rule: str | None) -> str:
    """What the text would be called if it were deployed."""
    declared = RuleBase({"": text}).rules
    first = rule if rule in declared else next(iter(declared), "back-test")
    return f"api/{first}.cep"


def _baseline(body: NewBackTest, newest: int, changed: bool, number: int) -> int | None:
    if isinstance(body.baseline, Baseline):
        return body.baseline.deployment
    if body.baseline == _DEPLOYED:
        return newest
    left_out = "baseline" not in body.model_fields_set
    return newest if left_out and (changed or number != newest) else None


async def _events(
    state: ApiState, backtests: BackTests, row: BacktestRow
) -> AsyncIterator[Event | None]:
    quiet_seconds, known = 0.0, None
    found: BacktestRow | None = row
    while found is not None:  # it is gone when many others have been made since
        if found.state.over:
            yield Event("done", orjson.dumps(_shape(found)))
            return
        now = _progress(found)
        if now != known:
            quiet_seconds, known = 0.0, now
            yield Event("progress", orjson.dumps(now))
        elif quiet_seconds >= limits.STREAM_HEARTBEAT_SECONDS:
            quiet_seconds = 0.0
            yield None
        quiet_seconds += limits.BACKTEST_POLL_SECONDS
        if not await state.streams.pause(limits.BACKTEST_POLL_SECONDS):
            return
        found = await run_in_threadpool(backtests.get, row.id)


def _progress(row: BacktestRow) -> dict[str, object]:
    return {
        "state": str(row.state),
        "records_read": row.records_read,
        "records_all": row.records_all,
    }


def _shape(row: BacktestRow) -> dict[str, object]:
    request = asked.Request.of_json(row.request)
    return {
        "id": row.id,
        **_progress(row),
        "rule": request.rule,
        "deployment": request.deployment,
        "baseline": request.baseline,
        "since": None if request.since_ms is None else iso_time(request.since_ms),
        "until": None if request.until_ms is None else iso_time(request.until_ms),
        "by": row.actor,
        "made": rfc3339(row.made_ms),
        "started": rfc3339_or_none(row.started_ms),
        "finished": rfc3339_or_none(row.finished_ms),
        "error": row.error,
    }
