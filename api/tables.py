"""Tables and lists: GET /api/v1/tables, and their rows, as the state in the store has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import orjson
from fastapi import APIRouter, Depends, Query, Response

from api import limits, schemas
from api.paging import Cursor, Limit, decode_cursor, json_response, page
from api.problems import Kind, Problem
from api.state import ApiState, state_of
from cep.limits import BEGINNING_OF_TIME_MS
from cep.store import reads
from cep.tables.stored import LastChange, StoredRow, Summary
from cep.values import exact_digits, iso_time
from dsl.model import Field, RuleSet, Table
from matcher.lookup.reference_data import tables_read
from matcher.record import BadEvent

router = APIRouter(prefix="/api/v1", tags=["tables"])
State = Annotated[ApiState, Depends(state_of)]
Partition = Annotated[
    str | None, Query(max_length=200, description="the first one, if it is not given")
]
Key = Annotated[
    list[Annotated[str, Query(max_length=limits.KEY_CHARACTERS_MAX)]] | None,
    Query(max_length=limits.KEY_PARTS_MAX, description="its parts, as texts, in their order"),
]


class _Found(NamedTuple):
    declared: Table
    partition: str


@router.get("/tables", response_model=schemas.Tables)
def list_tables(state: State) -> Response:
    """As they are declared; rows are kept of those that a rule looks into."""
    rules = state.current().rules
    read = {one.name for one in tables_read(rules)}
    items = [_declaration(one, rules, read) for one in _declared(rules).values()]
    return json_response(orjson.dumps({"items": items}))


@router.get("/tables/{name}", response_model=schemas.TableState)
def get_table(name: str, state: State, partition: Partition = None) -> Response:
    """How many rows there are, and when they last changed."""
    rules = state.current().rules
    found = _found(name, state, rules, partition)
    read = {one.name for one in tables_read(rules)}
    summary = state.tables.summary(found.partition, found.declared)
    shown = _declaration(found.declared, rules, read) | _summary(found.partition, summary)
    return json_response(orjson.dumps(shown))


@router.get("/tables/{name}/rows", response_model=schemas.Page[schemas.TableRow])
def list_rows(
    name: str,
    state: State,
    cursor: Cursor = None,
    limit: Limit = limits.PAGE_ROWS_DEFAULT,
    partition: Partition = None,
    key: Key = None,
) -> Response:
    """In the order they were written, or the one with a `key`; of networks the longest that holds
    that address."""
    (after,) = decode_cursor(cursor, (-1,))
    found = _found(name, state, state.current().rules, partition)
    if key:
        rows = _looked_up(found, state, key)
    else:
        rows = state.tables.rows(found.partition, found.declared, int(after), limit + 1)
    return page(rows, limit, (after,), lambda one: (one.number,), _row)


def _looked_up(found: _Found, state: ApiState, key: list[str]) -> list[StoredRow]:
    try:
        row = state.tables.find(found.partition, found.declared, key)
    except BadEvent as error:
        fault = {"parameter": "key", "reason": str(error)}
        raise Problem(Kind.INVALID_PARAMETERS, errors=[fault]) from error
    return [] if row is None else [row]


def _declared(rules: RuleSet) -> Mapping[str, Table]:
    return {**rules.tables, **rules.lists}


def _found(name: str, state: ApiState, rules: RuleSet, partition: str | None) -> _Found:
    declared = _declared(rules).get(name)
    if declared is None:
        raise Problem(Kind.NOT_FOUND, "no table or list of that name is declared")
    known = [one.partition for one in reads.partitions(state.engine)]
    if partition is None:
        return _Found(declared, known[0] if known else "")
    if partition not in known:
        raise Problem(Kind.NOT_FOUND, "there is no partition of that name")
    return _Found(declared, partition)


# ------------------------------------------------------------------------------------- shapes


def _declaration(one: Table, rules: RuleSet, read: set[str]) -> dict[str, object]:
    source = None
    if one.source is not None:
        source = {"kind": one.source.kind, "address": one.source.address}
    return {
        "name": one.name,
        "kind": "list" if one.name in rules.lists else "table",
        "fields": [_field(field, one) for field in one.fields],
        "source": source,
        "written": one.values is not None,
        "read": one.name in read,
    }


def _field(field: Field, table: Table) -> dict[str, object]:
    return {
        "name": field.name,
        "type": field.type.kind,
        "optional": field.type.optional,
        "key": field.name in table.key,
    }


def _summary(partition: str, summary: Summary) -> dict[str, object]:
    return {
        "partition": partition,
        "loaded": summary.loaded,
        "rows": summary.rows,
        "bad_rows": summary.bad_rows,
        "changed": None if summary.changed is None else _change(summary.changed),
    }


def _change(last: LastChange) -> dict[str, object]:
    began = last.at_ms > BEGINNING_OF_TIME_MS
    return {
        "position": max(0, last.position),
        "at": iso_time(last.at_ms) if began else None,
    }


def _row(row: StoredRow) -> bytes:
    return orjson.dumps({"number": row.number, "values": row.values}, default=exact_digits)
