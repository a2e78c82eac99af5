"""Alerts: episodes of detections, silences, and messages about several detections or none."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NUMBERED = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_KEPT = (
    "id, detection_id, destination, sequence, state, reason, attempts, attempts_forgiven, "
    "next_attempt_ms, created_ms, finished_ms, channel, body, recipients"
)


def upgrade() -> None:
    _make_alerts()
    # SQLite cannot loosen a column that other tables refer to: both tables are made anew.
    op.execute("CREATE TABLE kept_delivery AS SELECT * FROM delivery")
    op.execute("CREATE TABLE kept_attempt AS SELECT * FROM delivery_attempt")
    op.drop_table("delivery_attempt")
    op.drop_table("delivery")
    _make_deliveries()
    op.execute(
        f"INSERT INTO delivery ({_KEPT}, thread) SELECT {_KEPT}, detection_id FROM kept_delivery"
    )
    op.execute("INSERT INTO delivery_attempt SELECT * FROM kept_attempt")
    op.drop_table("kept_delivery")
    op.drop_table("kept_attempt")
    op.create_table(
        "breaker",
        sa.Column("destination", sa.String(200), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("probe_ms", sa.BigInteger, nullable=False),
    )


def _make_alerts() -> None:
    op.create_table(
        "alert",
        sa.Column("sequence", _NUMBERED, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("dedup_key", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("waiting_ms", sa.BigInteger, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
        sa.Column("resolved_ms", sa.BigInteger),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_at_ms", sa.BigInteger, nullable=False),
        sa.Column("detections", sa.Integer, nullable=False),
        sa.Column("assignee", sa.String(200)),
        sa.Column("disposition", sa.String(20)),
        sa.Column("snoozed_until_ms", sa.BigInteger),
        sa.Column("route", sa.String(200)),
        sa.Column("escalations", sa.Integer, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("reminded_ms", sa.BigInteger, nullable=False),
    )
    going_on = sa.text("state <> 'resolved'")
    op.create_index(
        "alert_going_on",
        "alert",
        ["dedup_key"],
        unique=True,
        sqlite_where=going_on,
        postgresql_where=going_on,
    )
    op.create_index("alert_by_state", "alert", ["state", "sequence"])
    op.create_index("alert_due", "alert", ["due_ms"])
    op.create_table(
        "alert_detection",
        sa.Column("detection_id", sa.String(32), sa.ForeignKey("detection.id"), primary_key=True),
        sa.Column("alert_id", sa.String(32), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("hidden_by", sa.String(40)),
    )
    op.create_index("alert_detection_by_alert", "alert_detection", ["alert_id"])
    op.create_index("alert_detection_by_hidden", "alert_detection", ["hidden_by"])
    op.create_table(
        "alert_action",
        sa.Column("alert_id", sa.String(32), sa.ForeignKey("alert.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "silence",
        sa.Column("sequence", _NUMBERED, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("matcher", sa.Text, nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("silence_by_end", "silence", ["ends_ms"])
    op.create_table(
        "taken_in",
        sa.Column("what", sa.String(20), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )


def _make_deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(12), nullable=False, server_default="detection"),
        sa.Column("detection_id", sa.String(32), sa.ForeignKey("detection.id")),
        sa.Column("alert_id", sa.String(32), sa.ForeignKey("alert.id")),
        sa.Column("destination", sa.String(200), nullable=False),
        sa.Column("thread", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, server_default="1"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempts_forgiven", sa.Integer, nullable=False),
        sa.Column("next_attempt_ms", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("channel", sa.String(10)),
        sa.Column("body", sa.LargeBinary),
        sa.Column("recipients", sa.Text),
        sa.Column("note", sa.Text),
    )
    for name, columns in (
        ("delivery_due", ["state", "destination", "next_attempt_ms", "sequence"]),
        ("delivery_by_sequence", ["sequence"]),
        ("delivery_by_detection", ["detection_id"]),
        ("delivery_by_alert", ["alert_id"]),
        ("delivery_by_thread", ["thread", "destination", "state", "number"]),
        ("delivery_by_destination", ["destination", "created_ms"]),
    ):
        op.create_index(name, "delivery", columns)
    op.create_table(
        "delivery_detection",
        sa.Column("delivery_id", sa.String(32), sa.ForeignKey("delivery.id"), primary_key=True),
        sa.Column("detection_id", sa.String(32), sa.ForeignKey("detection.id"), primary_key=True),
        sa.Column("alert_id", sa.String(32), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("delivery_detection_by_alert", "delivery_detection", ["alert_id"])
    op.create_index("delivery_detection_by_detection", "delivery_detection", ["detection_id"])
    op.create_table(
        "delivery_attempt",
        sa.Column("delivery_id", sa.String(32), sa.ForeignKey("delivery.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text),
    )
