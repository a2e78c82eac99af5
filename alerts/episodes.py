"""Detections join alerts, and resolutions end them, within one transaction of a claim.

Detections and resolutions of one rule and key are taken in the order of event time; at the same
instant, in that of their positions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Engine, delete, insert, select

from alerts import limits
from alerts.alert import (
    ALERTS,
    RULE,
    Action,
    Alert,
    AlertState,
    Done,
    alert_id,
    alerts_of,
    dedup_key,
    locked,
    write_alerts,
    write_history,
)
from alerts.matching import Facts, TagsOf, key_texts
from alerts.message import Subject
from alerts.routes import Route
from alerts.texts import cut, one_line
from alerts.timers import next_due_ms
from cep.store.connect import reading
from cep.store.tables import alert, alert_detection, detection, resolution, taken_in

_RESOLUTIONS = "resolutions"


@dataclass(frozen=True, slots=True)
class Found:
    """A detection, and what of its body decides where it belongs."""

    subject: Subject
    facts: Facts
    key: object
    dedup_key: str
    title: str
    position: int  # of its last event; -1 without one

    @property
    def place(self) -> tuple[int, int]:
        return self.subject.at_ms, self.position


@dataclass(frozen=True, slots=True)
class Resolved:
    """A resolution that was not taken in yet."""

    sequence: int
    dedup_key: str
    at_ms: int
    position: int

    @property
    def place(self) -> tuple[int, int]:
        return self.at_ms, self.position


def found(subject: Subject, tags_of: TagsOf) -> Found:
    """A body that is not what it should be gives an alert all the same."""
    body = _object(subject.body)
    title = one_line(str(body.get("message") or ""))  # PostgreSQL has no NUL in text
    key = body.get("key")
    return Found(
        subject=subject,
        facts=Facts(subject.rule, subject.severity, tags_of(subject.rule), key_texts(key)),
        key=key,
        dedup_key=dedup_key(subject.rule, key),
        title=cut(title, limits.TITLE_CHARACTERS_MAX),
        position=_position(body.get("events")),
    )


def _object(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _position(events: object) -> int:
    last = events[-1] if isinstance(events, list) and events else None
    position = last.get("position") if isinstance(last, dict) else None
    return position if isinstance(position, int) else -1


def read_resolutions(engine: Engine, after: int | None = None) -> list[Resolved]:
    """The oldest ones that were not taken in, or above the sequence `after`.

    What they end is in the outbox by now, or was.
    """
    before = select(taken_in.c.sequence).where(taken_in.c.what == _RESOLUTIONS)
    with reading(engine) as connection:
        if after is None:
            after = connection.scalar(before) or 0
        query = (
            select(resolution)
            .where(resolution.c.sequence > after)
            .order_by(resolution.c.sequence)
            .limit(limits.RESOLUTIONS_MAX)
        )
        return [
            Resolved(
                row.sequence, dedup_key(row.rule, orjson.loads(row.key)), row.at_ms, row.position
            )
            for row in connection.execute(query)
        ]


class Episodes:
    """The alerts of some keys that are going on, as a transaction sees and changes them."""

    def __init__(
        self,
        connection: Connection,
        keys: Collection[str],
        resolutions: Iterable[Resolved],
        now_ms: int,
    ) -> None:
        query = locked(
            ALERTS.where(alert.c.dedup_key.in_(set(keys)), alert.c.state != AlertState.RESOLVED)
        )
        self._connection, self._now_ms = connection, now_ms
        self._going_on = {one.dedup_key: one for one in alerts_of(connection, query)}
        self.known = {one.id for one in self._going_on.values()}
        """Ids of the alerts that were there before."""
        self.applied: set[int] = set()
        """Sequences of the resolutions that were taken in."""
        self._places: dict[str, tuple[int, int]] = {}  # of the newest detection, by alert
        self._pending: dict[str, list[Resolved]] = {}
        for one in sorted(resolutions, key=lambda one: one.place):
            self._pending.setdefault(one.dedup_key, []).append(one)
        self._fresh: dict[str, Alert] = {}
        self._changed: dict[str, Alert] = {}
        self._done: list[Done] = []

    def join(self, one: Found, route: Route) -> Alert:
        """The alert that the detection belongs to from now on; a new one when none is going on."""
        pending = self._pending.get(one.dedup_key, [])
        while pending and pending[0].place < one.place:
            self._resolve(pending.pop(0))
        going_on = self._going_on.get(one.dedup_key)
        if going_on is None:
            going_on = self._open(one, route)
        elif going_on.id not in self._fresh:
            self._changed[going_on.id] = going_on
        going_on.detections += 1
        going_on.last_ms = self._now_ms
        going_on.last_at_ms = max(going_on.last_at_ms, one.subject.at_ms)
        # Timers are those of the route it was opened with, which may be another one by now.
        own = going_on.route == (route.name or None)
        going_on.due_ms = next_due_ms(going_on, route) if own else self._now_ms
        self._places[going_on.id] = max(one.place, self._places.get(going_on.id, one.place))
        return going_on

    def _open(self, one: Found, route: Route) -> Alert:
        subject, now_ms = one.subject, self._now_ms
        opened = Alert(
            id=alert_id(subject.detection_id),
            dedup_key=one.dedup_key,
            rule=subject.rule,
            severity=subject.severity,
            key=orjson.dumps(one.key),
            title=one.title,
            opened_ms=now_ms,
            waiting_ms=now_ms,
            last_ms=now_ms,
            first_at_ms=subject.at_ms,
            last_at_ms=subject.at_ms,
            route=route.name or None,
            due_ms=None,
            reminded_ms=now_ms,
        )
        self._going_on[one.dedup_key] = self._fresh[opened.id] = opened
        self._done.append(Done(opened.id, Action.OPENED, RULE, subject.detection_id))
        return opened

    def resolve_all(self) -> None:
        """Takes in every resolution that is left."""
        for pending in self._pending.values():
            for one in pending:
                self._resolve(one)
        self._pending.clear()

    def _resolve(self, one: Resolved) -> None:
        self.applied.add(one.sequence)
        ended = self._going_on.get(one.dedup_key)
        if ended is None or not self._is_behind(one, ended):
            return
        del self._going_on[one.dedup_key]
        ended.resolve(self._now_ms)
        if ended.id not in self._fresh:
            self._changed[ended.id] = ended
        self._done.append(Done(ended.id, Action.RESOLVED, RULE))

    def _is_behind(self, one: Resolved, of: Alert) -> bool:
        """Whether the resolution comes after every detection of the alert, or with the last."""
        if one.at_ms != of.last_at_ms:
            return one.at_ms > of.last_at_ms
        if one.place < self._places.get(of.id, one.place):
            return False
        return of.id not in self.known or one.position >= self._last_position(of)

    def _last_position(self, of: Alert) -> int:
        """Of the detections at the alert's last instant that earlier transactions took in."""
        query = (
            select(detection.c.body)
            .join(alert_detection, alert_detection.c.detection_id == detection.c.id)
            .where(alert_detection.c.alert_id == of.id, detection.c.at_ms == of.last_at_ms)
        )
        bodies = self._connection.scalars(query)
        return max((_position(_object(body).get("events")) for body in bodies), default=-1)

    def write(self) -> None:
        """Before anything that refers to the alerts."""
        write_alerts(self._connection, self._fresh.values(), self._changed.values())
        write_history(self._connection, self._done, self._now_ms)


def end_by_resolutions(engine: Engine, resolutions: Sequence[Resolved], now_ms: int) -> None:
    """Ends alerts, and marks these resolutions and all before them as taken in.

    No detection that came before one of them may still be in the outbox.
    """
    size = limits.RESOLUTIONS_AT_ONCE
    for start in range(0, len(resolutions), size):
        part = resolutions[start : start + size]
        with engine.begin() as connection:
            keys = {one.dedup_key for one in part}
            episodes = Episodes(connection, keys, part, now_ms)
            episodes.resolve_all()
            episodes.write()
            connection.execute(delete(taken_in).where(taken_in.c.what == _RESOLUTIONS))
            connection.execute(
                insert(taken_in).values(what=_RESOLUTIONS, sequence=part[-1].sequence)
            )
