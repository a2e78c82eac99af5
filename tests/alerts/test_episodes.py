"""Detections become alerts: which belong together, what ends them, and that each is taken once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, all_deliveries, destinations, webhook
from sqlalchemy import Engine, event, insert, select

from alerts import limits
from alerts.alert import AlertState, alert_id
from alerts.alert_listings import detections_of, find_alert, history, list_alerts
from alerts.claim import drain
from alerts.config import Destinations
from alerts.deliveries import OutboxRow, read_outbox
from alerts.policy import Policy
from cep.store.tables import outbox, resolution

Detect = Callable[..., str]
SOC = Policy(destinations(soc=webhook(80), desk=webhook(80), default=["soc"]))


def resolve(engine: Engine, key: str, at_ms: int, position: int = 10**6) -> None:
    """As the engine writes it when a rule's `resolve` comes true."""
    with engine.begin() as connection:
        connection.execute(
            insert(resolution).values(
                id=f"{key}{at_ms}{position}"[-32:].rjust(32, "0"),
                partition="events",
                rule="card_testing",
                key=b'{"card_id":"%s"}' % key.encode(),
                at_ms=at_ms,
                position=position,
            )
        )


def test_detections_of_a_rule_and_a_key_are_one_alert(engine: Engine, detect: Detect) -> None:
    first, second = detect("default", key="c1"), detect("default", key="c1")
    other_key, other_rule = detect("default", key="c2"), detect("default", key="c1", rule="burst")
    assert drain(engine, SOC, NOW_MS) == 4
    alerts = {one.id: one for one in list_alerts(engine)}
    assert list(alerts) == [alert_id(first), alert_id(other_key), alert_id(other_rule)]
    episode = alerts[alert_id(first)]
    assert (episode.state, episode.detections, episode.key) == ("open", 2, b'{"card_id":"c1"}')
    assert [one.id for one in detections_of(engine, episode.id)] == [first, second]
    assert [one.action for one in history(engine, episode.id)] == ["opened"]
    assert [(row.alert_id, row.number) for row in all_deliveries(engine)] == [
        (alert_id(first), 1),
        (alert_id(first), 2),
        (alert_id(other_key), 1),
        (alert_id(other_rule), 1),
    ]


def test_what_is_taken_in_later_joins_the_alert_that_is_going_on(
    engine: Engine, detect: Detect
) -> None:
    first = detect("default", key="c1")
    drain(engine, SOC, NOW_MS)
    detect("default", key="c1")
    drain(engine, SOC, NOW_MS + 5)
    (episode,) = list_alerts(engine)
    assert (episode.id, episode.detections) == (alert_id(first), 2)
    assert (episode.opened_ms, episode.last_ms) == (NOW_MS, NOW_MS + 5)


def test_a_rule_ends_its_alert_and_the_next_detection_opens_another(
    engine: Engine, detect: Detect
) -> None:
    first = detect("default", key="c1", at_ms=1_000)
    drain(engine, SOC, NOW_MS)
    resolve(engine, "c1", 2_000)
    drain(engine, SOC, NOW_MS)
    assert find_alert(engine, alert_id(first)).state == AlertState.RESOLVED
    second = detect("default", key="c1", at_ms=3_000)
    drain(engine, SOC, NOW_MS)
    assert [one.id for one in list_alerts(engine)] == [alert_id(first), alert_id(second)]
    assert find_alert(engine, alert_id(second)).state == AlertState.OPEN
    assert [one.action for one in history(engine, alert_id(first))] == ["opened", "resolved"]


@pytest.mark.parametrize("rows_max", [1, 2, 3, 200])
def test_a_dispatcher_that_was_away_makes_the_same_alerts(
    engine: Engine, detect: Detect, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    """Detections and resolutions in the order of event time, however few rows a claim takes."""
    monkeypatch.setattr("alerts.limits.CLAIM_ROWS_MAX", rows_max)
    firsts = []
    for round_ in range(4):
        firsts.append(detect("default", key="c1", at_ms=round_ * 100))
        detect("default", key="c1", at_ms=round_ * 100 + 10)
        resolve(engine, "c1", round_ * 100 + 50)
    last = detect("default", key="c1", at_ms=1_000)
    while drain(engine, SOC, NOW_MS):
        pass
    alerts = list_alerts(engine)
    assert [one.id for one in alerts] == [alert_id(id_) for id_ in [*firsts, last]]
    assert [one.detections for one in alerts] == [2, 2, 2, 2, 1]
    assert [one.state for one in alerts] == ["resolved"] * 4 + ["open"]


def test_at_one_instant_positions_decide(engine: Engine, detect: Detect) -> None:
    """The detection's last event has position 12."""
    detect("default", key="c1", at_ms=500)
    resolve(engine, "c1", 500, position=13)
    detect("default", key="c2", at_ms=400)
    resolve(engine, "c2", 500, position=11)
    detect("default", key="c2", at_ms=500)
    drain(engine, SOC, NOW_MS)
    c1, c2, again = list_alerts(engine)
    assert (c1.state, c2.state, again.state) == ("resolved", "resolved", "open")


def test_positions_decide_whenever_things_are_taken_in(engine: Engine, detect: Detect) -> None:
    """The resolution is read again after it has ended the first alert."""
    detect("default", key="c1", at_ms=400)
    resolve(engine, "c1", 500, position=11)
    detect("default", key="c1", at_ms=500)
    for _ in range(3):
        drain(engine, SOC, NOW_MS)
    assert [one.state for one in list_alerts(engine)] == ["resolved", "open"]
    resolve(engine, "c1", 500, position=12)
    drain(engine, SOC, NOW_MS)
    assert [one.state for one in list_alerts(engine)] == ["resolved", "resolved"]


def test_a_resolution_committed_with_the_next_detection_ends_the_alert_before_it(
    engine: Engine, detect: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are committed while the dispatcher looks: after it has read the resolutions."""
    first = detect("default", key="c1", at_ms=100)
    drain(engine, SOC, NOW_MS)
    committed: list[str] = []

    def commit_then_read(of: Engine, rows_max: int) -> list[OutboxRow]:
        if not committed:
            resolve(engine, "c1", 150)
            committed.append(detect("default", key="c1", at_ms=200))
        return read_outbox(of, rows_max)

    monkeypatch.setattr("alerts.claim.read_outbox", commit_then_read)
    for _ in range(2):
        drain(engine, SOC, NOW_MS)
    ended, open_ = list_alerts(engine)
    assert (ended.id, open_.id) == (alert_id(first), alert_id(committed[0]))
    assert (ended.state, open_.state) == ("resolved", "open")


def test_a_resolution_that_is_older_than_the_alert_does_not_end_it(
    engine: Engine, detect: Detect
) -> None:
    resolve(engine, "c1", 100)
    detect("default", key="c1", at_ms=200)
    drain(engine, SOC, NOW_MS)
    assert [one.state for one in list_alerts(engine)] == ["open"]


def test_a_detection_has_one_alert_and_a_message_to_each_destination_it_names(
    engine: Engine, detect: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its rows are taken in one by one, and when two of them mean the same place."""
    monkeypatch.setattr("alerts.limits.CLAIM_ROWS_MAX", 1)
    detect("default", "soc", "desk")
    while drain(engine, SOC, NOW_MS):
        pass
    (episode,) = list_alerts(engine)
    assert episode.detections == 1
    assert sorted(row.destination for row in all_deliveries(engine)) == ["desk", "soc"]


def test_a_claim_that_fails_half_way_is_taken_again_as_a_whole(
    engine: Engine, detect: Detect
) -> None:
    detect("default", key="c1")
    detect("default", key="c1")

    def fail(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM outbox"):
            raise RuntimeError("the disk went away")

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError):
        drain(engine, SOC, NOW_MS)
    event.remove(engine, "before_cursor_execute", fail)
    assert list_alerts(engine) == []
    with engine.connect() as connection:
        assert len(connection.execute(select(outbox)).all()) == 2
    drain(engine, SOC, NOW_MS)
    (episode,) = list_alerts(engine)
    assert episode.detections == 2


def test_an_alert_nobody_is_told_of_is_an_alert(engine: Engine, detect: Detect) -> None:
    detect("default")
    drain(engine, Policy(Destinations()), NOW_MS)
    assert len(list_alerts(engine)) == 1
    assert all_deliveries(engine) == []


def test_a_body_that_is_not_json_opens_an_alert_of_the_rule(engine: Engine, detect: Detect) -> None:
    detect("default", body=b"not json")
    drain(engine, SOC, NOW_MS)
    (episode,) = list_alerts(engine)
    assert (episode.rule, episode.key, episode.title) == ("card_testing", b"null", "")


def test_a_title_is_one_line_that_every_database_takes(engine: Engine, detect: Detect) -> None:
    detect("default", message="a\x00b\r\nc \u202e d")
    drain(engine, SOC, NOW_MS)
    (episode,) = list_alerts(engine)
    assert episode.title == "a b c d"


def test_long_titles_are_cut(engine: Engine, detect: Detect) -> None:
    detect("default", message="x" * 10_000)
    drain(engine, SOC, NOW_MS)
    (episode,) = list_alerts(engine)
    assert len(episode.title) == limits.TITLE_CHARACTERS_MAX
