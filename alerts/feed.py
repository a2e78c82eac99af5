"""What happens to alerts, for whoever watches: new ones and changed ones, in the order seen.

The store is looked at when somebody asks, at most once per `FEED_POLL_MS` however many ask.  A look
compares the alerts that are going on with those of the look before; so between two looks changes of
one alert are told as one, and what is done to an alert that is over (a comment) is not told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, select

from alerts import limits
from alerts.alert import ALERTS, Alert, AlertState, alerts_of
from cep.store.connect import reading
from cep.store.tables import alert


@dataclass(frozen=True, slots=True)
class Change:
    """`number` counts the changes of this feed, from 1; the alert is as it was found."""

    number: int
    is_new: bool
    alert: Alert


class _Seen(NamedTuple):
    """What two looks at an alert compare."""

    version: int
    detections: int
    state: str


class AlertFeed:
    """The newest `limits.FEED_CHANGES_KEPT` changes since the first look, for any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._changes: deque[Change] = deque(maxlen=limits.FEED_CHANGES_KEPT)
        self._last = 0
        self._seen: dict[str, _Seen] | None = None
        self._newest = 0  # the highest sequence of an alert
        self._looked = 0.0

    def after(self, number: int) -> tuple[list[Change], int]:
        """Changes with a higher number, and the number of the last one.

        Raises `LookupError` when they are not all kept any more, or never were there.
        """
        with self._lock:
            if self._seen is None or (monotonic() - self._looked) * 1000 >= limits.FEED_POLL_MS:
                self._look()
                self._looked = monotonic()
            if not self._last - len(self._changes) <= number <= self._last:
                raise LookupError
            return [one for one in self._changes if one.number > number], self._last

    def last(self) -> int:
        """The number of the newest change there is now."""
        with self._lock:
            if self._seen is None:
                self._look()
            return self._last

    def _look(self) -> None:
        with reading(self._engine) as connection:
            going_on = _going_on(connection)
            newest = connection.execute(select(func.max(alert.c.sequence))).scalar_one() or 0
            if self._seen is not None:
                for one in self._changed(connection, self._seen, going_on):
                    self._last += 1
                    is_new = one.sequence > self._newest
                    self._changes.append(Change(self._last, is_new, one))
        self._seen, self._newest = going_on, newest

    def _changed(
        self, connection: Connection, before: dict[str, _Seen], now: dict[str, _Seen]
    ) -> Iterator[Alert]:
        """Alerts that are not as they were, in the order they were opened."""
        ids = {id_ for id_, seen in now.items() if before.get(id_) != seen}
        ids.update(before.keys() - now.keys())  # over, or beyond what is looked at
        ids.update(_opened_since(connection, self._newest))
        changed = [one for one in _read(connection, ids) if _is_told(one, now)]
        yield from sorted(changed, key=lambda one: one.sequence)


def _is_told(one: Alert, now: dict[str, _Seen]) -> bool:
    return one.id in now or one.state == AlertState.RESOLVED


def _going_on(connection: Connection) -> dict[str, _Seen]:
    """By id, the newest that are open or acknowledged."""
    query = (
        select(alert.c.id, alert.c.version, alert.c.detections, alert.c.state)
        .where(alert.c.state.in_((AlertState.OPEN, AlertState.ACKNOWLEDGED)))
        .order_by(alert.c.sequence.desc())
        .limit(limits.FEED_ALERTS_MAX)
    )
    return {row[0]: _Seen(row[1], row[2], row[3]) for row in connection.execute(query)}


def _opened_since(connection: Connection, sequence: int) -> list[str]:
    query = select(alert.c.id).where(alert.c.sequence > sequence).order_by(alert.c.sequence)
    return list(connection.execute(query.limit(limits.FEED_CHANGES_KEPT)).scalars())


def _read(connection: Connection, ids: set[str]) -> Iterator[Alert]:
    every = sorted(ids)
    for start in range(0, len(every), limits.FEED_READ_ROWS):
        some = every[start : start + limits.FEED_READ_ROWS]
        yield from alerts_of(connection, ALERTS.where(alert.c.id.in_(some)))
