"""GET /api/v1/rules: the rules that run, as the newest deployment has them.

Its number is the ETag; who changes rules (`api.deployments`) gives it back in `If-Match`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response

from api import schemas
from api.conditions import tagged
from api.paging import json_response
from api.problems import Kind, Problem
from api.state import ApiState, Current, state_of
from cep.store import reads
from dsl.model import Rule

router = APIRouter(prefix="/api/v1", tags=["rules"])


@router.get("/rules", response_model=schemas.Rules)
def list_rules(state: Annotated[ApiState, Depends(state_of)]) -> Response:
    """In the order of the files, each with what has come of it."""
    counts = _Counts.of(state)
    current = state.current()
    items = [_rule(rule, current, counts) for rule in current.rules.rules]
    return tagged(json_response(orjson.dumps({"items": items})), current.number)


@router.get("/rules/{name}", response_model=schemas.Rule)
def get_rule(name: str, state: Annotated[ApiState, Depends(state_of)]) -> Response:
    current = state.current()
    for rule in current.rules.rules:
        if rule.name == name:
            shown = orjson.dumps(_rule(rule, current, _Counts.of(state)))
            return tagged(json_response(shown), current.number)
    raise Problem(Kind.NOT_FOUND, "no rule of that name is running")


@dataclass(frozen=True, slots=True)
class _Counts:
    """By rule: detections, and partial matches that were refused at a limit."""

    detections: dict[str, int]
    capped: dict[str, int]

    @staticmethod
    def of(state: ApiState) -> _Counts:
        return _Counts(reads.detections_per_rule(state.engine), reads.capped_per_rule(state.engine))


def _rule(rule: Rule, current: Current, counts: _Counts) -> dict[str, object]:
    """A rule that was refused partial matches is degraded: it may have missed something."""
    capped = counts.capped.get(rule.name, 0)
    events = {symbol.event for symbol in rule.alphabet}
    return {
        "name": rule.name,
        "version": rule.version,
        "pattern_version": rule.pattern_version,
        "mode": str(current.base.mode(rule.name)),
        "text": rule.span.path,
        "title": rule.title,
        "severity": rule.severity,
        "tags": rule.tags,
        "doc": rule.doc,
        "priority": rule.priority,
        "key": [key.name for key in rule.keys],
        "events": sorted(events),
        "time_fields": {name: _time_field(current, name) for name in sorted(events)},
        "within_ms": rule.within_ms,
        "notify": rule.notify,
        "detections": counts.detections.get(rule.name, 0),
        "capped": capped,
        "degraded": capped > 0,
    }


def _time_field(current: Current, event: str) -> list[str] | None:
    """The path in an event's JSON to its time, if one is declared."""
    declared = current.rules.events.get(event)
    if declared is None or declared.time_field is None:
        return None
    return next(
        list(field.source) for field in declared.fields if field.name == declared.time_field
    )
