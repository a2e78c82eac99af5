"""The relational schema of a database: store, deliveries, log; the same on SQLite and PostgreSQL.

A change here is a migration, too (`cep.store.migrations`).  Times are event time in ms since the
epoch unless a name says `recorded`.  JSON is stored as the exact bytes that were rendered, so what
was committed is what is read back and delivered.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

# SQLite only auto-increments a column declared exactly INTEGER.
Sequence = BigInteger().with_variant(Integer, "sqlite")

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("partition", String(200), primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # fences out an older writer
    Column("position", BigInteger, nullable=False),  # the next record to read
    Column("resume_position", BigInteger, nullable=False),  # oldest record still waiting for time
    Column("watermark_ms", BigInteger, nullable=False),
    Column("rules", Text, nullable=False),  # {"rule": "version"} the state belongs to
    Column("counters", Text, nullable=False),  # {"received": …, "late": …, …}
    Column("format", Integer, nullable=False),
    # Where the pages stand; what the log holds from there to `position` is folded in anew.
    Column("state_position", BigInteger, nullable=False),
    Column("state_watermark_ms", BigInteger, nullable=False),
    Column("state_counters", Text, nullable=False),
    Column("source", Text, nullable=False, server_default=""),  # tells one log from another
    Column(
        "bookmark", Text, nullable=False, server_default=""
    ),  # the log's word for resume_position
    Column("checksum", BigInteger),  # see cep.store.checksums
)

page = Table(
    "page",
    metadata,
    Column("partition", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("checksum", BigInteger),  # of name and data
)

detection = Table(
    "detection",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("partition", String(200), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("version", String(16), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("suppressed_by", String(32)),  # id of the detection whose `suppress` hid this one
    Column("shadow", Boolean, nullable=False, server_default=false()),  # nobody is told of it
    Column("body", LargeBinary, nullable=False),  # the detection as JSON, as printed by `cep run`
    Index("detection_by_rule", "rule", "sequence"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("detection_id", String(32), ForeignKey("detection.id"), nullable=False),
    Column("destination", String(200), nullable=False),
    UniqueConstraint("detection_id", "destination"),
    sqlite_autoincrement=True,  # numbers of rows that are gone never come again
)

resolution = Table(
    "resolution",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("partition", String(200), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("key", LargeBinary, nullable=False),  # JSON, as in the body of a detection
    Column("at_ms", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),  # of the event that resolved, or was left
    Index("resolution_by_rule", "rule", "sequence"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("partition", String(200), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),  # at most limits.DEAD_LETTER_RAW_BYTES
)

late = Table(
    "late",
    metadata,
    Column("partition", String(200), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("ts_ms", BigInteger, nullable=False),
    Column("watermark_ms", BigInteger, nullable=False),  # before the event
    Column("raw", LargeBinary, nullable=False),  # at most limits.DEAD_LETTER_RAW_BYTES
)

rule_text = Table(  # what a deployment runs; never changed
    "rule_text",
    metadata,
    Column("id", String(32), primary_key=True),  # hash of the text
    Column("text", Text, nullable=False),
)

deployment = Table(
    "deployment",
    metadata,
    Column("number", Sequence, primary_key=True, autoincrement=True),
    Column("topic", String(200), nullable=False),  # whose rules: a topic, or a file's log
    Column("made_from", BigInteger, nullable=False),  # the number of the one before it, or 0
    Column("what", Text, nullable=False),  # was done, in words
    Column("texts", Text, nullable=False),  # [["name", "id of rule_text"], …]
    Column("modes", Text, nullable=False),  # {"rule": "shadow" | "paused"}
    Column("policy", String(20), nullable=False),  # what becomes of old partial matches
    Column("recorded_ms", BigInteger, nullable=False),  # wall clock
    UniqueConstraint("topic", "made_from"),
    Index("deployment_by_topic", "topic", "number"),
    sqlite_autoincrement=True,
)

activation = Table(  # see cep.ports.ActivationRow
    "activation",
    metadata,
    Column("partition", String(200), primary_key=True),
    Column("deployment", BigInteger, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("watermark_ms", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("leaving", BigInteger, nullable=False),
    Column("refused", Text),
)

rule_file = Table(  # files as they were when a program was last started with them
    "rule_file",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("path", String(1000), primary_key=True),
    Column("text", String(32), nullable=False),  # id of rule_text
)

# What the dispatcher remembers.  Its times are wall-clock ms since the epoch: they say when we did
# something, not when events happened.

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

# The embedded log.

log_chunk = Table(
    "log_chunk",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("position", BigInteger, primary_key=True),  # of the first record in the chunk
    Column("count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # NDJSON, one record a line
    Column("recorded_ms", BigInteger, nullable=False),  # wall clock when it was appended
    Column("latest_ms", BigInteger, nullable=False),  # later events in it are quarantined
    Column("tick_ms", BigInteger),  # no events: the watermark moves there (then data is a line end)
)

log_topic = Table(  # a topic that is not here has one partition, which bears its name
    "log_topic",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partitions", Integer, nullable=False),
    Column("key", Text, nullable=False),  # the field whose value decides; dotted, "" for one
)

log_start = Table(  # a partition that is not here has all of its records; see cep.log.starts
    "log_start",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),  # the first record there is
    Column("compacted", BigInteger, nullable=False),  # before it, older records of a key are blank
    Column("mark", Text, nullable=False),  # of the first record there was
)

log_event_id = Table(  # of the newest limits.EVENT_IDS_MAX events that said their id
    "log_event_id",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("id", LargeBinary(16), primary_key=True),  # hash of the event's type and id
    Column("number", BigInteger, nullable=False),  # counts them
    Index("log_event_id_by_number", "topic", "number"),
)
