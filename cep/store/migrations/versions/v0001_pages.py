"""State in pages that are written by what changed.

Also where databases without a version begin, those of later programs included: of a table that is
there already nothing is made, and 0002 and 0003 add only what is missing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, parts in TABLES.items():
        if name not in there:
            op.create_table(name, *parts, sqlite_autoincrement=name == "outbox")
            for index, columns in INDEXES.get(name, {}).items():
                op.create_index(index, name, columns)


def text(name: str, length: int, *, key: bool = False, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=key, nullable=null)


def number(name: str, *, key: bool = False, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=null)


def octets(name: str, *, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=null)


def numbered() -> sa.Column[int]:
    return sa.Column("sequence", Sequence, primary_key=True, autoincrement=True)


TABLES: dict[str, tuple[sa.schema.SchemaItem, ...]] = {
    "checkpoint": (
        text("partition", 200, key=True),
        number("epoch"),
        number("position"),
        number("resume_position"),
        number("watermark_ms"),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("counters", sa.Text, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False, server_default=""),
    ),
    "page": (text("partition", 200, key=True), text("name", 200, key=True), octets("data")),
    "detection": (
        numbered(),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        text("partition", 200),
        text("rule", 200),
        text("version", 16),
        text("severity", 20),
        number("at_ms"),
        text("suppressed_by", 32, null=True),
        octets("body"),
    ),
    "outbox": (
        numbered(),
        sa.Column("detection_id", sa.String(32), sa.ForeignKey("detection.id"), nullable=False),
        text("destination", 200),
        sa.UniqueConstraint("detection_id", "destination"),
    ),
    "resolution": (
        numbered(),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        text("partition", 200),
        text("rule", 200),
        octets("key"),
        number("at_ms"),
        number("position"),
    ),
    "dead_letter": (
        text("partition", 200, key=True),
        number("position", key=True),
        sa.Column("reason", sa.Text, nullable=False),
        octets("raw"),
    ),
    "delivery": (
        text("id", 32, key=True),
        sa.Column("detection_id", sa.String(32), sa.ForeignKey("detection.id"), nullable=False),
        text("destination", 200),
        number("sequence"),
        text("state", 10),
        text("reason", 40, null=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempts_forgiven", sa.Integer, nullable=False),
        number("next_attempt_ms"),
        number("created_ms"),
        number("finished_ms", null=True),
        text("channel", 10, null=True),
        octets("body", null=True),
        sa.Column("recipients", sa.Text),
        sa.UniqueConstraint("detection_id", "destination"),
    ),
    "delivery_attempt": (
        sa.Column("delivery_id", sa.String(32), sa.ForeignKey("delivery.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        number("started_ms"),
        number("duration_ms"),
        text("reason", 40),
        sa.Column("status", sa.Integer),
        octets("answer"),
        sa.Column("error", sa.Text),
    ),
    "destination_state": (
        text("name", 200, key=True),
        sa.Column("disabled_reason", sa.Text, nullable=False),
        number("disabled_ms"),
    ),
    "log_chunk": (
        text("topic", 200, key=True),
        number("position", key=True),
        sa.Column("count", sa.Integer, nullable=False),
        octets("data"),
    ),
    "log_topic": (
        text("topic", 200, key=True),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
    ),
    "log_event_id": (
        text("topic", 200, key=True),
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        number("number"),
    ),
}
INDEXES = {
    "detection": {"detection_by_rule": ["rule", "sequence"]},
    "resolution": {"resolution_by_rule": ["rule", "sequence"]},
    "delivery": {
        "delivery_due": ["state", "destination", "next_attempt_ms", "sequence"],
        "delivery_by_sequence": ["sequence"],
    },
    "log_event_id": {"log_event_id_by_number": ["topic", "number"]},
}
