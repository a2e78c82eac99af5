"""Read-only listings of alerts, their detections and their history, in pages."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, or_, select

from alerts import limits
from alerts.alert import ALERTS, Alert, AlertState, alerts_of
from alerts.errors import NotFound
from cep.store.connect import reading
from cep.store.tables import alert, alert_action, alert_detection, detection


@dataclass(frozen=True, slots=True)
class OfAlert:
    """A detection of an alert.  `hidden_by` says why nobody was told; `suppressed_by` is the id of
    the detection whose `suppress` hid it.  Event time in ms."""

    sequence: int
    id: str
    at_ms: int
    hidden_by: str | None
    suppressed_by: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an alert's history; see `alerts.alert.Action`."""

    number: int
    at_ms: int
    actor: str
    action: str
    detail: str


def list_alerts(
    engine: Engine,
    *,
    after: int = 0,
    limit: int = 100,
    state: AlertState | None = None,
    rule: str | None = None,
    assignee: str | None = None,
    newest_first: bool = False,
) -> list[Alert]:
    """At most `limit` alerts with a sequence above `after`, or below it if the newest are first."""
    behind = alert.c.sequence < after if newest_first else alert.c.sequence > after
    order = alert.c.sequence.desc() if newest_first else alert.c.sequence
    query = ALERTS.where(behind)
    if state is not None:
        query = query.where(alert.c.state == state)
    if rule is not None:
        query = query.where(alert.c.rule == rule)
    if assignee is not None:
        query = query.where(alert.c.assignee == assignee)
    with reading(engine) as connection:
        return alerts_of(connection, query.order_by(order).limit(limit))


def find_alert(engine: Engine, id_: str) -> Alert:
    """Raises `NotFound`."""
    with reading(engine) as connection:
        found = alerts_of(connection, ALERTS.where(alert.c.id == id_))
    if not found:
        raise NotFound("no alert has that id")
    return found[0]


_ENTRIES = select(*(alert_action.c[name] for name in Entry.__slots__))


def history(engine: Engine, id_: str, *, after: int = 0, limit: int = 100) -> list[Entry]:
    """At most `limit` with a number above `after`."""
    own = _ENTRIES.where(alert_action.c.alert_id == id_, alert_action.c.number > after)
    with reading(engine) as connection:
        rows = connection.execute(own.order_by(alert_action.c.number).limit(limit))
        return [Entry(*row) for row in rows]


def newest_history(engine: Engine, id_: str, limit: int) -> list[Entry]:
    """The last `limit`, oldest first."""
    own = _ENTRIES.where(alert_action.c.alert_id == id_)
    with reading(engine) as connection:
        rows = connection.execute(own.order_by(alert_action.c.number.desc()).limit(limit))
        return [Entry(*row) for row in rows][::-1]


def detections_of(engine: Engine, id_: str, *, after: int = 0, limit: int = 100) -> list[OfAlert]:
    """At most `limit` with a sequence above `after`, those that were suppressed included."""
    own = select(alert_detection.c.detection_id).where(alert_detection.c.alert_id == id_)
    rule = select(alert.c.rule).where(alert.c.id == id_).scalar_subquery()
    first = select(func.min(detection.c.sequence)).where(detection.c.id.in_(own)).scalar_subquery()
    query = (
        select(
            detection.c.sequence,
            detection.c.id,
            detection.c.at_ms,
            alert_detection.c.hidden_by,
            detection.c.suppressed_by,
        )
        .outerjoin(alert_detection, alert_detection.c.detection_id == detection.c.id)
        .where(
            or_(detection.c.id.in_(own), detection.c.suppressed_by.in_(own)),
            detection.c.sequence > after,
            detection.c.rule == rule,  # what suppresses is of the same rule, and comes before
            detection.c.sequence >= first,
        )
        .order_by(detection.c.sequence)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [OfAlert(*row) for row in connection.execute(query)]


def alerts_by_state(engine: Engine) -> dict[str, int]:
    query = select(alert.c.state, func.count()).group_by(alert.c.state)
    with reading(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def alerts_opened(
    engine: Engine, by: str, *, start_ms: int, width_ms: int, bars: int
) -> dict[str, list[int]]:
    """How many alerts were opened in each of `bars` intervals of `width_ms`, by a column's value.

    Looks at the newest `limits.COUNTED_ALERTS_MAX`; `by` is `severity` or `rule`.
    """
    newest = (
        select(alert.c.opened_ms, alert.c[by].label("name"))
        .order_by(alert.c.sequence.desc())
        .limit(limits.COUNTED_ALERTS_MAX)
        .subquery()
    )
    bar = ((newest.c.opened_ms - start_ms) // width_ms).label("bar")
    within = newest.c.opened_ms.between(start_ms, start_ms + width_ms * bars - 1)
    query = select(newest.c.name, bar, func.count()).where(within).group_by(newest.c.name, bar)
    counts: dict[str, list[int]] = {}
    with reading(engine) as connection:
        for name, index, count in connection.execute(query):
            counts.setdefault(name, [0] * bars)[index] = count
    return counts
