"""The audit: who asked for which change, from where, and what was answered.

Entries have numbers without gaps, and each holds the hash of the one before it, so an entry that
was changed, left out or put in later does not fit: whoever has written down the hash of a newest
entry can have everything up to it verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from cep.store.connect import reading
from cep.store.tables import audit

_NOTHING_BEFORE = "0" * 64
_TRIES = 20
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """`detail` is a JSON object; `hash` is of all the rest and of the entry before."""

    number: int
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: str
    hash: str


def record(
    engine: Engine, at_ms: int, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> int:
    """One more entry, durable when this returns with its number."""
    text = orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode()
    for _ in range(_TRIES):
        try:
            with engine.begin() as connection:
                return _append(connection, at_ms, actor, action, subject, text)
        except IntegrityError:  # another one took the number; SQLite's writers wait instead
            continue
    with engine.begin() as connection:
        return _append(connection, at_ms, actor, action, subject, text)


def _append(
    connection: Connection, at_ms: int, actor: str, action: str, subject: str, detail: str
) -> int:
    query = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    newest = connection.execute(query).first()
    number, before = (newest.number + 1, newest.hash) if newest else (1, _NOTHING_BEFORE)
    values = {
        "number": number,
        "at_ms": at_ms,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": detail,
    }
    connection.execute(insert(audit).values(values | {"hash": _hash(before, *values.values())}))
    return int(number)


def entries(
    engine: Engine,
    after: int,
    limit: int,
    actor: str | None = None,
    subject: str | None = None,
    newest_first: bool = False,
) -> list[Entry]:
    """In their order, behind the one of number `after`; or the newest first, before that one."""
    behind = audit.c.number < after if newest_first else audit.c.number > after
    order = audit.c.number.desc() if newest_first else audit.c.number
    query = select(audit).where(behind).order_by(order).limit(limit)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    with reading(engine) as connection:
        return [Entry(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Verified:
    """`wrong` is the number of the first entry that does not fit; `hash` that of the last good."""

    entries: int
    hash: str
    wrong: int | None


def verify(engine: Engine) -> Verified:
    """Reads the whole audit."""
    number, hash_ = 0, _NOTHING_BEFORE
    for one in _all(engine):
        values = (one.number, one.at_ms, one.actor, one.action, one.subject, one.detail)
        if one.number != number + 1 or one.hash != _hash(hash_, *values):
            return Verified(number, hash_, number + 1)
        number, hash_ = one.number, one.hash
    return Verified(number, hash_, None)


def _all(engine: Engine) -> Iterator[Entry]:
    after = 0
    while found := entries(engine, after, _ROWS_AT_ONCE):
        yield from found
        after = found[-1].number


def _hash(before: str, *values: object) -> str:
    return hashlib.sha256(orjson.dumps([before, *values])).hexdigest()
