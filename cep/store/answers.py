"""Answers to requests that named themselves by a key, so that a repetition gets the same one.

Each function is one transaction.  Times are wall-clock ms.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cep.store.failures import named_errors
from cep.store.tables import answered


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None while the request is worked on; `headers` is JSON."""

    fingerprint: bytes
    status: int | None
    headers: str | None
    body: bytes | None
    made_ms: int


def claim(
    engine: Engine, actor: str, key: str, fingerprint: bytes, now_ms: int, *, since_ms: int
) -> Answer | None:
    """None: it is the caller's to work on, from now on.  Else what is known of it.

    What is older than `since_ms` is forgotten.
    """
    values = {"actor": actor, "key": key, "fingerprint": fingerprint, "made_ms": now_ms}
    with named_errors("write"):
        try:
            with engine.begin() as connection:
                connection.execute(delete(answered).where(answered.c.made_ms < since_ms))
                connection.execute(insert(answered).values(values))
        except IntegrityError:
            return _find(engine, actor, key)
    return None


def _find(engine: Engine, actor: str, key: str) -> Answer | None:
    query = select(
        answered.c.fingerprint,
        answered.c.status,
        answered.c.headers,
        answered.c.body,
        answered.c.made_ms,
    ).where(answered.c.actor == actor, answered.c.key == key)
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        row = connection.execute(query).first()
        return None if row is None else Answer(*row)


def keep(engine: Engine, actor: str, key: str, status: int, headers: str, body: bytes) -> None:
    values = {"status": status, "headers": headers, "body": body}
    with named_errors("write"), engine.begin() as connection:
        mine = (answered.c.actor == actor) & (answered.c.key == key)
        connection.execute(update(answered).where(mine).values(values))


def forget(engine: Engine, actor: str, key: str) -> None:
    """It may be worked on again."""
    with named_errors("write"), engine.begin() as connection:
        mine = (answered.c.actor == actor) & (answered.c.key == key)
        connection.execute(delete(answered).where(mine))
