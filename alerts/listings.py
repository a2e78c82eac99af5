"""Read-only listings of deliveries and their attempts, in pages.

Nothing here takes the write lock of an SQLite store.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, func, or_, select, tuple_

from alerts.reasons import State
from cep.store.connect import reading
from cep.store.tables import delivery, delivery_attempt, delivery_detection, outbox


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """A delivery without its bytes; times are wall-clock ms."""

    id: str
    sequence: int
    kind: str
    detection_id: str | None
    alert_id: str | None
    number: int
    destination: str
    state: str
    reason: str | None
    attempts: int
    next_attempt_ms: int
    created_ms: int
    finished_ms: int | None
    recipients: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class ListedAttempt:
    number: int
    started_ms: int
    duration_ms: int
    reason: str
    status: int | None
    answer: bytes
    error: str | None


_LISTED = tuple(delivery.c[name] for name in ListedDelivery.__slots__)
_ATTEMPT = tuple(delivery_attempt.c[name] for name in ListedAttempt.__slots__)


def list_deliveries(
    engine: Engine,
    *,
    after: tuple[int, int, str] = (0, 0, ""),
    limit: int = 100,
    state: State | None = None,
    destination: str | None = None,
    detection_id: str | None = None,
    alert_id: str | None = None,
    newest_first: bool = False,
) -> list[ListedDelivery]:
    """At most `limit` deliveries after the (sequence, created, id) of the last one seen, or before
    it if the newest are first.

    Those of a detection, or an alert, include the gathered ones that tell of it.
    """
    order = delivery.c.sequence, delivery.c.created_ms, delivery.c.id
    behind = tuple_(*order) < after if newest_first else tuple_(*order) > after
    query = select(*_LISTED).where(behind)
    if state is not None:
        query = query.where(delivery.c.state == state)
    if destination is not None:
        query = query.where(delivery.c.destination == destination)
    if detection_id is not None:
        together = _gathered(delivery_detection.c.detection_id == detection_id)
        query = query.where(or_(delivery.c.detection_id == detection_id, together))
    if alert_id is not None:
        together = _gathered(delivery_detection.c.alert_id == alert_id)
        query = query.where(or_(delivery.c.alert_id == alert_id, together))
    with reading(engine) as connection:
        ordered = query.order_by(*(one.desc() if newest_first else one for one in order))
        return [ListedDelivery(*row) for row in connection.execute(ordered.limit(limit))]


def _gathered(of: ColumnElement[bool]) -> ColumnElement[bool]:
    return delivery.c.id.in_(select(delivery_detection.c.delivery_id).where(of))


def find_delivery(engine: Engine, id_: str) -> tuple[ListedDelivery, list[ListedAttempt]] | None:
    """A delivery and the log of its attempts, or None."""
    attempts = (
        select(*_ATTEMPT)
        .where(delivery_attempt.c.delivery_id == id_)
        .order_by(delivery_attempt.c.number)
    )
    with reading(engine) as connection:
        row = connection.execute(select(*_LISTED).where(delivery.c.id == id_)).one_or_none()
        if row is None:
            return None
        log = [ListedAttempt(*attempt) for attempt in connection.execute(attempts)]
        return ListedDelivery(*row), log


def has_deliveries(engine: Engine, destination: str) -> bool:
    query = select(delivery.c.id).where(delivery.c.destination == destination).limit(1)
    with reading(engine) as connection:
        return connection.execute(query).first() is not None


def counts_by_state(engine: Engine) -> dict[tuple[str, str], int]:
    """How many deliveries each (destination, state) has."""
    query = select(delivery.c.destination, delivery.c.state, func.count()).group_by(
        delivery.c.destination, delivery.c.state
    )
    with reading(engine) as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def attempts_by_reason(engine: Engine) -> dict[str, int]:
    query = select(delivery_attempt.c.reason, func.count()).group_by(delivery_attempt.c.reason)
    with reading(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def outbox_rows(engine: Engine) -> int:
    """How many rows no dispatcher has taken yet."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()
