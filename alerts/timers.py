"""What time does to alerts: reminders, escalation, the end of a snooze, and resolving by itself.

An alert's `due_ms` says when to look at it; each look does what is due, and says when to look next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, func, select, update

from alerts import limits
from alerts.alert import (
    ALERTS,
    ROUTE,
    Action,
    Alert,
    AlertState,
    Done,
    alerts_of,
    locked,
    write_alerts,
    write_history,
)
from alerts.config import Destinations
from alerts.matching import Facts
from alerts.message import Kind
from alerts.outgoing import Outgoing, heard
from alerts.policy import Policy
from alerts.routes import Route, route_named
from alerts.silences import Silence, active_silences, alert_facts, hidden_by
from cep.store.connect import reading
from cep.store.tables import alert, alert_detection, detection
from dsl.strings import duration_text


def next_due_ms(one: Alert, route: Route) -> int | None:
    """When time does something to the alert next; None when it never will."""
    if one.state == AlertState.RESOLVED:
        return None
    moments = []
    if route.resolve_after is not None:
        moments.append(one.last_ms + route.resolve_after)
    if one.snoozed_until_ms is not None:
        moments.append(one.snoozed_until_ms)
    elif one.state == AlertState.OPEN:
        if route.remind_every is not None:
            moments.append(one.reminded_ms + route.remind_every)
        if one.escalations < len(route.escalate):
            moments.append(one.waiting_ms + route.escalate[one.escalations].after)
    return min(moments, default=None)


def look_at_all(engine: Engine, now_ms: int) -> None:
    """Makes every alert that goes on and has a route due, for the routes may have changed."""
    later = func.coalesce(alert.c.due_ms, now_ms + 1) > now_ms
    going_on = alert.c.state != AlertState.RESOLVED, alert.c.route.is_not(None), later
    with engine.begin() as connection:
        connection.execute(locked(select(alert.c.id).where(*going_on)))
        connection.execute(update(alert).where(*going_on).values(due_ms=now_ms))


def run_timers(engine: Engine, policy: Policy, now_ms: int) -> int:
    """Looks at the alerts that are due, at most `ALERTS_DUE_MAX`; how many they were."""
    due = ALERTS.where(alert.c.due_ms <= now_ms).order_by(alert.c.due_ms)
    with reading(engine) as connection:
        found = alerts_of(connection, due.limit(limits.ALERTS_DUE_MAX))
    if not found:
        return 0
    facts = {one.id: alert_facts(one, policy.tags_of) for one in found}  # may ask the store
    with engine.begin() as connection:
        still = ALERTS.where(alert.c.id.in_(facts), alert.c.due_ms <= now_ms)
        alerts = alerts_of(connection, locked(still))
        looks = _Looks(connection, policy.destinations, now_ms, alerts, facts)
        for one in alerts:
            looks.look(one)
        looks.write(alerts)
    return len(alerts)


@dataclass(slots=True)
class _Looks:
    connection: Connection
    destinations: Destinations
    now_ms: int
    alerts: list[Alert]
    facts: dict[str, Facts]
    outgoing: Outgoing = field(init=False)
    heard: dict[str, list[str]] = field(init=False)
    newest: dict[str, str] = field(init=False)
    silences: list[Silence] = field(init=False)
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = [one.id for one in self.alerts]
        self.outgoing = Outgoing(self.connection, self.destinations, self.now_ms, alerts=ids)
        self.heard = heard(self.connection, ids)
        self.newest = _newest_detections(self.connection, ids)
        self.silences = active_silences(self.connection, self.now_ms)

    def look(self, one: Alert) -> None:
        route = route_named(self.destinations.routes, one.route)
        if one.state != AlertState.RESOLVED:
            self._end(one, route)
        if one.state == AlertState.RESOLVED:
            self._say_resolved(one)
            one.due_ms = None
            return
        silence = hidden_by(self.silences, self.facts[one.id])
        if silence is None:
            self._wake(one)
            if one.state == AlertState.OPEN and one.snoozed_until_ms is None:
                self._escalate(one, route)
                self._remind(one, route)
        one.due_ms = next_due_ms(one, route)
        if silence is not None and one.due_ms is not None:
            # Nothing is told before; but an alert ends in its time.
            later = max(one.due_ms, silence.ends_ms)
            after = route.resolve_after
            one.due_ms = later if after is None else min(later, one.last_ms + after)

    def write(self, alerts: list[Alert]) -> None:
        write_alerts(self.connection, [], alerts)
        write_history(self.connection, self.done, self.now_ms)
        self.outgoing.write()

    def _end(self, one: Alert, route: Route) -> None:
        after = route.resolve_after
        if after is not None and self.now_ms >= one.last_ms + after:
            one.resolve(self.now_ms)
            note = f"no new detection for {duration_text(after)}"
            self.done.append(Done(one.id, Action.RESOLVED, ROUTE, note))

    def _say_resolved(self, one: Alert) -> None:
        note = f"Resolved: {one.disposition or 'no longer the case'}."
        for name in self.heard.get(one.id, ()):
            destination = self.destinations.destinations.get(name)
            if destination is not None and destination.resolved:
                self._announce(Kind.RESOLVED, one, name, note)

    def _wake(self, one: Alert) -> None:
        if one.snoozed_until_ms is None or self.now_ms < one.snoozed_until_ms:
            return
        one.snoozed_until_ms, one.reminded_ms = None, self.now_ms
        one.version += 1
        self.done.append(Done(one.id, Action.WOKEN, ROUTE))
        for name in self.heard.get(one.id, ()):
            self._announce(Kind.REMINDER, one, name, "The alert was snoozed and still goes on.")

    def _escalate(self, one: Alert, route: Route) -> None:
        for step in route.escalate[one.escalations :]:
            if self.now_ms < one.waiting_ms + step.after:
                return
            one.escalations += 1
            self.done.append(Done(one.id, Action.ESCALATED, ROUTE, ", ".join(step.to)))
            for name in step.to:
                note = f"Nobody has acknowledged the alert in {duration_text(step.after)}."
                self._announce(Kind.ESCALATION, one, name, note)

    def _remind(self, one: Alert, route: Route) -> None:
        every = route.remind_every
        if every is None or self.now_ms < one.reminded_ms + every:
            return
        one.reminded_ms = self.now_ms
        self.done.append(Done(one.id, Action.REMINDED, ROUTE))
        for name in self.heard.get(one.id, ()):
            self._announce(Kind.REMINDER, one, name, "The alert is still open.")

    def _announce(self, kind: Kind, one: Alert, name: str, note: str) -> None:
        place = f"{self.now_ms} {one.escalations}"
        self.outgoing.announce(kind, one, name, self.newest[one.id], place, note)


def _newest_detections(connection: Connection, alerts: list[str]) -> dict[str, str]:
    """Of each alert, the id of the detection that was committed last."""
    newest = (
        select(alert_detection.c.alert_id, func.max(detection.c.sequence).label("sequence"))
        .join(detection, detection.c.id == alert_detection.c.detection_id)
        .where(alert_detection.c.alert_id.in_(alerts))
        .group_by(alert_detection.c.alert_id)
        .subquery()
    )
    query = select(newest.c.alert_id, detection.c.id).join(
        newest, newest.c.sequence == detection.c.sequence
    )
    return {row[0]: row[1] for row in connection.execute(query)}
