"""What the dispatcher remembers: deliveries, the log of attempts, switched-off destinations.

The tables join the store's metadata, so one database holds detections and what was told of them.
Times are wall-clock ms since the epoch (they say when we did something, not when events happened).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from cep.store.tables import metadata

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(32), primary_key=True),  # hash of detection and destination
    Column("detection_id", String(32), ForeignKey("detection.id"), nullable=False),
    Column("destination", String(200), nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the outbox row: order of first attempts
    Column("state", String(10), nullable=False),  # pending | delivered | dead
    Column("reason", String(40)),  # the latest outcome: alerts.reasons.Reason
    Column("attempts", Integer, nullable=False),  # ever made
    Column("attempts_forgiven", Integer, nullable=False),  # made before the latest replay
    Column("next_attempt_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),  # when it was delivered or died
    Column("channel", String(10)),  # the kind of message in `body`: webhook | smtp
    Column("body", LargeBinary),  # the message as first rendered; null until it is rendered
    Column("recipients", Text),  # e-mail only: {"address": "accepted" | "refused: 550 …"}
    UniqueConstraint("detection_id", "destination"),
    Index("delivery_due", "state", "destination", "next_attempt_ms", "sequence"),
    Index("delivery_by_sequence", "sequence"),
)

delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    Column("delivery_id", String(32), ForeignKey("delivery.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("started_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("status", Integer),  # HTTP status or SMTP reply code, when there was an answer
    Column("answer", LargeBinary, nullable=False),  # the first limits.ANSWER_KEPT_BYTES of it
    Column("error", Text),
)

destination_state = Table(
    "destination_state",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("disabled_reason", Text, nullable=False),
    Column("disabled_ms", BigInteger, nullable=False),
)

TABLES = (delivery, delivery_attempt, destination_state)


def ensure_tables(engine: Engine) -> None:
    """Creates what is missing, the store's own tables included."""
    metadata.create_all(engine)
