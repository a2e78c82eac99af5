"""What people do to alerts: acknowledge, assign, comment, snooze, resolve, reopen.

Each function is one transaction and leaves an entry in the alert's history.  `version` is that of
the alert as its reader saw it, or None for whichever there is.  Raises `NotFound`, `Stale` when the
alert has changed since, and `Refused` for what cannot be done in its state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from alerts import limits
from alerts.alert import (
    ALERTS,
    Action,
    Alert,
    AlertState,
    Disposition,
    Done,
    alerts_of,
    write_alerts,
    write_history,
)
from alerts.errors import NotFound, Refused, Stale
from alerts.message import rfc3339
from cep.store.tables import alert


@dataclass(frozen=True, slots=True)
class By:
    """Who does it, when, and what they saw."""

    actor: str
    now_ms: int
    version: int | None = None


def acknowledge(engine: Engine, id_: str, by: By) -> Alert:
    """Somebody looks after it: no more reminders, and nobody else is called."""
    with _changing(engine, id_, by, Action.ACKNOWLEDGED) as change:
        if change.alert.state != AlertState.OPEN:
            raise Refused(f"the alert is {change.alert.state}")
        change.alert.state = AlertState.ACKNOWLEDGED
        change.alert.assignee = change.alert.assignee or by.actor
        change.alert.due_ms = by.now_ms
    return change.alert


def assign(engine: Engine, id_: str, by: By, assignee: str | None) -> Alert:
    """To a person, or to nobody."""
    with _changing(engine, id_, by, Action.ASSIGNED) as change:
        change.alert.assignee = assignee
        change.detail = assignee or "nobody"
    return change.alert


def comment(engine: Engine, id_: str, by: By, text: str) -> Alert:
    with _changing(engine, id_, by, Action.COMMENTED) as change:
        change.detail = text
    return change.alert


def snooze(engine: Engine, id_: str, by: By, until_ms: int) -> Alert:
    """Nobody is told anything of it until then; if it is going on then, they are reminded."""
    with _changing(engine, id_, by, Action.SNOOZED) as change:
        if change.alert.state == AlertState.RESOLVED:
            raise Refused("the alert is resolved")
        if not by.now_ms < until_ms <= by.now_ms + limits.SILENCE_MAX_MS:
            raise Refused("a snooze ends in the future, within 366 days")
        change.alert.snoozed_until_ms, change.alert.due_ms = until_ms, by.now_ms
        change.detail = f"until {rfc3339(until_ms)}"
    return change.alert


def resolve(engine: Engine, id_: str, by: By, disposition: Disposition, text: str = "") -> Alert:
    """It is over; the next detection opens another alert."""
    with _changing(engine, id_, by, Action.RESOLVED) as change:
        if change.alert.state == AlertState.RESOLVED:
            raise Refused("the alert is resolved")
        change.alert.resolve(by.now_ms, disposition)
        change.detail = f"{disposition}: {text}".rstrip(": ")
    return change.alert


def reopen(engine: Engine, id_: str, by: By) -> Alert:
    """It was not over; refused when a later alert of the same rule and key goes on."""
    try:
        return _reopen(engine, id_, by)
    except IntegrityError as error:  # PostgreSQL: the later one was opened at the same moment
        raise Refused("a later alert of the same rule and key is going on") from error


def _reopen(engine: Engine, id_: str, by: By) -> Alert:
    with _changing(engine, id_, by, Action.REOPENED) as change:
        one = change.alert
        if one.state == AlertState.OPEN:
            raise Refused("the alert is open")
        going_on = select(alert.c.id).where(
            alert.c.dedup_key == one.dedup_key,
            alert.c.state != AlertState.RESOLVED,
            alert.c.id != one.id,
        )
        later = change.connection.scalar(going_on)
        if later is not None:
            raise Refused(f"a later alert of the same rule and key is going on: {later}")
        one.state, one.resolved_ms, one.disposition = AlertState.OPEN, None, None
        one.escalations, one.waiting_ms, one.reminded_ms = 0, by.now_ms, by.now_ms
        one.last_ms = by.now_ms
        one.due_ms = by.now_ms
    return change.alert


@dataclass(slots=True)
class _Change:
    connection: Connection
    alert: Alert
    detail: str = ""


@contextmanager
def _changing(engine: Engine, id_: str, by: By, action: Action) -> Iterator[_Change]:
    """Reads the alert, lets it be changed, writes it and its history."""
    with engine.begin() as connection:
        rows = alerts_of(connection, ALERTS.where(alert.c.id == id_).with_for_update())
        if not rows:
            raise NotFound("no alert has that id")
        change = _Change(connection, rows[0])
        if by.version is not None and by.version != change.alert.version:
            raise Stale("the alert has changed since")
        before = change.alert.version
        yield change
        change.alert.version = before + 1
        write_alerts(connection, [], [change.alert])
        write_history(connection, [Done(id_, action, by.actor, change.detail)], by.now_ms)
