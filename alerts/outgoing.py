"""New messages of one transaction: told at once, or gathered with others of the same time.

A message belongs to a thread; those of one thread go to a destination one after the other
(`alerts.deliveries`).  The thread of an alert is the alert; what a route gathers, and what a storm
gathers, are threads of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sqlalchemy import Connection, case, func, insert, select

from alerts.alert import Alert
from alerts.config import Destinations
from alerts.deliveries import NewDelivery, delivery_id, newest_sequence
from alerts.message import Kind
from alerts.reasons import UNFINISHED, Reason, State
from alerts.routes import Route
from cep.store.tables import delivery, delivery_detection
from dsl.strings import duration_text

STORM = "storm"


@dataclass(slots=True)
class _Gathering:
    """A message that still takes detections in."""

    delivery_id: str
    detections: int


class _End(NamedTuple):
    """The last message of a thread to a destination, and whether any is not finished."""

    number: int
    busy: bool


class Outgoing:
    """`write` puts down what was told before.  Destinations that are not configured get a dead
    delivery each, so that nothing is lost when they are only missing from the file."""

    def __init__(
        self,
        connection: Connection,
        destinations: Destinations,
        now_ms: int,
        *,
        alerts: Collection[str] = (),
        detections: Collection[str] = (),
    ) -> None:
        """`alerts` and `detections`: ids of those that may have messages already."""
        self._connection, self._destinations, self._now_ms = connection, destinations, now_ms
        self._fresh: dict[str, NewDelivery] = {}
        self._gathered: list[dict[str, object]] = []
        self._ends = self._ends_of(alerts)
        self._known = self._told_before(detections)
        self._recent: dict[str, int] = {}  # messages to a destination in the time of its storm

    # ------------------------------------------------------------------------------ telling

    def tell(self, detection_id: str, of: Alert, route: Route, name: str, sequence: int) -> None:
        """Tells of one detection to one destination, once, however often it is asked for."""
        if (detection_id, name) in self._known:
            return
        self._known.add((detection_id, name))
        sequence = max(sequence, self._newest_sequence)  # PostgreSQL: rows may be seen late
        storm = self._storm(name) if route.batch is None else None
        if route.batch is not None:
            note = f"Detections of {duration_text(route.batch)} together."
            self._gather(detection_id, of, name, sequence, f"batch {route.name}", route.batch, note)
        elif storm is not None:
            limit = self._destinations.destinations[name].storm
            assert limit is not None
            note = (
                f"Storm: more than {limit.messages} messages in {duration_text(limit.per)}; "
                "what came after them is told together."
            )
            self._gather(detection_id, of, name, sequence, STORM, storm, note)
        else:
            self._add(
                NewDelivery(
                    id=delivery_id(detection_id, name),
                    kind=Kind.DETECTION,
                    detection_id=detection_id,
                    alert_id=of.id,
                    destination=name,
                    thread=of.id,
                    sequence=sequence,
                    created_ms=self._now_ms,
                    next_attempt_ms=self._now_ms,
                )
            )

    def announce(
        self, kind: Kind, of: Alert, name: str, detection_id: str, place: str, note: str
    ) -> None:
        """Something about an alert itself; `place` tells it from others of its kind."""
        self._add(
            NewDelivery(
                id=delivery_id(f"{kind}\n{of.id}\n{place}", name),
                kind=kind,
                detection_id=detection_id,
                alert_id=of.id,
                destination=name,
                thread=of.id,
                sequence=self._newest_sequence,
                created_ms=self._now_ms,
                next_attempt_ms=self._now_ms,
                note=note,
            )
        )

    def write(self) -> int:
        """How many new messages there are."""
        if self._fresh:
            self._connection.execute(insert(delivery), [one.row() for one in self._fresh.values()])
        if self._gathered:
            self._connection.execute(insert(delivery_detection), self._gathered)
        return len(self._fresh)

    # ------------------------------------------------------------------------------ gathering

    def _gather(
        self,
        detection_id: str,
        of: Alert,
        name: str,
        sequence: int,
        thread: str,
        for_ms: int,
        note: str,
    ) -> None:
        gathering = self._gatherings.get((thread, name))
        if gathering is None:
            gathering = _Gathering(delivery_id(f"{thread}\n{detection_id}", name), 0)
            self._gatherings[thread, name] = gathering
            self._add(
                NewDelivery(
                    id=gathering.delivery_id,
                    kind=Kind.GATHERED,
                    detection_id=detection_id,
                    alert_id=None,
                    destination=name,
                    thread=thread,
                    sequence=sequence,
                    created_ms=self._now_ms,
                    next_attempt_ms=self._now_ms + for_ms,
                    state=State.GATHERING,
                    note=note,
                )
            )
        gathering.detections += 1
        self._gathered.append(
            {
                "delivery_id": gathering.delivery_id,
                "detection_id": detection_id,
                "alert_id": of.id,
                "number": gathering.detections,
            }
        )

    def _storm(self, name: str) -> int | None:
        """How long to gather for, when the destination has got too much already."""
        destination = self._destinations.destinations.get(name)
        if destination is None or destination.storm is None:
            return None
        storm = destination.storm
        if (STORM, name) not in self._gatherings and self._count(name) < storm.messages:
            return None
        return storm.per

    def _count(self, name: str) -> int:
        if name not in self._recent:
            storm = self._destinations.destinations[name].storm
            assert storm is not None
            newest = (
                select(delivery.c.id)
                .where(
                    delivery.c.destination == name,
                    delivery.c.created_ms > self._now_ms - storm.per,
                )
                .limit(storm.messages)
                .subquery()
            )
            count = self._connection.scalar(select(func.count()).select_from(newest)) or 0
            fresh = sum(one.destination == name for one in self._fresh.values())
            self._recent[name] = count + fresh
        return self._recent[name]

    # ------------------------------------------------------------------------------ what there is

    def _add(self, one: NewDelivery) -> None:
        """Once, however often: a second one would wait for the first, whose place it has taken."""
        if one.id in self._fresh:
            return
        if one.destination not in self._destinations.destinations:
            one.state, one.reason = State.DEAD, Reason.DESTINATION_UNKNOWN
        place = one.thread, one.destination
        if one.thread != one.alert_id and place not in self._ends:
            self._ends |= self._ends_of([one.thread])
        end = self._ends.get(place, _End(0, busy=False))
        one.number = end.number + 1
        if end.busy and one.state is State.PENDING:
            one.state = State.WAITING
        self._ends[place] = _End(one.number, busy=end.busy or one.state is not State.DEAD)
        self._fresh[one.id] = one
        if one.destination in self._recent:
            self._recent[one.destination] += 1

    def _ends_of(self, threads: Collection[str]) -> dict[tuple[str, str], _End]:
        if not threads:
            return {}
        unfinished = case((delivery.c.state.in_(UNFINISHED), 1), else_=0)
        query = (
            select(
                delivery.c.thread,
                delivery.c.destination,
                func.max(delivery.c.number),
                func.max(unfinished),
            )
            .where(delivery.c.thread.in_(threads))
            .group_by(delivery.c.thread, delivery.c.destination)
        )
        rows = self._connection.execute(query)
        return {(row[0], row[1]): _End(row[2], busy=bool(row[3])) for row in rows}

    def _told_before(self, detections: Collection[str]) -> set[tuple[str, str]]:
        if not detections:
            return set()
        alone = select(delivery.c.detection_id, delivery.c.destination).where(
            delivery.c.detection_id.in_(detections)
        )
        together = (
            select(delivery_detection.c.detection_id, delivery.c.destination)
            .join(delivery, delivery.c.id == delivery_detection.c.delivery_id)
            .where(delivery_detection.c.detection_id.in_(detections))
        )
        return {(row[0], row[1]) for row in self._connection.execute(alone.union(together))}

    @cached_property
    def _gatherings(self) -> dict[tuple[str, str], _Gathering]:
        query = (
            select(
                delivery.c.thread,
                delivery.c.destination,
                delivery.c.id,
                func.count(delivery_detection.c.detection_id),
            )
            .join(delivery_detection, delivery_detection.c.delivery_id == delivery.c.id)
            .where(delivery.c.state == State.GATHERING)
            .group_by(delivery.c.thread, delivery.c.destination, delivery.c.id)
        )
        rows = self._connection.execute(query)
        return {(row[0], row[1]): _Gathering(row[2], row[3]) for row in rows}

    @cached_property
    def _newest_sequence(self) -> int:
        """No message comes before those that are there: else two could wait for each other
        (`alerts.deliveries.due_deliveries`)."""
        return newest_sequence(self._connection)


def heard(connection: Connection, alerts: Iterable[str]) -> dict[str, list[str]]:
    """The destinations that were told of each alert, by name."""
    ids = list(alerts)
    alone = select(delivery.c.alert_id, delivery.c.destination).where(delivery.c.alert_id.in_(ids))
    together = (
        select(delivery_detection.c.alert_id, delivery.c.destination)
        .join(delivery, delivery.c.id == delivery_detection.c.delivery_id)
        .where(delivery_detection.c.alert_id.in_(ids))
    )
    found: dict[str, list[str]] = {}
    for alert_id, destination in sorted(
        tuple(row) for row in connection.execute(alone.union(together))
    ):
        found.setdefault(alert_id, []).append(destination)
    return found
