"""What answers look like: the models that the OpenAPI document describes them by.

Handlers write JSON themselves, much of it as it lies in the store; a test holds every answer of a
server against these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from alerts.alert import AlertState, Disposition
from alerts.reasons import State as DeliveryState
from api.access.roles import Permission, Role
from cep.deployment.base import Mode
from cep.store.backtests import State as BackTestState
from dsl.model import Kind

Item = TypeVar("Item")

Time = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T09:00:00.000Z"])
]
Id = Annotated[str, Field(examples=["8a6a7c3e0f9b4d21a5c6e7f801234567"])]
Count = Annotated[int, Field(ge=0)]
Json = dict[str, Any]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Page(Answer, Generic[Item]):
    """`next` is always there: as `cursor` it gives the rows behind these, now or later."""

    items: list[Item]
    next: Annotated[str, Field(examples=["WzE3XQ"])]
    more: bool


class Problem(BaseModel):
    """RFC 9457; `type` is what programs branch on."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(pattern="^urn:cep:problem:", examples=["urn:cep:problem:not-found"])]
    title: Annotated[str, Field(examples=["There is no such thing"])]
    status: Annotated[int, Field(ge=400, le=599, examples=[404])]
    detail: str | None = None
    errors: list[Json] | None = None


# ----------------------------------------------------------------------------------------- health


class PartitionHealth(Answer):
    partition: str
    behind: Annotated[int | None, Field(description="records; null while the log is gone")]
    intake: Literal["flowing", "held", "slow"] | None


class Health(Answer):
    status: Literal["ok"]
    partitions: list[PartitionHealth]
    degraded: Annotated[list[str], Field(description="rules that were refused partial matches")]


# ----------------------------------------------------------------------------------------- events


class Share(Answer):
    partition: str
    first_position: Count | None = None
    accepted: Count


class Refusal(Answer):
    index: Annotated[int, Field(ge=0, description="of the item or line, from 0")]
    reason: str


class Ingested(Answer):
    accepted: Count
    duplicates: Count
    partitions: list[Share]
    rejected: Count
    errors: list[Refusal]


# ------------------------------------------------------------------------------- rules, detections


class Rule(Answer):
    name: Annotated[str, Field(examples=["card_testing"])]
    version: str
    pattern_version: str
    mode: Mode
    text: Annotated[str, Field(description="the file or text it stands in")]
    title: str | None
    severity: str
    tags: list[str]
    doc: str | None
    priority: int
    key: list[str]
    events: list[str]
    time_fields: dict[str, list[str] | None]
    within_ms: int | None
    notify: list[str]
    detections: Count
    capped: Count
    degraded: bool


class Rules(Answer):
    items: list[Rule]


class Diagnostic(Answer):
    """Lines and columns count from 1."""

    code: Annotated[str, Field(examples=["E010"])]
    severity: Literal["error", "warning"]
    message: str
    hint: str | None
    path: str
    line: int
    column: int
    end_line: int
    end_column: int


class GraphNode(Answer):
    id: Count
    kind: Literal["step", "absence", "silence", "window", "match"]
    name: str
    event: str
    condition: str
    repeat: str
    group: str


class GraphEdge(Answer):
    start: Count
    end: Count
    label: str
    absent: list[str]


class Graph(Answer):
    """A pattern to be drawn; a match begins at one of `entries`."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    entries: list[Count]
    within: Annotated[str, Field(examples=["10m"])]


class ValidatedRule(Answer):
    name: str
    title: str | None
    version: str
    graph: Graph


class Validated(Answer):
    """`reason` is there where the text compiles and cannot be run all the same."""

    valid: bool
    errors: Annotated[list[Diagnostic], Field(description="warnings included")]
    reason: str | None
    rules: list[ValidatedRule]


class Formatted(Answer):
    text: str


class FailedAt(Answer):
    line: int
    text: str


class TestResult(Answer):
    rule: str
    title: str | None
    line: int
    passed: bool
    failures: list[FailedAt]


class TestResults(Answer):
    passed: bool
    tests: list[TestResult]


class Version(Answer):
    version: Annotated[str, Field(description="a hash of the text")]
    deployment: Annotated[int, Field(description="the first that had it")]
    recorded: Time
    what: str
    text: str


class Versions(Answer):
    items: list[Version]


class Difference(Answer):
    lines: Annotated[str, Field(description="a unified diff of the texts")]
    same_pattern: Annotated[
        bool | None, Field(description="partial matches of one go on in the other")
    ]


class Draft(Answer):
    name: str
    text: str
    made_from: Annotated[int, Field(description="the deployment it was begun from")]
    version: int
    by: str
    changed: Time


class AsOf(Answer):
    partition: str
    position: int
    watermark: Time


class AtStep(Answer):
    step: str
    partial_matches: Count


class BoundAt(Answer):
    step: str
    position: int


class PartialMatch(Answer):
    partition: str
    key: Json
    step: str
    reached: Annotated[int, Field(ge=0, description="parts of the pattern")]
    events: Count
    bound: Annotated[list[BoundAt], Field(description="the newest of them")]
    awaits: list[str]
    started: Time
    deadline: Time | None
    at_deadline: Literal["matches", "ends"] | None


class PartialMatches(Answer):
    """As of the last checkpoint, `as_of`; the earliest started first."""

    rule: str
    version: str
    kind: str
    parts: Count
    as_of: list[AsOf]
    total: Count
    funnel: list[AtStep]
    notes: list[str]
    items: list[PartialMatch]
    next: str
    more: bool


class NearestKey(Answer):
    key: Annotated[dict[str, str], Field(description="its parts as texts, by name")]
    lines: list[str]


class Explanation(Answer):
    keys: Annotated[list[NearestKey], Field(description="the nearest first")]
    further: Annotated[int, Field(ge=0, description="keys that came less near")]
    events: Annotated[int, Field(ge=0, description="that were looked at")]
    left_out: Annotated[int, Field(ge=0, description="older events, that were not")]


class Activation(Answer):
    partition: str
    position: Annotated[int, Field(description="it is in force from this record on")]
    dropped: Count
    leaving: Count
    refused: str | None


class Deployment(Answer):
    number: int
    what: str
    begun: Literal["drain", "drop"]
    recorded: Time
    modes: dict[str, Mode]
    texts: list[str]
    partitions: list[Activation]


class DeploymentWithTexts(Answer):
    number: int
    what: str
    begun: Literal["drain", "drop"]
    recorded: Time
    modes: dict[str, Mode]
    texts: Annotated[dict[str, str], Field(description="by name")]
    partitions: list[Activation]


class BoundEvent(Answer):
    step: str
    position: Annotated[int | None, Field(description="null for one that a rule emitted")]
    derived_from: Id | None = None
    event: Annotated[Json, Field(description="as it came in")]


class Detection(Answer):
    id: Id
    rule: str
    version: str
    key: Json
    at: Time
    severity: str
    message: str
    fields: Json
    events: list[BoundEvent]
    emitted: list[Json] | None = None
    suppressed_by: Id | None = None
    shadow: Literal[True] | None = None


class RawRecord(Answer):
    partition: str
    position: int
    raw: Annotated[str, Field(description="at most 4 KiB, for people")]
    raw_base64: Annotated[str, Field(description="the same, exactly")]


class DeadLetter(RawRecord):
    reason: str


class LateEvent(RawRecord):
    time: Time
    watermark: Time


# ----------------------------------------------------------------------------------------- tables


class TableField(Answer):
    name: str
    type: Kind
    optional: bool
    key: Annotated[bool, Field(description="part of what tells rows apart")]


class TableSource(Answer):
    kind: Literal["file", "redis"]
    address: str


class Table(Answer):
    name: str
    kind: Literal["table", "list"]
    fields: list[TableField]
    source: Annotated[TableSource | None, Field(description="as the rule files declare it")]
    written: Annotated[bool, Field(description="its values stand in the rule file")]
    read: Annotated[bool, Field(description="some rule looks into it; of others no rows are kept")]


class Tables(Answer):
    items: list[Table]


class TableChange(Answer):
    position: Annotated[int, Field(ge=0, description="it counts from this record on")]
    at: Annotated[Time | None, Field(description="event time; null before any event")]


class TableState(Table):
    partition: str
    loaded: Annotated[bool, Field(description="it has had rows from its source, or of a program")]
    rows: Count
    bad_rows: Annotated[int, Field(ge=0, description="rows of the source that did not fit")]
    changed: TableChange | None


class TableRow(Answer):
    number: Annotated[int, Field(ge=0, description="of what was written to the table")]
    values: Json


# ----------------------------------------------------------------------------------------- alerts


class Entry(Answer):
    number: int
    at: Time
    by: str
    action: str
    detail: str


class Alert(Answer):
    id: Id
    rule: str
    severity: str
    key: Json
    title: str
    state: AlertState
    disposition: Disposition | None
    assignee: str | None
    detections: Count
    first_at: Time
    last_at: Time
    opened: Time
    resolved: Time | None
    snoozed_until: Time | None
    route: str | None
    escalations: Count
    version: int


class AlertWithHistory(Alert):
    history: list[Entry]


class AlertsOpened(Answer):
    """`opened` has a number for each of the `bars`, by severity or rule."""

    start: Time
    width_ms: int
    bars: int
    opened: dict[str, list[Count]]


class DetectionOfAlert(Answer):
    id: Id
    at: Time
    hidden_by: Annotated[str | None, Field(description="why nobody was told")]
    suppressed_by: Id | None


class Silence(Answer):
    id: Id
    match: Json
    starts: Time
    ends: Time
    by: str
    comment: str
    made: Time
    hidden: Annotated[int, Field(ge=0, description="detections that nobody was told of")]


class AlertInPreview(Answer):
    id: Id
    title: str
    state: AlertState


class SilencePreview(Answer):
    alerts: list[AlertInPreview]
    detections: Count
    looked_at: Count


# ------------------------------------------------------------------------------------- deliveries


class Failing(Answer):
    attempts: Count
    since: Time
    left_alone: bool
    next_attempt: Time | None


class Destination(Answer):
    name: str
    type: str | None
    disabled: str | None
    failing: Failing | None
    deliveries: dict[DeliveryState, Count]


class Destinations(Answer):
    items: list[Destination]


class TestSent(Answer):
    delivery: Id


class Enabled(Answer):
    enabled: Annotated[bool, Field(description="false when it was not disabled")]


class Replayed(Answer):
    replayed: Count


class Delivery(Answer):
    id: Id
    kind: str
    alert_id: Id | None
    number: int
    detection_id: Id | None
    destination: str
    state: DeliveryState
    reason: str | None
    attempts: Count
    next_attempt: Time | None
    created: Time
    finished: Time | None
    note: str | None
    recipients: dict[str, str] | None


class Attempt(Answer):
    number: int
    started: Time
    duration_ms: Count
    reason: str
    status: int | None
    answer: str
    error: str | None


class DeliveryWithAttempts(Delivery):
    attempt_log: list[Attempt]


# ------------------------------------------------------------------------------------- back-tests


class BackTest(Answer):
    id: Id
    state: BackTestState
    records_read: Count
    records_all: Annotated[int | None, Field(description="null until it is known")]
    rule: str | None
    deployment: int
    baseline: Annotated[int | None, Field(description="a deployment")]
    since: Time | None
    until: Time | None
    by: str
    made: Time
    started: Time | None
    finished: Time | None
    error: str | None


class RangeRead(Answer):
    partition: str
    first_position: Count
    end_position: Count


class Buckets(Answer):
    width_ms: Count
    items: list[Json]


class Listed(Answer):
    found: list[Json]
    added: list[Json] | None = None
    lost: list[Json] | None = None
    changed: list[Json] | None = None


class Forecast(Answer):
    days: float
    alerts_per_day: float | None
    baseline_alerts_per_day: float | None = None


class BackTestResult(Answer):
    """What has a baseline is there only where there is one."""

    since: Time | None
    until: Time | None
    first_at: Time | None
    last_at: Time | None
    records: Count
    partitions: list[RangeRead]
    totals: dict[str, int]
    rules: list[Json]
    buckets: Buckets
    forecast: Forecast
    counters: dict[str, int]
    baseline_counters: dict[str, int] | None = None
    listed: Listed
    warm_up_ms: Annotated[int | None, Field(description="null: nothing bounds it")]
    notes: list[str]


class BackTestWithResult(BackTest):
    text: str | None
    result: BackTestResult | None


# ----------------------------------------------------------------------------------------- access


class Caller(Answer):
    name: str
    roles: list[Role]
    permissions: list[Permission]
    authentication: Annotated[bool, Field(description="whether this server asks who one is")]


class Key(Answer):
    id: str
    name: str
    roles: list[Role]
    made_by: str
    made: Time
    expires: Time | None
    revoked: Time | None
    used: Time | None


class MadeKey(Key):
    key: Annotated[str, Field(description="in this answer only")]


class Person(Answer):
    name: str
    roles: list[Role]
    made_by: str
    made: Time
    disabled: Time | None


class AuditEntry(Answer):
    number: int
    at: Time
    actor: str
    action: str
    subject: str
    detail: Json
    hash: str


class AuditVerified(Answer):
    entries: Count
    hash: str
    wrong: Annotated[int | None, Field(description="the first entry that does not fit")]
