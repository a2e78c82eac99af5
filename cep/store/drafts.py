"""Drafts: texts of rules that somebody is writing, one by each name.

`version` counts the changes of a draft; who changes one says which version they saw, so two people
do not undo one another's work.  Each function is one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cep.store.connect import reading
from cep.store.failures import named_errors
from cep.store.tables import draft


@dataclass(frozen=True, slots=True)
class Draft:
    """`made_from` is the deployment it was begun from."""

    name: str
    text: str
    made_from: int
    version: int
    actor: str
    changed_ms: int


def listed(engine: Engine, after: str, limit: int) -> list[Draft]:
    """By name."""
    query = select(draft).where(draft.c.name > after).order_by(draft.c.name).limit(limit)
    with named_errors("read"), reading(engine) as connection:
        return [_draft(row) for row in connection.execute(query)]


def find(engine: Engine, name: str) -> Draft | None:
    with named_errors("read"), reading(engine) as connection:
        return _find(connection, name)


def begin(
    engine: Engine, name: str, text: str, made_from: int, actor: str, now_ms: int
) -> Draft | None:
    """A new one; None when there is one of that name."""
    values = {
        "name": name,
        "text": text,
        "made_from": made_from,
        "version": 1,
        "actor": actor,
        "changed_ms": now_ms,
    }
    with named_errors("write"):
        try:
            with engine.begin() as connection:
                connection.execute(insert(draft).values(values))
        except IntegrityError:
            return None
    return Draft(name, text, made_from, 1, actor, now_ms)


def change(
    engine: Engine, name: str, text: str, seen: int | None, actor: str, now_ms: int
) -> Draft | None:
    """Another text for one of which version `seen`, or, when None, any, is there; else None."""
    with named_errors("write"), engine.begin() as connection:
        found = _find(connection, name)
        if found is None or seen not in (None, found.version):
            return None
        values = {
            "text": text,
            "version": found.version + 1,
            "actor": actor,
            "changed_ms": now_ms,
        }
        connection.execute(update(draft).where(draft.c.name == name).values(values))
        return _find(connection, name)


def drop(engine: Engine, name: str, seen: int | None) -> bool:
    """False when it is not there, or not in version `seen`."""
    with named_errors("write"), engine.begin() as connection:
        found = _find(connection, name)
        if found is None or seen not in (None, found.version):
            return False
        connection.execute(delete(draft).where(draft.c.name == name))
        return True


def _find(connection: Connection, name: str) -> Draft | None:
    row = connection.execute(select(draft).where(draft.c.name == name)).first()
    return None if row is None else _draft(row)


def _draft(row: Row[Any]) -> Draft:
    return Draft(row.name, row.text, row.made_from, row.version, row.actor, row.changed_ms)
