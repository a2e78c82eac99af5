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
    text,
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

alert = Table(  # an episode: the detections of a rule for a key until somebody or something ends it
    "alert",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),  # hash of the first detection's id
    Column("dedup_key", String(32), nullable=False),  # hash of rule and key
    Column("rule", String(200), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("key", LargeBinary, nullable=False),  # JSON, as in the body of a detection
    Column("title", Text, nullable=False),  # of the first detection
    Column("state", String(12), nullable=False),  # open | acknowledged | resolved
    Column("version", Integer, nullable=False),  # counts changes, new detections aside
    Column("opened_ms", BigInteger, nullable=False),
    Column("waiting_ms", BigInteger, nullable=False),  # since when it was opened, or reopened
    Column("last_ms", BigInteger, nullable=False),  # when the newest detection was taken in
    Column("resolved_ms", BigInteger),
    Column("first_at_ms", BigInteger, nullable=False),  # event time
    Column("last_at_ms", BigInteger, nullable=False),  # event time
    Column("detections", Integer, nullable=False),
    Column("assignee", String(200)),
    Column("disposition", String(20)),  # alerts.alert.Disposition
    Column("snoozed_until_ms", BigInteger),
    Column("route", String(200)),  # whose timers count; see alerts.routes
    Column("escalations", Integer, nullable=False),  # steps of the route that were taken
    Column("due_ms", BigInteger),  # when a timer may have something to do; null: never
    Column("reminded_ms", BigInteger, nullable=False),  # when people last heard of it
    Index(  # of a rule and a key, one at a time
        "alert_going_on",
        "dedup_key",
        unique=True,
        sqlite_where=text("state <> 'resolved'"),
        postgresql_where=text("state <> 'resolved'"),
    ),
    Index("alert_by_state", "state", "sequence"),
    Index("alert_due", "due_ms"),
)

alert_detection = Table(
    "alert_detection",
    metadata,
    Column("detection_id", String(32), ForeignKey("detection.id"), primary_key=True),
    Column("alert_id", String(32), ForeignKey("alert.id"), nullable=False),
    Column("hidden_by", String(40)),  # why nobody was told: a silence's id, or a word
    Index("alert_detection_by_alert", "alert_id"),
    Index("alert_detection_by_hidden", "hidden_by"),
)

alert_action = Table(  # what people, rules and timers did to an alert; never changed
    "alert_action",
    metadata,
    Column("alert_id", String(32), ForeignKey("alert.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(20), nullable=False),  # alerts.alert.Action
    Column("detail", Text, nullable=False),
)

silence = Table(
    "silence",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("matcher", Text, nullable=False),  # JSON of alerts.matching.Matcher
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Index("silence_by_end", "ends_ms"),
)

taken_in = Table(  # how far the dispatcher has read what is not in the outbox
    "taken_in",
    metadata,
    Column("what", String(20), primary_key=True),  # "resolutions"
    Column("sequence", BigInteger, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(32), primary_key=True),  # see alerts.deliveries.delivery_id
    Column("kind", String(12), nullable=False, server_default="detection"),  # alerts.message.Kind
    # What it is about, or the first of it; a test is about nothing.
    Column("detection_id", String(32), ForeignKey("detection.id")),
    Column("alert_id", String(32), ForeignKey("alert.id")),
    Column("destination", String(200), nullable=False),
    # Messages of one thread go to a destination one after the other, in the order of `number`.
    Column("thread", String(200), nullable=False),
    Column("number", Integer, nullable=False, server_default="1"),  # from 1
    Column("sequence", BigInteger, nullable=False),  # of the outbox row: order of first attempts
    Column("state", String(10), nullable=False),  # alerts.reasons.State
    Column("reason", String(40)),  # the latest outcome: alerts.reasons.Reason
    Column("attempts", Integer, nullable=False),  # ever made
    Column("attempts_forgiven", Integer, nullable=False),  # made before the latest replay
    Column("next_attempt_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),  # when it was delivered or died
    Column("channel", String(10)),  # whose message is in `body`: a `type` of alerts.destinations
    Column("body", LargeBinary),  # the message as first rendered; null until it is rendered
    Column("recipients", Text),  # e-mail only: {"address": "accepted" | "refused: 550 …"}
    Column("note", Text),  # why it is sent, in a sentence, where that is not plain
    Index("delivery_due", "state", "destination", "next_attempt_ms", "sequence"),
    Index("delivery_by_sequence", "sequence"),
    Index("delivery_by_detection", "detection_id"),
    Index("delivery_by_alert", "alert_id"),
    Index("delivery_by_thread", "thread", "destination", "state", "number"),
    Index("delivery_by_destination", "destination", "created_ms"),
)

delivery_detection = Table(  # of messages that tell of several
    "delivery_detection",
    metadata,
    Column("delivery_id", String(32), ForeignKey("delivery.id"), primary_key=True),
    Column("detection_id", String(32), ForeignKey("detection.id"), primary_key=True),
    Column("alert_id", String(32), ForeignKey("alert.id"), nullable=False),
    Column("number", Integer, nullable=False),  # from 1
    Index("delivery_detection_by_alert", "alert_id"),
    Index("delivery_detection_by_detection", "detection_id"),
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

breaker = Table(  # of destinations whose newest attempts failed; see alerts.breaker
    "breaker",
    metadata,
    Column("destination", String(200), primary_key=True),
    Column("failures", Integer, nullable=False),  # in a row
    Column("since_ms", BigInteger, nullable=False),  # of the first of them
    Column("probe_ms", BigInteger, nullable=False),  # nothing is sent before
)

# Who may use the API, what they did, and what they are at.  Times are of the wall clock.

api_key = Table(  # for programs
    "api_key",
    metadata,
    Column("id", String(16), primary_key=True),  # the part of a key that may be shown
    Column("name", String(100), nullable=False),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("roles", Text, nullable=False),  # JSON array
    Column("made_by", String(200), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("used_ms", BigInteger),  # about when it was last used
)

person = Table(
    "person",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password", Text, nullable=False),  # scrypt, with its parameters and salt
    Column("roles", Text, nullable=False),  # JSON array
    Column("made_by", String(200), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
)

login = Table(  # a browser in which a person, or the holder of a key, has signed in
    "login",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("person", String(100)),
    Column("api_key", String(16)),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("login_by_end", "expires_ms"),
)

audit = Table(  # who changed what; never changed, each entry has the hash of the one before in it
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # from 1, without gaps
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("hash", String(64), nullable=False),
    Index("audit_by_subject", "subject", "number"),
    Index("audit_by_actor", "actor", "number"),
)

draft = Table(  # text of a rule that is being written
    "draft",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("text", Text, nullable=False),
    Column("made_from", BigInteger, nullable=False),  # the deployment it was begun from, or 0
    Column("version", Integer, nullable=False),  # counts changes
    Column("actor", String(200), nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

backtest = Table(  # see cep.backtest
    "backtest",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("request", LargeBinary, nullable=False),  # JSON
    Column("actor", String(200), nullable=False),
    Column("state", String(12), nullable=False),  # waiting | running | done | failed | cancelled
    Column("made_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("records_read", BigInteger, nullable=False),
    Column("records_all", BigInteger),  # null until it is known
    Column("result", LargeBinary),  # JSON
    Column("error", Text),
)

answered = Table(  # requests with an Idempotency-Key, and what was answered
    "answered",
    metadata,
    Column("actor", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),  # hash of method, path and body
    Column("status", Integer),  # null while it is worked on
    Column("headers", Text),  # JSON object
    Column("body", LargeBinary),
    Column("made_ms", BigInteger, nullable=False),
    Index("answered_by_time", "made_ms"),
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
