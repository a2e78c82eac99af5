"""Routes: who is told, messages that gather, storms, reminders, escalation, and an end by time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from alert_helpers import NOW_MS, all_deliveries, dispatcher, webhook
from pydantic import ValidationError
from sqlalchemy import Engine

from alerts import lifecycle
from alerts.alert import Disposition
from alerts.alert_listings import history, list_alerts
from alerts.config import Destinations
from alerts.dispatcher import Dispatcher
from alerts.lifecycle import By
from alerts.matching import Matcher
from alerts.ports import HttpAnswer, ManualClock, SimulatedHttpSender
from alerts.silences import Silence, end_silence, make_silence

Detect = Callable[..., str]
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000


class Desk:
    """A dispatcher with simulated receivers and a clock that is moved by hand."""

    def __init__(self, engine: Engine, where: Destinations) -> None:
        self.clock = ManualClock(NOW_MS)
        self.http = SimulatedHttpSender(lambda _: HttpAnswer(200, {}, b""))
        self.dispatcher: Dispatcher = dispatcher(engine, where, self.clock, self.http)

    def after(self, ms: int) -> list[tuple[str, str]]:
        """Destination and type of what is sent, once the clock stands `ms` after the beginning."""
        self.clock.at_ms = NOW_MS + ms
        sent = len(self.http.calls)
        asyncio.run(self.dispatcher.run_once())
        return [(name, json.loads(body)["type"]) for name, _, body in self.http.calls[sent:]]

    def last(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.http.calls[-1][2])
        return found


def where(*routes: dict[str, object], **settings: object) -> Destinations:
    return Destinations.model_validate(
        {
            "default": ["soc"],
            "routes": routes,
            "destinations": {
                "soc": webhook(80, **settings),
                "desk": webhook(80),
                "boss": webhook(80),
            },
        }
    )


DETECTION, GATHERED = "cep.detection.v1", "cep.detections.v1"
REMINDER, ESCALATION = "cep.alert.reminder.v1", "cep.alert.escalation.v1"
RESOLVED = "cep.alert.resolved.v1"


def test_the_first_route_that_fits_says_who_is_told(engine: Engine, detect: Detect) -> None:
    desk = Desk(
        engine,
        where(
            {"name": "low", "match": {"severity": "low"}, "to": ["desk"]},
            {"name": "cards", "match": {"rule": "card_*"}, "to": ["boss", "soc"]},
        ),
    )
    for severity, rule, told in (
        ("low", "card_testing", ["desk"]),
        ("high", "card_testing", ["boss", "soc"]),
        ("high", "burst", ["soc"]),
    ):
        detect("default", severity=severity, rule=rule)
        assert desk.after(0) == [(name, DETECTION) for name in told]
    detect("desk", severity="high")  # the rule's own `notify`
    assert desk.after(0) == [("desk", DETECTION)]
    assert [one.route for one in list_alerts(engine)] == ["low", "cards", None, "cards"]


def test_a_route_may_tell_of_the_first_detection_only(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where({"name": "calm", "messages": "first"}))
    for _ in range(3):
        detect("default", key="c1")
    assert desk.after(0) == [("soc", DETECTION)]
    detect("default", key="c1")
    assert desk.after(0) == []
    (episode,) = list_alerts(engine)
    assert episode.detections == 4


def test_a_batch_is_told_together_once_its_time_is_over(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where({"name": "calm", "batch": "30s"}))
    first, second = detect("default", key="c1"), detect("default", key="c2")
    assert desk.after(0) == []
    third = detect("default", key="c1")
    assert desk.after(29 * SECOND_MS) == []
    assert desk.after(30 * SECOND_MS) == [("soc", GATHERED)]
    data = desk.last()["data"]
    assert isinstance(data, dict)
    assert [one["id"] for one in data["detections"]] == [first, second, third]
    assert data["left_out"] == 0
    detect("default", key="c1")
    assert desk.after(31 * SECOND_MS) == []
    assert desk.after(61 * SECOND_MS) == [("soc", GATHERED)]


def test_a_storm_is_told_together_and_the_message_says_so(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where(storm={"messages": 3, "per": "10m"}))
    for _ in range(3):
        detect("default", "boss")
    assert [name for name, _ in desk.after(0)].count("soc") == 3
    stormy = [detect("default", "boss") for _ in range(150)]
    later = desk.after(MINUTE_MS)
    assert [name for name, _ in later] == ["boss"] * 150  # a storm is one destination's
    assert desk.after(11 * MINUTE_MS) == [("soc", GATHERED)]
    data = desk.last()["data"]
    assert isinstance(data, dict)
    assert "more than 3 messages in 10m" in data["note"]
    shown = [one["id"] for one in data["detections"]]
    assert shown == stormy[: len(shown)]
    assert len(shown) + data["left_out"] == 150
    detect("default")
    assert desk.after(22 * MINUTE_MS) == [("soc", DETECTION)]


def test_an_open_alert_is_told_again_and_again_until_it_is_acknowledged(
    engine: Engine, detect: Detect
) -> None:
    desk = Desk(engine, where({"name": "nag", "to": ["soc", "desk"], "remind_every": "4h"}))
    detect("default", key="c1")
    assert len(desk.after(0)) == 2
    assert desk.after(4 * HOUR_MS - 1) == []
    assert desk.after(4 * HOUR_MS) == [("desk", REMINDER), ("soc", REMINDER)]
    detect("default", key="c1")
    assert len(desk.after(5 * HOUR_MS)) == 2
    assert desk.after(8 * HOUR_MS) == []  # they have heard of it an hour ago at 5
    assert len(desk.after(9 * HOUR_MS)) == 2
    (episode,) = list_alerts(engine)
    lifecycle.acknowledge(engine, episode.id, By("ada", desk.clock.now_ms()))
    assert desk.after(20 * HOUR_MS) == []
    assert [one.action for one in history(engine, episode.id)] == [
        "opened",
        "reminded",
        "reminded",
        "acknowledged",
    ]


def test_nobody_has_acknowledged_so_the_next_ones_are_told(engine: Engine, detect: Detect) -> None:
    steps = [{"after": "15m", "to": ["desk"]}, {"after": "1h", "to": ["boss", "desk"]}]
    desk = Desk(engine, where({"name": "night", "escalate": steps}))
    detect("default")
    assert desk.after(0) == [("soc", DETECTION)]
    assert desk.after(15 * MINUTE_MS) == [("desk", ESCALATION)]
    assert desk.after(59 * MINUTE_MS) == []
    assert desk.after(60 * MINUTE_MS) == [("boss", ESCALATION), ("desk", ESCALATION)]
    assert desk.last()["data"]["note"] == "Nobody has acknowledged the alert in 1h."  # type: ignore[index]
    assert desk.after(24 * HOUR_MS) == []
    (episode,) = list_alerts(engine)
    lifecycle.resolve(engine, episode.id, By("ada", desk.clock.now_ms()), Disposition.BENIGN)
    lifecycle.reopen(engine, episode.id, By("ada", desk.clock.now_ms()))
    assert desk.after(24 * HOUR_MS + 14 * MINUTE_MS) == []
    assert desk.after(24 * HOUR_MS + 15 * MINUTE_MS) == [("desk", ESCALATION)]


def test_timers_stay_those_of_the_route_an_alert_was_opened_with(
    engine: Engine, detect: Detect
) -> None:
    nag = {"name": "nag", "remind_every": "1h", "resolve_after": "9h"}
    desk = Desk(engine, where(nag))
    detect("default", key="c1")
    desk.after(0)
    desk = Desk(engine, where({"name": "other", "to": ["desk"]}, nag))
    detect("default", key="c1")
    assert desk.after(MINUTE_MS) == [("desk", DETECTION)]
    assert desk.after(HOUR_MS + MINUTE_MS) == [("desk", REMINDER), ("soc", REMINDER)]
    desk.after(9 * HOUR_MS + MINUTE_MS)
    (episode,) = list_alerts(engine)
    assert (episode.route, episode.state) == ("nag", "resolved")


def test_a_dispatcher_that_was_away_takes_every_step_once(engine: Engine, detect: Detect) -> None:
    steps = [{"after": "15m", "to": ["desk"]}, {"after": "1h", "to": ["boss", "desk"]}]
    settings = where({"name": "night", "escalate": steps, "remind_every": "1h"})
    desk = Desk(engine, settings)
    detect("default")
    desk.after(0)
    desk = Desk(engine, settings)
    found = desk.after(10 * HOUR_MS)
    assert sorted(found) == [("boss", ESCALATION), *[("desk", ESCALATION)] * 2, ("soc", REMINDER)]


def test_a_snooze_that_is_over_reminds(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where())
    detect("default", key="c1")
    desk.after(0)
    (episode,) = list_alerts(engine)
    lifecycle.snooze(engine, episode.id, By("ada", NOW_MS), NOW_MS + HOUR_MS)
    assert desk.after(HOUR_MS - 1) == []
    assert desk.after(HOUR_MS) == [("soc", REMINDER)]
    (episode,) = list_alerts(engine)
    assert (episode.state, episode.snoozed_until_ms) == ("open", None)
    assert desk.after(10 * HOUR_MS) == []


def test_without_a_new_detection_an_alert_ends_by_itself(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where({"name": "brief", "resolve_after": "1h"}, resolved=True))
    detect("default", key="c1")
    desk.after(0)
    detect("default", key="c1")
    desk.after(30 * MINUTE_MS)
    assert desk.after(89 * MINUTE_MS) == []
    assert desk.after(90 * MINUTE_MS) == [("soc", RESOLVED)]
    (episode,) = list_alerts(engine)
    assert (episode.state, episode.disposition) == ("resolved", None)


def test_the_end_of_an_alert_is_told_where_that_is_wanted(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where({"name": "all", "to": ["soc", "desk"]}, resolved=True))
    detect("default")
    assert len(desk.after(0)) == 2
    (episode,) = list_alerts(engine)
    lifecycle.resolve(engine, episode.id, By("ada", NOW_MS), Disposition.TRUE_POSITIVE)
    assert desk.after(0) == [("soc", RESOLVED)]
    assert desk.last()["data"]["alert"]["state"] == "resolved"  # type: ignore[index]
    assert desk.after(HOUR_MS) == []


def test_a_silenced_alert_is_neither_reminded_of_nor_escalated(
    engine: Engine, detect: Detect
) -> None:
    steps = [{"after": "15m", "to": ["boss"]}]
    desk = Desk(engine, where({"name": "night", "remind_every": "1h", "escalate": steps}))
    detect("default")
    desk.after(0)
    silence(engine, 3 * HOUR_MS)
    assert desk.after(3 * HOUR_MS - 1) == []
    assert sorted(desk.after(3 * HOUR_MS)) == [("boss", ESCALATION), ("soc", REMINDER)]


def silence(engine: Engine, for_ms: int) -> Silence:
    return make_silence(
        engine,
        Matcher(rule=("card_testing",)),
        starts_ms=NOW_MS,
        ends_ms=NOW_MS + for_ms,
        actor="ada",
        comment="known",
        now_ms=NOW_MS,
    )


def test_what_waited_for_a_silence_that_is_ended_early_is_told_then(
    engine: Engine, detect: Detect
) -> None:
    desk = Desk(engine, where({"name": "night", "remind_every": "1h"}))
    detect("default")
    desk.after(0)
    made = silence(engine, 300 * 24 * HOUR_MS)
    assert desk.after(2 * HOUR_MS) == []
    end_silence(engine, made.id, NOW_MS + 2 * HOUR_MS)
    assert desk.after(2 * HOUR_MS) == [("soc", REMINDER)]


def test_a_silenced_alert_ends_in_its_time(engine: Engine, detect: Detect) -> None:
    route = {"name": "brief", "remind_every": "30m", "resolve_after": "1h"}
    desk = Desk(engine, where(route, resolved=True))
    detect("default")
    desk.after(0)
    silence(engine, 3 * HOUR_MS)
    assert desk.after(30 * MINUTE_MS) == []
    assert desk.after(HOUR_MS) == [("soc", RESOLVED)]


def test_a_destination_that_is_not_configured_any_more_is_a_dead_delivery(
    engine: Engine, detect: Detect
) -> None:
    desk = Desk(engine, where())
    detect("pager")
    assert desk.after(0) == []
    (row,) = all_deliveries(engine)
    assert (row.state, row.reason, row.attempts) == ("dead", "destination_unknown", 0)


@pytest.mark.parametrize(
    "route",
    [
        {"name": "a b"},
        {"name": "n", "to": ["nowhere"]},
        {"name": "n", "escalate": [{"after": "1h", "to": ["nowhere"]}]},
        {"name": "n", "escalate": [{"after": "1h", "to": ["soc"]}, {"after": "1h", "to": ["soc"]}]},
        {"name": "n", "batch": "soon"},
        {"name": "n", "batch": "1ms"},
        {"name": "n", "remind_every": "800d"},
        {"name": "n", "messages": "some"},
        {"name": "n", "match": {"sevrity": "high"}},
    ],
)
def test_a_route_that_makes_no_sense_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        where(route)


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two routes"):
        where({"name": "n"}, {"name": "n"})


def test_a_step_that_names_somebody_twice_tells_them_once(engine: Engine, detect: Detect) -> None:
    desk = Desk(
        engine, where({"name": "r", "escalate": [{"after": "15m", "to": ["boss", "boss"]}]})
    )
    detect("default")
    desk.after(0)
    assert desk.after(15 * MINUTE_MS) == [("boss", ESCALATION)]
    assert [row.state for row in all_deliveries(engine)] == ["delivered"] * 2


def test_the_end_of_an_alert_is_told_after_what_is_gathered_of_it(
    engine: Engine, detect: Detect
) -> None:
    desk = Desk(engine, where({"name": "r", "batch": "30s", "resolve_after": "10s"}, resolved=True))
    detect("default")
    assert desk.after(0) == []
    assert desk.after(10 * SECOND_MS) == []
    assert desk.after(30 * SECOND_MS) == [("soc", GATHERED), ("soc", RESOLVED)]


def test_what_a_batch_gathers_is_no_storm(engine: Engine, detect: Detect) -> None:
    desk = Desk(
        engine,
        where(
            {"name": "low", "match": {"severity": "low"}, "batch": "1h"},
            storm={"messages": 3, "per": "10m"},
        ),
    )
    for _ in range(5):
        detect("default", severity="low")
    detect("default")
    detect("default")
    assert desk.after(0) == [("soc", DETECTION)] * 2
    detect("default")
    assert desk.after(1) == []


def test_what_a_silence_hid_was_not_the_first(engine: Engine, detect: Detect) -> None:
    desk = Desk(engine, where({"name": "calm", "messages": "first"}))
    silence(engine, HOUR_MS)
    detect("default", key="c1")
    assert desk.after(0) == []
    detect("default", key="c1")
    detect("default", key="c1")
    assert desk.after(HOUR_MS) == [("soc", DETECTION)]
    detect("default", key="c1")
    assert desk.after(HOUR_MS) == []


def test_a_silence_that_is_ended_early_was_longer_than_the_alert_would_have_gone_on(
    engine: Engine, detect: Detect
) -> None:
    desk = Desk(engine, where({"name": "r", "remind_every": "30m", "resolve_after": "5h"}))
    detect("default")
    desk.after(0)
    made = silence(engine, 10 * HOUR_MS)
    assert desk.after(HOUR_MS) == []
    end_silence(engine, made.id, NOW_MS + HOUR_MS)
    assert desk.after(HOUR_MS) == [("soc", REMINDER)]


def test_a_route_that_is_changed_counts_for_alerts_that_go_on(
    engine: Engine, detect: Detect
) -> None:
    detect("default")
    Desk(engine, where({"name": "night"})).after(0)
    changed = Desk(engine, where({"name": "night", "remind_every": "1h"}))
    assert changed.after(0) == []
    assert changed.after(HOUR_MS) == [("soc", REMINDER)]
    shorter = Desk(engine, where({"name": "night", "remind_every": "10m"}))
    assert shorter.after(HOUR_MS + 10 * MINUTE_MS) == [("soc", REMINDER)]
