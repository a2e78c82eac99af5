"""One transaction from the outbox to alerts and messages.

    outbox row ──► its detection joins an alert ──► hidden by a silence, a snooze, the route?
                                                      └─ no ─► a message to each destination

A row leaves the outbox in the transaction that makes its messages, so each is taken in once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, exists, func, insert, select

from alerts import limits
from alerts.alert import ALERTS, Alert, alerts_of
from alerts.deliveries import OutboxRow, read_outbox
from alerts.episodes import (
    Episodes,
    Found,
    Resolved,
    end_by_resolutions,
    found,
    read_resolutions,
)
from alerts.outgoing import Outgoing
from alerts.policy import Policy
from alerts.routes import Route, route_of
from alerts.silences import Silence, active_silences, hidden_by
from cep.store.tables import alert, alert_detection, outbox

SNOOZED = "snooze"
NOT_THE_FIRST = "route"
"""`alert_detection.hidden_by` where no silence hides: the alert is snoozed; its route tells of the
first detection only that nothing else hides."""


def drain(engine: Engine, policy: Policy, now_ms: int) -> int:
    """Takes in what is in the outbox, and then the resolutions; how many new messages there are.

    Resolutions are read first: every detection that came before one of them is then in the outbox,
    or was taken in before.  And they are read again after rows of the outbox: every one that came
    before a detection among those is then known; whether they end more is for the next call.  At
    most `CLAIMS_MAX` transactions of `CLAIM_ROWS_MAX` rows; what is left is for the next call, the
    resolutions too.
    """
    resolutions = read_resolutions(engine)
    newest = resolutions[-1].sequence if resolutions else None
    later: list[Resolved] = []
    messages = 0
    for _ in range(limits.CLAIMS_MAX):
        rows = read_outbox(engine, limits.CLAIM_ROWS_MAX)
        if rows:
            if len(later) < limits.RESOLUTIONS_MAX:
                later += read_resolutions(engine, newest)
                newest = later[-1].sequence if later else newest
            messages += _claim(engine, policy, now_ms, rows, resolutions, later)
        if len(rows) < limits.CLAIM_ROWS_MAX:
            end_by_resolutions(engine, resolutions, now_ms)
            break
    return messages


def _claim(
    engine: Engine,
    policy: Policy,
    now_ms: int,
    rows: Sequence[OutboxRow],
    resolutions: list[Resolved],
    later: list[Resolved],
) -> int:
    """One transaction; takes those out of `resolutions` that it applied.

    One that is applied and stays, as those of `later` do, ends nothing when it is read again.
    """
    detections = {row.subject.detection_id: found(row.subject, policy.tags_of) for row in rows}
    with engine.begin() as connection:
        taking = _Claim(connection, policy, now_ms, detections, resolutions + later)
        for row in rows:
            taking.take(row)
        messages = taking.write()
        sequences = [row.sequence for row in rows]
        connection.execute(delete(outbox).where(outbox.c.sequence.in_(sequences)))
    applied = taking.episodes.applied
    resolutions[:] = [one for one in resolutions if one.sequence not in applied]
    return messages


@dataclass(slots=True)
class _Claim:
    connection: Connection
    policy: Policy
    now_ms: int
    detections: dict[str, Found]
    resolutions: list[Resolved]
    episodes: Episodes = field(init=False)
    outgoing: Outgoing = field(init=False)
    silences: list[Silence] = field(init=False)
    # Where each detection belongs, and what hides it.
    places: dict[str, tuple[Alert, str | None]] = field(init=False)
    told: set[str] = field(init=False)  # ids of the alerts with a detection that nothing hid
    joined: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = {one.dedup_key for one in self.detections.values()}
        resolutions = [one for one in self.resolutions if one.dedup_key in keys]
        self.places = self._places_before()
        self.episodes = Episodes(self.connection, keys, resolutions, self.now_ms)
        known = {one.id for one, _ in self.places.values()} | self.episodes.known
        self.outgoing = Outgoing(
            self.connection,
            self.policy.destinations,
            self.now_ms,
            alerts=known,
            detections=self.places.keys(),
        )
        self.silences = active_silences(self.connection, self.now_ms)
        self.told = self._told_before(self.episodes.known)

    def _places_before(self) -> dict[str, tuple[Alert, str | None]]:
        """Of detections with rows in an earlier claim, too: they are where they are."""
        query = select(alert_detection).where(
            alert_detection.c.detection_id.in_(list(self.detections))
        )
        rows = self.connection.execute(query).all()
        if not rows:
            return {}
        of = ALERTS.where(alert.c.id.in_({row.alert_id for row in rows}))
        alerts = {one.id: one for one in alerts_of(self.connection, of)}
        return {row.detection_id: (alerts[row.alert_id], row.hidden_by) for row in rows}

    def _told_before(self, alerts: Collection[str]) -> set[str]:
        """Those that have a detection that nothing hid; only looked up where a route asks."""
        if all(route.messages != "first" for route in self.policy.destinations.routes):
            return set()
        shown = exists().where(
            alert_detection.c.alert_id == alert.c.id,
            func.coalesce(alert_detection.c.hidden_by, "") == "",  # not by the index of hidden ones
        )
        return set(self.connection.scalars(select(alert.c.id).where(alert.c.id.in_(alerts), shown)))

    def take(self, row: OutboxRow) -> None:
        one = self.detections[row.subject.detection_id]
        route = route_of(self.policy.destinations.routes, one.facts)
        if row.subject.detection_id not in self.places:
            self._join(one, route)
        belongs_to, hidden = self.places[row.subject.detection_id]
        if hidden is None:
            for name in self.policy.destinations.targets(row.destination, route):
                self.outgoing.tell(one.subject.detection_id, belongs_to, route, name, row.sequence)

    def _join(self, one: Found, route: Route) -> None:
        joined = self.episodes.join(one, route)
        silence = hidden_by(self.silences, one.facts)
        hidden = silence.id if silence is not None else None
        if hidden is None and joined.is_snoozed(self.now_ms):
            hidden = SNOOZED
        if hidden is None and route.messages == "first" and joined.id in self.told:
            hidden = NOT_THE_FIRST
        if hidden is None:
            joined.reminded_ms = self.now_ms
            self.told.add(joined.id)
        self.places[one.subject.detection_id] = joined, hidden
        self.joined.append(
            {
                "detection_id": one.subject.detection_id,
                "alert_id": joined.id,
                "hidden_by": hidden,
            }
        )

    def write(self) -> int:
        """The number of new messages."""
        self.episodes.write()
        if self.joined:
            self.connection.execute(insert(alert_detection), self.joined)
        return self.outgoing.write()
