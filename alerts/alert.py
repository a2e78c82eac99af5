"""An alert: the episode that the detections of a rule for a key belong to, until it is resolved.

    open ──acknowledge──► acknowledged
      │ ▲                      │ ▲
      │ └────── reopen ─────┐  │ │
      └──── resolve ───► resolved

People change it (`alerts.lifecycle`), rules end it (`resolve on`, `resolve when`), and routes let
time do both (`alerts.timers`).  Detections join it in `alerts.episodes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from alerts.message import Episode
from cep.store.tables import alert, alert_action


class AlertState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Disposition(StrEnum):
    """What a resolved alert turned out to be."""

    TRUE_POSITIVE = "true_positive"
    FALSE_POSITIVE = "false_positive"
    BENIGN = "benign"
    DUPLICATE = "duplicate"


class Action(StrEnum):
    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    COMMENTED = "commented"
    SNOOZED = "snoozed"
    WOKEN = "woken"  # the snooze is over
    RESOLVED = "resolved"
    REOPENED = "reopened"
    REMINDED = "reminded"
    ESCALATED = "escalated"


RULE = "rule"
"""The actor of what a rule's `resolve` does; times and routes act as `ROUTE`."""

ROUTE = "route"


@dataclass(slots=True)
class Alert:
    """One row of the table `alert`, whose columns say what is what; `sequence` 0: not written."""

    id: str
    dedup_key: str
    rule: str
    severity: str
    key: bytes
    title: str
    opened_ms: int
    waiting_ms: int
    last_ms: int
    first_at_ms: int
    last_at_ms: int
    route: str | None
    due_ms: int | None
    reminded_ms: int
    state: str = AlertState.OPEN
    version: int = 1
    detections: int = 0
    escalations: int = 0
    resolved_ms: int | None = None
    assignee: str | None = None
    disposition: str | None = None
    snoozed_until_ms: int | None = None
    sequence: int = 0

    def is_snoozed(self, now_ms: int) -> bool:
        return self.snoozed_until_ms is not None and now_ms < self.snoozed_until_ms

    def resolve(self, now_ms: int, disposition: Disposition | None = None) -> None:
        self.state, self.resolved_ms = AlertState.RESOLVED, now_ms
        self.disposition, self.snoozed_until_ms = disposition, None
        self.due_ms = now_ms  # for the messages that say so
        self.version += 1

    def episode(self) -> Episode:
        """What messages say of it."""
        return Episode(
            id=self.id,
            rule=self.rule,
            severity=self.severity,
            title=self.title,
            state=self.state,
            opened_ms=self.opened_ms,
            detections=self.detections,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """One entry of an alert's history."""

    alert_id: str
    action: Action
    actor: str
    detail: str = ""


def alert_id(detection_id: str) -> str:
    """The id of the alert that a detection opens: 32 hex digits."""
    return hashlib.sha256(f"alert\n{detection_id}".encode()).hexdigest()[:32]


def dedup_key(rule: str, key: object) -> str:
    """Detections with the same one belong to one episode: 32 hex digits."""
    text = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(f"{rule}\n".encode() + text).hexdigest()[:32]


_NAMES = tuple(field.name for field in fields(Alert))
_CHANGING = tuple(
    name for name in _NAMES if name not in ("sequence", "id", "dedup_key", "rule", "severity")
)

ALERTS: Select[*tuple[object, ...]] = select(*(alert.c[name] for name in _NAMES))
"""All columns of alerts, for `alerts_of`."""


def locked(alerts: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """The query, such that nobody else changes its rows before the end of the transaction.

    Everybody locks several alerts in the same order: else two could wait for each other.
    """
    return alerts.order_by(alert.c.sequence).with_for_update()


def alerts_of(connection: Connection, query: Select[*tuple[object, ...]]) -> list[Alert]:
    """The rows of a query made from `ALERTS`."""
    return [Alert(**row._mapping) for row in connection.execute(query)]


def write_alerts(connection: Connection, fresh: Iterable[Alert], changed: Iterable[Alert]) -> None:
    """Updates and inserts whole rows; in that order, for what is resolved makes room."""
    rows = [{"of": one.id} | {name: getattr(one, name) for name in _CHANGING} for one in changed]
    if rows:
        values: dict[str, object] = {name: bindparam(name) for name in _CHANGING}
        connection.execute(update(alert).where(alert.c.id == bindparam("of")).values(values), rows)
    rows = [{name: getattr(one, name) for name in _NAMES if name != "sequence"} for one in fresh]
    if rows:
        connection.execute(insert(alert), rows)


def write_history(connection: Connection, done: list[Done], now_ms: int) -> None:
    if not done:
        return
    last = (
        select(alert_action.c.alert_id, func.max(alert_action.c.number))
        .where(alert_action.c.alert_id.in_({one.alert_id for one in done}))
        .group_by(alert_action.c.alert_id)
    )
    numbers: dict[str, int] = {row[0]: row[1] for row in connection.execute(last)}
    rows = []
    for one in done:
        numbers[one.alert_id] = number = numbers.get(one.alert_id, 0) + 1
        rows.append(
            {
                "alert_id": one.alert_id,
                "number": number,
                "at_ms": now_ms,
                "actor": one.actor,
                "action": one.action,
                "detail": one.detail,
            }
        )
    connection.execute(insert(alert_action), rows)
