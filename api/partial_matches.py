"""GET /api/v1/rules/{name}/partial-matches: who waits for what, as of the last checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response

from api import limits, schemas
from api.paging import Cursor, Limit, decode_cursor, encode_cursor, json_response
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.errors import UsageError
from cep.partial import START, PartialMatch, Partials, partial_matches
from cep.store import reads
from cep.values import exact_digits, iso_time
from dsl.model import RuleSet

router = APIRouter(prefix="/api/v1", tags=["rules"])
_turn = threading.Semaphore(limits.PARTIAL_MATCHES_AT_ONCE)


@router.get("/rules/{name}/partial-matches", response_model=schemas.PartialMatches)
def list_partial_matches(
    name: str,
    state: Annotated[ApiState, Depends(state_of)],
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    key: Annotated[list[str] | None, Query(max_length=limits.KEY_PARTS_MAX)] = None,
) -> Response:
    """The earliest started first; `key` is NAME=VALUE, once for each part of the rule's key."""
    current = state.current()
    if all(rule.name != name for rule in current.rules.rules):
        raise Problem(Kind.NOT_FOUND, "no rule of that name is running")
    deployer = state.deployer

    def rules_of(number: int) -> RuleSet:
        if deployer is None or number == 0:
            return current.rules
        return deployer.deployments.rules(number)

    first, place, partition, number = decode_cursor(cursor, START)
    after = int(first), int(place), int(partition), int(number)
    with _a_turn():
        try:
            stored = reads.pages_of_rule(state.engine, name, limits.PARTIAL_MATCHES_BYTES_MAX)
            found = partial_matches(stored, rules_of, name, _key(key or ()), after, limit + 1)
        except UsageError as error:
            raise Problem(Kind.NOT_POSSIBLE, str(error)) from error
    return json_response(_answer(found, limit, encode_cursor(*after)))


@contextmanager
def _a_turn() -> Iterator[None]:
    """Reading state takes memory and the processor: only so many do at once."""
    if not _turn.acquire(timeout=limits.PARTIAL_MATCHES_WAIT_SECONDS):
        raise Problem(Kind.UNAVAILABLE, "others ask for partial matches now: try again")
    try:
        yield
    finally:
        _turn.release()


def _key(parts: list[str] | tuple[str, ...]) -> dict[str, str]:
    found = {}
    for part in parts:
        name, sign, value = part.partition("=")
        if not sign:
            fault = {"parameter": "key", "reason": "not NAME=VALUE"}
            raise Problem(Kind.INVALID_PARAMETERS, errors=[fault])
        found[name] = value
    return found


def _answer(found: Partials, limit: int, before: str) -> bytes:
    items = found.items[:limit]
    document = {
        "rule": found.rule.name,
        "version": found.rule.version,
        "kind": found.kind,
        "parts": found.parts,
        "as_of": [
            {
                "partition": at.partition,
                "position": at.position,
                "watermark": iso_time(at.watermark_ms),
            }
            for at in found.as_of
        ],
        "total": found.total,
        "funnel": [
            {"step": step, "partial_matches": count} for step, count in found.funnel.items()
        ],
        "notes": found.notes,
        "items": [_item(item) for item in items],
        "next": encode_cursor(*items[-1].place) if items else before,
        "more": len(found.items) > limit,
    }
    return orjson.dumps(document, exact_digits)


def _item(item: PartialMatch) -> dict[str, object]:
    return {
        "partition": item.partition,
        "key": item.key,
        "step": item.step,
        "reached": item.reached,
        "events": item.events,
        "bound": [{"step": step, "position": position} for step, position in item.bound],
        "awaits": item.awaits,
        "started": iso_time(item.started_ms),
        "deadline": None if item.ends_ms is None else iso_time(item.ends_ms),
        "at_deadline": None if item.ends_ms is None else "matches" if item.fires else "ends",
    }
