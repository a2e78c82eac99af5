"""The memory of what was sent: every read and write of the delivery tables by the dispatcher.

Each function is one transaction.  A delivery's id is a hash of what it says and its destination, so
a detection told twice makes one delivery.  Only one dispatcher works on a store at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from alerts.breaker import OF_DESTINATION, Breaker
from alerts.message import Kind, Subject
from alerts.reasons import UNFINISHED, Reason, State
from alerts.verdict import Verdict
from cep.store.connect import reading
from cep.store.store import insert_new
from cep.store.tables import (
    breaker,
    delivery,
    delivery_attempt,
    delivery_detection,
    destination_state,
    detection,
    outbox,
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """`destination` as the rule names it; `default` stands for the route's, or the default ones."""

    sequence: int
    destination: str
    subject: Subject


@dataclass(slots=True)
class NewDelivery:
    """A message that was never tried: pending, gathering detections, or dead with a `reason`."""

    id: str
    kind: Kind
    destination: str
    thread: str
    sequence: int
    created_ms: int
    next_attempt_ms: int
    detection_id: str | None = None
    alert_id: str | None = None
    number: int = 1
    state: State = State.PENDING
    reason: Reason | None = None
    note: str | None = None

    def row(self) -> dict[str, object]:
        over = self.state is State.DEAD
        return {
            "id": self.id,
            "kind": self.kind,
            "detection_id": self.detection_id,
            "alert_id": self.alert_id,
            "destination": self.destination,
            "thread": self.thread,
            "number": self.number,
            "sequence": self.sequence,
            "state": self.state,
            "reason": self.reason,
            "attempts": 0,
            "attempts_forgiven": 0,
            "next_attempt_ms": self.next_attempt_ms,
            "created_ms": self.created_ms,
            "finished_ms": self.created_ms if over else None,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """A pending delivery; `recipients` says what became of each so far (e-mail only)."""

    id: str
    kind: str
    detection_id: str | None
    alert_id: str | None
    destination: str
    thread: str
    number: int
    sequence: int
    attempts: int
    attempts_forgiven: int
    created_ms: int
    channel: str | None
    body: bytes | None
    note: str | None
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

    @property
    def finished_ms(self) -> int:
        return self.started_ms + self.duration_ms


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt of a delivery, and what follows from it."""

    delivery: Delivery
    attempt: AttemptRecord
    verdict: Verdict


def delivery_id(what: str, destination: str) -> str:
    """32 hex digits, the same for ever; it is the `webhook-id` of every attempt.

    `what` is a detection's id, or says what else the message is about.
    """
    return hashlib.sha256(f"{what}\n{destination}".encode()).hexdigest()[:32]


# ---------------------------------------------------------------------------------- outbox


def read_outbox(engine: Engine, rows_max: int) -> list[OutboxRow]:
    """The oldest rows of the outbox with their detections, in order."""
    query = (
        select(outbox.c.sequence, outbox.c.destination, *SUBJECT)
        .join(detection, detection.c.id == outbox.c.detection_id)
        .order_by(outbox.c.sequence)
        .limit(rows_max)
    )
    with reading(engine) as connection:
        return [OutboxRow(row[0], row[1], Subject(*row[2:])) for row in connection.execute(query)]


def release_gathered(engine: Engine, now_ms: int) -> None:
    """Messages that have gathered for long enough take in no more, and are due."""
    over = and_(delivery.c.state == State.GATHERING, delivery.c.next_attempt_ms <= now_ms)
    with reading(engine) as connection:
        if connection.execute(select(delivery.c.id).where(over).limit(1)).first() is None:
            return
    with engine.begin() as connection:
        threads = connection.execute(select(delivery.c.thread, delivery.c.destination).where(over))
        released = [(row[0], row[1]) for row in threads]
        connection.execute(update(delivery).where(over).values(state=State.WAITING))
        _promote(connection, released)


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
    """What to send next to a destination: longest due first, then in order of the outbox.

    Of a thread only the earliest is pending (`_promote`).  A message waits, too, for an earlier one
    of another thread that has detections of its alert, as gathered ones do.
    """
    query = (
        select(*_DELIVERY)
        .where(
            delivery.c.state == State.PENDING,
            delivery.c.destination == destination,
            delivery.c.next_attempt_ms <= now_ms,
            delivery.c.id.not_in(list(under_way)),
            ~_EARLIER_OF_THREAD,
            ~_EARLIER_GATHERED,
            ~_EARLIER_ALONE,
        )
        .order_by(delivery.c.next_attempt_ms, delivery.c.sequence, delivery.c.number)
        .limit(rows_max)
    )
    with reading(engine) as connection:
        return [
            Delivery(**{**row._mapping, "recipients": json.loads(row.recipients or "{}")})
            for row in connection.execute(query)
        ]


def save_bodies(engine: Engine, bodies: Mapping[str, tuple[str, bytes]]) -> None:
    """Keeps the bytes of messages before they are first sent: channel and body, by delivery."""
    rows = [{"of": id_, "as_": channel, "bytes": body} for id_, (channel, body) in bodies.items()]
    with engine.begin() as connection:
        connection.execute(
            update(delivery)
            .where(delivery.c.id == bindparam("of"))
            .values(channel=bindparam("as_"), body=bindparam("bytes")),
            rows,
        )


def record(
    engine: Engine,
    finished: Sequence[Finished],
    breakers: Mapping[str, Breaker | None] = MappingProxyType({}),
    recovered: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Writes attempts and what follows from them: ends of destinations, and changed breakers.

    What waits for a destination that has `recovered`, by name and when, is due at once.  What was
    recorded already, by a commit whose answer got lost, may be recorded again.
    """
    with engine.begin() as connection:
        for one in finished:
            if one.verdict.disable:
                said = f"an answer said {one.attempt.reason}"
                _disable(connection, one.delivery.destination, said, one.attempt.finished_ms)
        insert_new(connection, delivery_attempt, [_attempt_row(one) for one in finished])
        connection.execute(_OUTCOME, [_outcome(one) for one in finished])
        over = [one.delivery for one in finished if one.verdict.next_attempt_ms is None]
        _promote(connection, [(one.thread, one.destination) for one in over])
        _write_breakers(connection, breakers)
        for name, now_ms in recovered.items():
            _hurry(connection, name, now_ms)


def _promote(connection: Connection, threads: Sequence[tuple[str, str]]) -> None:
    """The earliest waiting message of each (thread, destination) is pending from now on, unless one
    is already."""
    if threads:
        connection.execute(
            _PROMOTED, [{"of": thread, "to": destination} for thread, destination in set(threads)]
        )


def _hurry(connection: Connection, destination: str, now_ms: int) -> None:
    connection.execute(
        update(delivery)
        .where(
            delivery.c.destination == destination,
            delivery.c.state == State.PENDING,
            delivery.c.next_attempt_ms > now_ms,
            delivery.c.reason.in_(OF_DESTINATION - {Reason.RATE_LIMITED}),
        )
        .values(next_attempt_ms=now_ms)
    )


def _attempt_row(one: Finished) -> dict[str, object]:
    return {
        "delivery_id": one.delivery.id,
        "number": one.delivery.attempts + 1,
        "started_ms": one.attempt.started_ms,
        "duration_ms": one.attempt.duration_ms,
        "reason": one.attempt.reason,
        "status": one.attempt.status,
        "answer": one.attempt.answer,
        "error": one.attempt.error,
    }


def _outcome(one: Finished) -> dict[str, object]:
    finished_ms, recipients = one.attempt.finished_ms, one.attempt.recipients
    next_ms = one.verdict.next_attempt_ms
    return {
        "of": one.delivery.id,
        "state": one.verdict.state,
        "reason": one.verdict.reason,
        "attempts": one.delivery.attempts + 1,
        "next_attempt_ms": finished_ms if next_ms is None else next_ms,
        "finished_ms": finished_ms if next_ms is None else None,
        "recipients": json.dumps(dict(recipients)) if recipients else None,
    }


def _write_breakers(connection: Connection, breakers: Mapping[str, Breaker | None]) -> None:
    if not breakers:
        return
    connection.execute(delete(breaker).where(breaker.c.destination.in_(list(breakers))))
    rows = [
        {
            "destination": name,
            "failures": one.failures,
            "since_ms": one.since_ms,
            "probe_ms": one.probe_ms,
        }
        for name, one in breakers.items()
        if one is not None
    ]
    if rows:
        connection.execute(insert(breaker), rows)


def read_breakers(engine: Engine) -> dict[str, Breaker]:
    """By destination; those with nothing wrong have none."""
    with reading(engine) as connection:
        return {
            row.destination: Breaker(row.failures, row.since_ms, row.probe_ms)
            for row in connection.execute(select(breaker))
        }


# ---------------------------------------------------------------------------------- operators


def replay(
    engine: Engine, now_ms: int, *, id_: str | None = None, destination: str | None = None
) -> int:
    """Makes dead deliveries pending again with a fresh schedule; how many they are.

    One by its id, or all of a destination.  Ids and bytes stay the same.  A destination that was
    left alone because it failed is tried again at once.
    """
    if (id_ is None) == (destination is None):
        raise ValueError("replay takes an id or a destination")
    chosen = delivery.c.id == id_ if id_ is not None else delivery.c.destination == destination
    names = select(delivery.c.destination).where(chosen, delivery.c.state == State.DEAD)
    with engine.begin() as connection:
        connection.execute(delete(breaker).where(breaker.c.destination.in_(names)))
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


def add_test(engine: Engine, id_: str, destination: str, now_ms: int) -> None:
    """A message that says it is a test, with a delivery of this id."""
    with engine.begin() as connection:
        new = NewDelivery(
            id=id_,
            kind=Kind.TEST,
            destination=destination,
            thread=id_,
            sequence=newest_sequence(connection),
            created_ms=now_ms,
            next_attempt_ms=now_ms,
            note="A test: somebody asked whether messages arrive.",
        )
        connection.execute(insert(delivery), new.row())


def newest_sequence(connection: Connection) -> int:
    """What is about no row of the outbox comes behind the newest one."""
    return connection.scalar(select(func.max(delivery.c.sequence))) or 0


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
        connection.execute(delete(breaker).where(breaker.c.destination == name))
        gone = delete(destination_state).where(destination_state.c.name == name)
        return connection.execute(gone).rowcount > 0


def disabled_destinations(engine: Engine) -> dict[str, str]:
    """The reason of each."""
    query = select(destination_state.c.name, destination_state.c.disabled_reason)
    with reading(engine) as connection:
        return {row.name: row.disabled_reason for row in connection.execute(query)}


# ---------------------------------------------------------------------------------- statements

SUBJECT = (
    detection.c.id,
    detection.c.rule,
    detection.c.severity,
    detection.c.at_ms,
    detection.c.body,
)
"""The columns of a `Subject`."""

_DELIVERY = tuple(delivery.c[name] for name in Delivery.__slots__)

_OUTCOME = (
    update(delivery)
    .where(delivery.c.id == bindparam("of"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "state",
                "reason",
                "attempts",
                "next_attempt_ms",
                "finished_ms",
                "recipients",
            )
        }
    )
)

_earlier = delivery.alias("earlier")
_waiting = delivery.alias("waiting")

_PROMOTED = (
    update(delivery)
    .where(
        delivery.c.thread == bindparam("of"),
        delivery.c.destination == bindparam("to"),
        delivery.c.state == State.WAITING,
        delivery.c.number
        == select(func.min(_waiting.c.number))
        .where(
            _waiting.c.thread == bindparam("of"),
            _waiting.c.destination == bindparam("to"),
            _waiting.c.state == State.WAITING,
        )
        .scalar_subquery(),
        ~exists().where(
            _earlier.c.thread == bindparam("of"),
            _earlier.c.destination == bindparam("to"),
            _earlier.c.state == State.PENDING,
        ),
    )
    .values(state=State.PENDING)
)


def _unfinished(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such a delivery to the same destination that is not over."""
    return exists().where(
        _earlier.c.destination == delivery.c.destination,
        _earlier.c.state.in_(UNFINISHED),
        *conditions,
    )


_EARLIER_OF_THREAD = exists().where(  # when dead ones are replayed, several are pending
    _earlier.c.thread == delivery.c.thread,
    _earlier.c.destination == delivery.c.destination,
    _earlier.c.state == State.PENDING,
    _earlier.c.number < delivery.c.number,
)
# Sequences never fall in the order in which messages are made.  What is about an alert itself has
# that of the newest message, so gathered ones of the same sequence come first.  Only one of the two
# comparisons may take equals in, or messages could wait for each other.
_EARLIER_GATHERED = _unfinished(
    _earlier.c.sequence <= delivery.c.sequence,
    _earlier.c.id == delivery_detection.c.delivery_id,
    delivery_detection.c.alert_id == delivery.c.alert_id,
)
_EARLIER_ALONE = and_(
    delivery.c.kind == Kind.GATHERED,
    _unfinished(
        _earlier.c.sequence < delivery.c.sequence,
        _earlier.c.alert_id == delivery_detection.c.alert_id,
        delivery_detection.c.delivery_id == delivery.c.id,
    ),
)
