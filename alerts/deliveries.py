"""The memory of what was sent: every read and write of the delivery tables.

Each function is one transaction.  A delivery's id is a hash of (detection, destination), so an
outbox row seen twice makes one delivery.  Only one dispatcher works on a store at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from alerts import limits
from alerts.message import Subject
from alerts.reasons import Reason, State
from alerts.verdict import Verdict
from cep.store.tables import (
    delivery,
    delivery_attempt,
    destination_state,
    detection,
    outbox,
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """`destination` as the rule names it; `default` stands for the configured list."""

    sequence: int
    destination: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """`state` is pending, or dead with a `reason`; `body` may be rendered later."""

    detection_id: str
    destination: str
    sequence: int
    created_ms: int
    channel: str | None = None
    body: bytes | None = None
    state: State = State.PENDING
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A pending delivery; `recipients` says what became of each so far (e-mail only)."""

    id: str
    detection_id: str
    destination: str
    sequence: int
    attempts: int
    attempts_forgiven: int
    created_ms: int
    channel: str | None
    body: bytes | None
    recipients: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One finished attempt; `answer` and `error` are redacted and cut."""

    started_ms: int
    duration_ms: int
    reason: Reason
    status: int | None = None
    answer: bytes = b""
    error: str | None = None
    recipients: Mapping[str, str] = field(default_factory=dict)


def delivery_id(detection_id: str, destination: str) -> str:
    """32 hex digits, the same for ever; it is the `webhook-id` of every attempt."""
    return hashlib.sha256(f"{detection_id}\n{destination}".encode()).hexdigest()[:32]


# ---------------------------------------------------------------------------------- outbox


def read_outbox(engine: Engine, rows_max: int = limits.CLAIM_ROWS_MAX) -> list[OutboxRow]:
    """The oldest rows of the outbox with their detections, in order."""
    query = (
        select(outbox.c.sequence, outbox.c.destination, *_SUBJECT)
        .join(detection, detection.c.id == outbox.c.detection_id)
        .order_by(outbox.c.sequence)
        .limit(rows_max)
    )
    with reading(engine) as connection:
        return [OutboxRow(row[0], row[1], Subject(*row[2:])) for row in connection.execute(query)]


def move_from_outbox(
    engine: Engine, rows: Sequence[OutboxRow], deliveries: Sequence[NewDelivery]
) -> int:
    """Replaces outbox rows by deliveries in one transaction; the number of new deliveries."""
    with engine.begin() as connection:
        known = _known_ids(connection, {one.detection_id for one in deliveries})
        fresh: dict[str, dict[str, object]] = {}
        for one in deliveries:
            id_ = delivery_id(one.detection_id, one.destination)
            if id_ not in known:
                fresh.setdefault(id_, _new_row(id_, one))
        if fresh:
            connection.execute(insert(delivery), list(fresh.values()))
        connection.execute(
            delete(outbox).where(outbox.c.sequence.in_([row.sequence for row in rows]))
        )
    return len(fresh)


def _known_ids(connection: Connection, detection_ids: Collection[str]) -> set[str]:
    query = select(delivery.c.id).where(delivery.c.detection_id.in_(list(detection_ids)))
    return set(connection.scalars(query))


def _new_row(id_: str, one: NewDelivery) -> dict[str, object]:
    return {
        "id": id_,
        "detection_id": one.detection_id,
        "destination": one.destination,
        "sequence": one.sequence,
        "state": one.state,
        "reason": one.reason,
        "attempts": 0,
        "attempts_forgiven": 0,
        "next_attempt_ms": one.created_ms,
        "created_ms": one.created_ms,
        "finished_ms": one.created_ms if one.state is State.DEAD else None,
        "channel": one.channel,
        "body": one.body,
        "recipients": None,
    }


# ---------------------------------------------------------------------------------- sending


def due_destinations(engine: Engine, now_ms: int) -> list[str]:
    """The destinations that have something to send now, by name."""
    query = (
        select(delivery.c.destination)
        .where(delivery.c.state == State.PENDING, delivery.c.next_attempt_ms <= now_ms)
        .distinct()
        .order_by(delivery.c.destination)
    )
    with reading(engine) as connection:
        return list(connection.scalars(query))


def due_deliveries(
    engine: Engine, destination: str, now_ms: int, under_way: Collection[str], rows_max: int
) -> list[Delivery]:
    """What to send next to a destination: longest due first, then in order of the outbox."""
    query = (
        select(*_DELIVERY)
        .where(
            delivery.c.state == State.PENDING,
            delivery.c.destination == destination,
            delivery.c.next_attempt_ms <= now_ms,
            delivery.c.id.not_in(list(under_way)),
        )
        .order_by(delivery.c.next_attempt_ms, delivery.c.sequence)
        .limit(rows_max)
    )
    with reading(engine) as connection:
        return [
            Delivery(**{**row._mapping, "recipients": json.loads(row.recipients or "{}")})
            for row in connection.execute(query)
        ]


def load_subject(engine: Engine, detection_id: str) -> Subject:
    with reading(engine) as connection:
        row = connection.execute(select(*_SUBJECT).where(detection.c.id == detection_id)).one()
        return Subject(*row)


def save_body(engine: Engine, id_: str, channel: str, body: bytes) -> None:
    """Keeps the bytes of a message before it is first sent."""
    with engine.begin() as connection:
        connection.execute(
            update(delivery).where(delivery.c.id == id_).values(channel=channel, body=body)
        )


def record_attempt(
    engine: Engine,
    one: Delivery,
    attempt: AttemptRecord,
    verdict: Verdict,
) -> None:
    """Writes the attempt and what follows from it, the end of the destination included."""
    finished_ms = attempt.started_ms + attempt.duration_ms
    over = verdict.next_attempt_ms is None
    with engine.begin() as connection:
        if verdict.disable:
            _disable(connection, one.destination, f"an answer said {attempt.reason}", finished_ms)
        connection.execute(
            insert(delivery_attempt).values(
                delivery_id=one.id,
                number=one.attempts + 1,
                started_ms=attempt.started_ms,
                duration_ms=attempt.duration_ms,
                reason=attempt.reason,
                status=attempt.status,
                answer=attempt.answer,
                error=attempt.error,
            )
        )
        connection.execute(
            update(delivery)
            .where(delivery.c.id == one.id)
            .values(
                state=verdict.state,
                reason=verdict.reason,
                attempts=one.attempts + 1,
                next_attempt_ms=finished_ms if over else verdict.next_attempt_ms,
                finished_ms=finished_ms if over else None,
                recipients=json.dumps(dict(attempt.recipients)) if attempt.recipients else None,
            )
        )


# ---------------------------------------------------------------------------------- operators


def replay(
    engine: Engine, now_ms: int, *, id_: str | None = None, destination: str | None = None
) -> int:
    """Makes dead deliveries pending again with a fresh schedule; how many they are.

    One by its id, or all of a destination.  Ids and bytes stay the same.
    """
    if (id_ is None) == (destination is None):
        raise ValueError("replay takes an id or a destination")
    chosen = delivery.c.id == id_ if id_ is not None else delivery.c.destination == destination
    with engine.begin() as connection:
        return connection.execute(
            update(delivery)
            .where(chosen, delivery.c.state == State.DEAD)
            .values(
                state=State.PENDING,
                attempts_forgiven=delivery.c.attempts,
                next_attempt_ms=now_ms,
                finished_ms=None,
            )
        ).rowcount


def disable_destination(engine: Engine, name: str, reason: str, now_ms: int) -> None:
    """Nothing is sent to `name` until it is enabled again; what would be is dead."""
    with engine.begin() as connection:
        _disable(connection, name, reason, now_ms)


def _disable(connection: Connection, name: str, reason: str, now_ms: int) -> None:
    connection.execute(delete(destination_state).where(destination_state.c.name == name))
    connection.execute(
        insert(destination_state).values(name=name, disabled_reason=reason, disabled_ms=now_ms)
    )


def enable_destination(engine: Engine, name: str) -> bool:
    """Whether it was disabled.  Dead deliveries stay dead until they are replayed."""
    with engine.begin() as connection:
        gone = delete(destination_state).where(destination_state.c.name == name)
        return connection.execute(gone).rowcount > 0


def disabled_destinations(engine: Engine) -> dict[str, str]:
    """The reason of each."""
    query = select(destination_state.c.name, destination_state.c.disabled_reason)
    with reading(engine) as connection:
        return {row.name: row.disabled_reason for row in connection.execute(query)}


def counts_by_state(engine: Engine) -> dict[tuple[str, str], int]:
    """How many deliveries each (destination, state) has."""
    query = select(delivery.c.destination, delivery.c.state, func.count()).group_by(
        delivery.c.destination, delivery.c.state
    )
    with reading(engine) as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query)}


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that does not take the write lock of SQLite."""
    with engine.connect() as connection:
        connection.execution_options(read_only=True)
        yield connection


_SUBJECT = (
    detection.c.id,
    detection.c.rule,
    detection.c.severity,
    detection.c.at_ms,
    detection.c.body,
)
_DELIVERY = (
    delivery.c.id,
    delivery.c.detection_id,
    delivery.c.destination,
    delivery.c.sequence,
    delivery.c.attempts,
    delivery.c.attempts_forgiven,
    delivery.c.created_ms,
    delivery.c.channel,
    delivery.c.body,
    delivery.c.recipients,
)
