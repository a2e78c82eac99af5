"""Silences: alerts nobody is told of for a while, because somebody said so.

A silence has an end.  What it hides joins its alert all the same and keeps the silence's id, so it
can be listed; nothing of it is told later, but reminders and new detections are, once it is over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Engine, func, insert, select, update

from alerts import limits
from alerts.alert import ALERTS, Alert, AlertState, alerts_of, locked
from alerts.errors import NotFound, Refused
from alerts.matching import Facts, Matcher, TagsOf, key_texts
from cep.store.connect import reading
from cep.store.tables import alert, alert_detection, detection, silence


@dataclass(frozen=True, slots=True)
class Silence:
    """Times are wall-clock ms; `hidden` counts the detections nobody was told of."""

    sequence: int
    id: str
    matcher: Matcher
    starts_ms: int
    ends_ms: int
    actor: str
    comment: str
    made_ms: int
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a matcher would hide: alerts that are going on, and of the newest detections how many.

    `looked_at` is the number of those.
    """

    alerts: list[Alert]
    detections: int
    looked_at: int


def make_silence(
    engine: Engine,
    matcher: Matcher,
    *,
    starts_ms: int,
    ends_ms: int,
    actor: str,
    comment: str,
    now_ms: int,
) -> Silence:
    """Raises `Refused` for one that hides everything, or has no sensible end."""
    if matcher.says_nothing():
        raise Refused("a silence says what it hides: a rule, a severity, a tag or a key")
    if ends_ms <= max(starts_ms, now_ms):
        raise Refused("a silence ends after it starts, and in the future")
    if ends_ms - starts_ms > limits.SILENCE_MAX_MS:
        raise Refused("a silence lasts at most 366 days")
    if starts_ms - now_ms > limits.SILENCE_MAX_MS:
        raise Refused("a silence starts within 366 days")
    id_ = uuid.uuid4().hex
    with engine.begin() as connection:
        connection.execute(
            insert(silence).values(
                id=id_,
                matcher=matcher.model_dump_json(exclude_defaults=True),
                starts_ms=starts_ms,
                ends_ms=ends_ms,
                actor=actor,
                comment=comment,
                made_ms=now_ms,
            )
        )
    return find_silence(engine, id_)


def end_silence(engine: Engine, id_: str, now_ms: int) -> Silence:
    """It hides nothing from now on; raises `NotFound`, or `Refused` when it is over."""
    with engine.begin() as connection:
        going_on = silence.c.id == id_, silence.c.ends_ms > now_ms
        would_end_ms = connection.scalar(select(silence.c.ends_ms).where(*going_on))
        if would_end_ms is not None:
            connection.execute(update(silence).where(*going_on).values(ends_ms=now_ms))
            _look_at_all(connection, now_ms)
    found = find_silence(engine, id_)
    if would_end_ms is None:
        raise Refused("the silence is over")
    return found


def _look_at_all(connection: Connection, now_ms: int) -> None:
    """Timers look at every alert that goes on, for any may have waited for the silence.

    Even those that are due: on PostgreSQL, timers may be about to write that they wait.
    """
    going_on = alert.c.due_ms.is_not(None), alert.c.state != AlertState.RESOLVED
    connection.execute(locked(select(alert.c.id).where(*going_on)))
    connection.execute(update(alert).where(*going_on).values(due_ms=now_ms))


def find_silence(engine: Engine, id_: str) -> Silence:
    """Raises `NotFound`."""
    with reading(engine) as connection:
        row = connection.execute(_SILENCES.where(silence.c.id == id_)).one_or_none()
    if row is None:
        raise NotFound("no silence has that id")
    return _silence(row)


def list_silences(
    engine: Engine, *, after: int = 0, limit: int = 100, over: bool | None = None, now_ms: int = 0
) -> list[Silence]:
    """At most `limit`, oldest first; only those that are over, or are not, when `over` is given."""
    query = _SILENCES.where(silence.c.sequence > after)
    if over is not None:
        query = query.where(silence.c.ends_ms <= now_ms if over else silence.c.ends_ms > now_ms)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(silence.c.sequence).limit(limit))
        return [_silence(row) for row in rows]


def active_silences(connection: Connection, now_ms: int) -> list[Silence]:
    """Those that hide something now, oldest first."""
    query = (
        _SILENCES.where(silence.c.starts_ms <= now_ms, silence.c.ends_ms > now_ms)
        .with_only_columns(*_COLUMNS)
        .order_by(silence.c.sequence)
    )
    return [_silence(row) for row in connection.execute(query)]


def hidden_by(silences: Iterable[Silence], facts: Facts) -> Silence | None:
    return next((one for one in silences if one.matcher.fits(facts)), None)


def preview(engine: Engine, matcher: Matcher, tags_of: TagsOf) -> Preview:
    """What a silence with this matcher would hide, were it made now."""
    going_on = ALERTS.where(alert.c.state != AlertState.RESOLVED).order_by(alert.c.sequence.desc())
    newest = (
        select(detection.c.rule, detection.c.severity, detection.c.body)
        .order_by(detection.c.sequence.desc())
        .limit(limits.PREVIEW_DETECTIONS_MAX)
    )
    with reading(engine) as connection:
        alerts = [
            one
            for one in alerts_of(connection, going_on.limit(limits.PREVIEW_ALERTS_MAX))
            if matcher.fits(alert_facts(one, tags_of))
        ]
        rows = connection.execute(newest).all()
    hidden = sum(
        matcher.fits(Facts(rule, severity, tags_of(rule), key_texts(orjson.loads(body).get("key"))))
        for rule, severity, body in rows
    )
    return Preview(alerts, hidden, len(rows))


def alert_facts(one: Alert, tags_of: TagsOf) -> Facts:
    return Facts(one.rule, one.severity, tags_of(one.rule), key_texts(orjson.loads(one.key)))


def _silence(row: object) -> Silence:
    values = dict(row._mapping)  # type: ignore[attr-defined]
    return Silence(**values | {"matcher": Matcher.model_validate_json(values["matcher"])})


_COLUMNS = tuple(
    silence.c[name]
    for name in (
        "sequence",
        "id",
        "matcher",
        "starts_ms",
        "ends_ms",
        "actor",
        "comment",
        "made_ms",
    )
)
_SILENCES = select(
    *_COLUMNS,
    select(func.count())
    .where(alert_detection.c.hidden_by == silence.c.id)
    .scalar_subquery()
    .label("hidden"),
)
