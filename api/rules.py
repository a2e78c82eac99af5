"""GET /api/v1/rules: the rules that are running."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response

from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.store import reads
from dsl.model import Rule

router = APIRouter(prefix="/api/v1")


@router.get("/rules")
def list_rules(state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """In the order of the files, each with the number of its detections."""
    counts = reads.detections_per_rule(state.engine)
    items = [_rule(rule, counts.get(rule.name, 0)) for rule in state.rules.rules]
    return json_response(orjson.dumps({"items": items}))


@router.get("/rules/{name}")
def get_rule(name: str, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    for rule in state.rules.rules:
        if rule.name == name:
            count = reads.detections_per_rule(state.engine).get(name, 0)
            return json_response(orjson.dumps(_rule(rule, count)))
    raise Problem(Kind.NOT_FOUND, "no rule of that name is running")


def _rule(rule: Rule, detections: int) -> dict[str, object]:
    return {
        "name": rule.name,
        "version": rule.version,
        "title": rule.title,
        "severity": rule.severity,
        "tags": rule.tags,
        "doc": rule.doc,
        "priority": rule.priority,
        "key": [key.name for key in rule.keys],
        "events": sorted({symbol.event for symbol in rule.alphabet}),
        "within_ms": rule.within_ms,
        "notify": rule.notify,
        "detections": detections,
    }
