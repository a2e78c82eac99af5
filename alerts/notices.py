"""What deliveries say, read from the store: their detections, and the alerts they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Engine, func, select

from alerts import limits
from alerts.alert import ALERTS, alerts_of
from alerts.deliveries import SUBJECT, Delivery
from alerts.message import Episode, Kind, Notice, Subject
from cep.store.connect import reading
from cep.store.tables import alert, delivery_detection, detection


def load_notices(engine: Engine, deliveries: Sequence[Delivery]) -> dict[str, Notice]:
    """By delivery; a gathered message shows its first `GATHERED_MAX` detections."""
    with reading(engine) as connection:
        together = [one.id for one in deliveries if one.kind == Kind.GATHERED]
        shown, counts = _gathered(connection, together)
        wanted = {one.detection_id for one in deliveries if one.detection_id is not None}
        wanted |= {id_ for ids in shown.values() for id_ in ids}
        subjects = _subjects(connection, wanted)
        episodes = _episodes(connection, {one.alert_id for one in deliveries if one.alert_id})
    notices = {}
    for one in deliveries:
        alone = [] if one.detection_id is None else [one.detection_id]
        told = shown.get(one.id, alone)
        notices[one.id] = Notice(
            id=one.id,
            kind=Kind(one.kind),
            destination=one.destination,
            created_ms=one.created_ms,
            subjects=tuple(subjects[id_] for id_ in told),
            episode=None if one.alert_id is None else episodes[one.alert_id],
            number=one.number,
            left_out=counts.get(one.id, len(told)) - len(told),
            note=one.note or "",
        )
    return notices


def _gathered(
    connection: Connection, deliveries: Collection[str]
) -> tuple[Mapping[str, list[str]], Mapping[str, int]]:
    """The detections that are shown, and how many there are, by delivery."""
    if not deliveries:
        return {}, {}
    of = delivery_detection.c.delivery_id.in_(deliveries)
    query = (
        select(delivery_detection.c.delivery_id, delivery_detection.c.detection_id)
        .where(of, delivery_detection.c.number <= limits.GATHERED_MAX)
        .order_by(delivery_detection.c.delivery_id, delivery_detection.c.number)
    )
    shown: dict[str, list[str]] = {}
    for delivery_id, detection_id in connection.execute(query):
        shown.setdefault(delivery_id, []).append(detection_id)
    counts = (
        select(delivery_detection.c.delivery_id, func.count())
        .where(of)
        .group_by(delivery_detection.c.delivery_id)
    )
    return shown, {row[0]: row[1] for row in connection.execute(counts)}


def _subjects(connection: Connection, ids: Collection[str]) -> dict[str, Subject]:
    query = select(*SUBJECT).where(detection.c.id.in_(ids))
    return {row[0]: Subject(*row) for row in connection.execute(query)}


def _episodes(connection: Connection, ids: Collection[str]) -> dict[str, Episode]:
    if not ids:
        return {}
    found = alerts_of(connection, ALERTS.where(alert.c.id.in_(ids)))
    return {one.id: one.episode() for one in found}
