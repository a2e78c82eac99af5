"""What people do to alerts: each step, who did it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, destinations, webhook
from sqlalchemy import Engine

from alerts.alert import AlertState, Disposition
from alerts.alert_listings import find_alert, history, list_alerts
from alerts.claim import drain
from alerts.errors import NotFound, Refused, Stale
from alerts.lifecycle import By, acknowledge, assign, comment, reopen, resolve, snooze
from alerts.policy import Policy

Detect = Callable[..., str]
SOC = Policy(destinations(soc=webhook(80), default=["soc"]))


@pytest.fixture
def id_(engine: Engine, detect: Detect) -> str:
    detect("default", key="c1")
    drain(engine, SOC, NOW_MS)
    (one,) = list_alerts(engine)
    return one.id


def by(actor: str = "ada", after_ms: int = 0, version: int | None = None) -> By:
    return By(actor, NOW_MS + after_ms, version)


def test_the_whole_life_of_an_alert(engine: Engine, id_: str) -> None:
    assert acknowledge(engine, id_, by(after_ms=1)).state == AlertState.ACKNOWLEDGED
    assert find_alert(engine, id_).assignee == "ada"
    assert assign(engine, id_, by(after_ms=2), "grace").assignee == "grace"
    comment(engine, id_, by("grace", 3), "called the customer")
    assert snooze(engine, id_, by("grace", 4), NOW_MS + 60_000).snoozed_until_ms == NOW_MS + 60_000
    resolved = resolve(engine, id_, by("grace", 5), Disposition.FALSE_POSITIVE, "own card")
    assert (resolved.state, resolved.disposition) == ("resolved", "false_positive")
    assert (resolved.resolved_ms, resolved.snoozed_until_ms) == (NOW_MS + 5, None)
    again = reopen(engine, id_, by(after_ms=6))
    assert (again.state, again.disposition, again.resolved_ms) == ("open", None, None)
    assert [
        (one.number, one.at_ms - NOW_MS, one.actor, one.action, one.detail)
        for one in history(engine, id_)
    ][1:] == [
        (2, 1, "ada", "acknowledged", ""),
        (3, 2, "ada", "assigned", "grace"),
        (4, 3, "grace", "commented", "called the customer"),
        (5, 4, "grace", "snoozed", "until 2024-12-10T06:56:46.000Z"),
        (6, 5, "grace", "resolved", "false_positive: own card"),
        (7, 6, "ada", "reopened", ""),
    ]
    assert find_alert(engine, id_).version == 7


def test_a_change_made_from_an_older_version_is_refused(engine: Engine, id_: str) -> None:
    assert acknowledge(engine, id_, by(version=1)).version == 2
    with pytest.raises(Stale):
        resolve(engine, id_, by(version=1), Disposition.BENIGN)
    assert find_alert(engine, id_).state == AlertState.ACKNOWLEDGED
    assert len(history(engine, id_)) == 2


def test_new_detections_do_not_make_a_change_stale(
    engine: Engine, id_: str, detect: Detect
) -> None:
    detect("default", key="c1")
    drain(engine, SOC, NOW_MS)
    assert acknowledge(engine, id_, by(version=1)).detections == 2


def test_what_makes_no_sense_in_its_state_is_refused(engine: Engine, id_: str) -> None:
    with pytest.raises(Refused):
        reopen(engine, id_, by())
    with pytest.raises(Refused):
        snooze(engine, id_, by(), NOW_MS)
    with pytest.raises(Refused):
        snooze(engine, id_, by(), NOW_MS + 400 * 24 * 3_600_000)
    acknowledge(engine, id_, by())
    with pytest.raises(Refused):
        acknowledge(engine, id_, by())
    resolve(engine, id_, by(), Disposition.DUPLICATE)
    for act in (
        lambda: acknowledge(engine, id_, by()),
        lambda: snooze(engine, id_, by(), NOW_MS + 1),
        lambda: resolve(engine, id_, by(), Disposition.BENIGN),
    ):
        with pytest.raises(Refused):
            act()
    with pytest.raises(NotFound):
        comment(engine, "nothing", by(), "?")


def test_an_alert_is_not_reopened_beside_a_later_one(
    engine: Engine, id_: str, detect: Detect
) -> None:
    resolve(engine, id_, by(), Disposition.BENIGN)
    detect("default", key="c1")
    drain(engine, SOC, NOW_MS)
    later = list_alerts(engine)[-1]
    with pytest.raises(Refused, match=later.id):
        reopen(engine, id_, by())
    resolve(engine, later.id, by(), Disposition.BENIGN)
    assert reopen(engine, id_, by()).state == AlertState.OPEN


def test_alerts_are_listed_by_state_rule_and_assignee(
    engine: Engine, id_: str, detect: Detect
) -> None:
    detect("default", key="c2", rule="burst")
    drain(engine, SOC, NOW_MS)
    other = list_alerts(engine, rule="burst")[0]
    assign(engine, other.id, by(), "grace")
    acknowledge(engine, id_, by())
    assert [one.id for one in list_alerts(engine, state=AlertState.ACKNOWLEDGED)] == [id_]
    assert [one.id for one in list_alerts(engine, assignee="grace")] == [other.id]
    assert [one.id for one in list_alerts(engine, after=other.sequence - 1)] == [other.id]
    assert len(list_alerts(engine, limit=1)) == 1
