"""Rule text before it is deployed: POST /api/v1/rules:validate, :format, :test; and drawn rules.

A text is looked at together with what is deployed, whose events it may use; what it declares takes
the place of what is declared there by the same name.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

import dsl
from api import limits, schemas
from api.bodies import BoundedRoute
from api.paging import json_response
from api.problems import Kind, Problem, rules_refused
from api.state import ApiState, state_of
from cep import limits as engine_limits
from cep.deployment.base import RuleBase
from cep.errors import RulesError, UsageError
from cep.pattern_graph import graph_of
from cep.trying import Tried, try_tests
from dsl.declared import declarations
from dsl.format import format_text
from dsl.model import Rule

router = APIRouter(prefix="/api/v1", route_class=BoundedRoute, tags=["rules"])
State = Annotated[ApiState, Depends(state_of)]
_tests_under_way = threading.BoundedSemaphore(engine_limits.TESTS_AT_ONCE)


class RuleText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[
        str,
        Field(
            max_length=limits.RULE_TEXT_CHARACTERS_MAX,
            examples=['rule large "Large" { by card match p: Pay[amount > 100] alert "{card}" }'],
        ),
    ]


class TextInBase(RuleText):
    """`alone`: as if nothing was deployed; else `name` is what the text is called there."""

    name: Annotated[str, Field(min_length=1, max_length=engine_limits.RULE_PATH_CHARACTERS_MAX)] = (
        "api/draft.cep"
    )
    alone: StrictBool = False


@router.post("/rules:validate", response_model=schemas.Validated)
def validate(body: TextInBase, state: State) -> Response:
    """Every diagnostic of the text, each with its place; and what it declares, to be drawn."""
    texts = _texts(body, state)
    loaded = dsl.load_sources([dsl.Source(*named) for named in texts.items()])
    own = {one.name for one in declarations(body.text) if one.kind == "rule"}
    rules = () if loaded.rules is None else loaded.rules.rules
    reason = None if loaded.rules is None else _refusal(body, state)
    answer = {
        "valid": loaded.rules is not None and reason is None,
        "errors": loaded.to_json(),
        "reason": reason,
        "rules": [_drawn(rule) for rule in rules if rule.name in own],
    }
    return json_response(orjson.dumps(answer))


@router.post("/rules:format", response_model=schemas.Formatted)
def format_(body: RuleText) -> Response:
    """The text in the one format; one with errors of syntax is a problem that lists them."""
    try:
        text = format_text(body.text, "<text>")
    except dsl.RuleError as error:
        raise _not_rules(error) from error
    return json_response(orjson.dumps({"text": text}))


@router.post("/rules:test", response_model=schemas.TestResults)
def test(body: TextInBase, state: State) -> Response:
    """Runs the tests that the text declares, in a process of their own."""
    texts = _texts(body, state)
    if not _tests_under_way.acquire(blocking=False):
        raise Problem(Kind.BUSY, "try again in a moment").with_headers(retry_after="2")
    try:
        found = [_tried(one) for one in try_tests(texts, body.name)]
    except RulesError as error:
        raise rules_refused(error) from error
    except UsageError as error:
        raise Problem(Kind.NOT_POSSIBLE, f"the tests were not run: {error}") from error
    finally:
        _tests_under_way.release()
    passed = all(one["passed"] for one in found)
    return json_response(orjson.dumps({"passed": passed, "tests": found}))


@router.get("/rules/{name}/graph", response_model=schemas.Graph)
def get_graph(name: str, state: State) -> Response:
    """The pattern of a rule that runs, to be drawn."""
    for rule in state.current().rules.rules:
        if rule.name == name:
            return json_response(orjson.dumps(asdict(graph_of(rule))))
    raise Problem(Kind.NOT_FOUND, "no rule of that name is running")


def _texts(body: TextInBase, state: ApiState) -> dict[str, str]:
    """All texts there would be, by name."""
    base = RuleBase() if body.alone else state.current().base
    return dict(base.with_text(body.name, body.text).texts) | {body.name: body.text}


def _refusal(body: TextInBase, state: ApiState) -> str | None:
    """Why rules that compile cannot be deployed here."""
    if body.alone or state.deployer is None:
        return None
    try:
        state.deployer.considered({body.name: body.text})
    except (RulesError, UsageError) as error:
        return str(error)
    return None


def _not_rules(error: dsl.RuleError) -> Problem:
    shown = [one.to_json(error.sources[one.span.path]) for one in error.diagnostics]
    return Problem(Kind.RULES_REFUSED, errors=shown)


def _drawn(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name,
        "title": rule.title,
        "version": rule.version,
        "graph": asdict(graph_of(rule)),
    }


def _tried(one: Tried) -> dict[str, object]:
    return {
        "rule": one.rule,
        "title": one.title,
        "line": one.line,
        "passed": not one.failures,
        "failures": [asdict(failure) for failure in one.failures],
    }
