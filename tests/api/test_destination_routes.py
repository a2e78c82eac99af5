"""Destinations by requests: how they are, a test message, enable, replay; and their messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alert_desk import Desk, configured, ok, receiving, webhook
from api_checks import NOW_MS, Api, problem
from prometheus_client.parser import text_string_to_metric_families

from alerts import limits as alert_limits
from alerts.http_sender import HttpxSender

MINUTE_MS = 60_000
NONE = {"gathering": 0, "waiting": 0, "pending": 0, "delivered": 0, "dead": 0}


def destinations(desk: Desk) -> dict[str, Any]:
    return {one["name"]: one for one in desk.get("destinations")["items"]}


def deliveries(desk: Desk, **parameters: object) -> list[dict[str, Any]]:
    return list(desk.get("deliveries", **parameters)["items"])


def test_destinations_are_listed_with_how_they_are(desk: Desk) -> None:
    assert destinations(desk)["soc"] == {
        "name": "soc",
        "type": "webhook",
        "disabled": None,
        "failing": None,
        "deliveries": NONE,
    }
    desk.detect("c1", "soc", "gone-from-the-file")
    desk.work()
    found = destinations(desk)
    assert list(found) == ["desk", "gone-from-the-file", "soc"]
    assert found["soc"]["deliveries"] == NONE | {"delivered": 1}
    assert found["gone-from-the-file"]["type"] is None
    assert found["gone-from-the-file"]["deliveries"] == NONE | {"dead": 1}
    assert "secret-path" not in desk.api.client.get("/api/v1/destinations").text


# ------------------------------------------------------------------------------------- test


def test_a_test_message_reaches_the_receiver_and_says_so(desk: Desk) -> None:
    with receiving() as receiver:
        where = configured(port=receiver.port)
        desk.configure(where)
        id_ = ok(desk.ask("destinations/soc:test"), 202)["delivery"]
        (waiting,) = deliveries(desk)
        assert (waiting["id"], waiting["state"], waiting["kind"]) == (id_, "pending", "test")
        desk.work(http=HttpxSender(where.network.policy()))
    ((headers, body),) = receiver.received
    envelope = json.loads(body)
    assert headers["webhook-id"] == envelope["id"] == id_
    assert envelope["type"] == "cep.test.v1"
    found = desk.get(f"deliveries/{id_}")
    assert (found["state"], found["destination"]) == ("delivered", "soc")
    assert (found["alert_id"], found["detection_id"]) == (None, None)
    assert [one["status"] for one in found["attempt_log"]] == [204]


def test_a_test_that_fails_says_why(desk: Desk) -> None:
    desk.status = 401
    id_ = ok(desk.ask("destinations/soc:test"), 202)["delivery"]
    desk.work()
    found = desk.get(f"deliveries/{id_}")
    assert (found["state"], found["reason"]) == ("pending", "client_error")
    assert [(one["status"], one["answer"]) for one in found["attempt_log"]] == [(401, "said")]


def test_each_test_is_a_message_of_its_own_and_holds_up_no_other(desk: Desk) -> None:
    ids = {ok(desk.ask("destinations/soc:test"), 202)["delivery"] for _ in range(3)}
    desk.detect("c1")
    desk.work()
    assert len(ids) == 3
    assert {one["state"] for one in deliveries(desk)} == {"delivered"}


# ------------------------------------------------------------------------------------- failures


def test_a_failing_destination_says_since_when_and_is_left_alone(desk: Desk) -> None:
    desk.status = 503
    desk.detect("c0", "soc")
    desk.work()
    assert destinations(desk)["soc"]["failing"] == {
        "attempts": 1,
        "since": "2024-12-10T06:55:46.000Z",
        "left_alone": False,
        "next_attempt": "2024-12-10T06:55:46.000Z",
    }
    for number in range(1, 10):
        desk.detect(f"c{number}", "soc", "desk")
    desk.work()
    failing = destinations(desk)["soc"]["failing"]
    assert failing["left_alone"] and failing["attempts"] >= alert_limits.BREAKER_FAILURES
    assert failing["next_attempt"] > failing["since"]
    desk.status = 200
    for _ in range(3):
        desk.work(alert_limits.BREAKER_PAUSE_MAX_MS)
    assert destinations(desk)["soc"]["failing"] is None
    assert destinations(desk)["soc"]["deliveries"] == NONE | {"delivered": 10}


def test_one_that_wants_no_more_is_enabled_and_its_dead_messages_replayed(desk: Desk) -> None:
    desk.status = 410
    desk.detect("c1")
    desk.work()
    assert destinations(desk)["soc"]["disabled"] == "an answer said gone"
    desk.status = 200
    desk.detect("c2")
    desk.work()
    assert [(one["state"], one["reason"]) for one in deliveries(desk)] == [
        ("dead", "gone"),
        ("dead", "destination_disabled"),
    ]
    assert ok(desk.ask("destinations/soc:enable")) == {"enabled": True}
    assert ok(desk.ask("destinations/soc:enable")) == {"enabled": False}
    desk.work()
    assert {one["state"] for one in deliveries(desk)} == {"dead"}  # until they are replayed
    before = {one["id"]: one["created"] for one in deliveries(desk)}
    desk.clock.advance(MINUTE_MS)
    assert ok(desk.ask("destinations/soc:replay")) == {"replayed": 2}
    assert ok(desk.ask("destinations/soc:replay")) == {"replayed": 0}
    desk.work()
    after = deliveries(desk)
    assert {one["id"]: one["created"] for one in after} == before
    assert {one["state"] for one in after} == {"delivered"}
    first, again = (body for *_, body in desk.sent.calls if json.loads(body)["id"] == f"{1:032x}")
    assert first == again


def test_enabling_tries_a_failing_destination_at_once(desk: Desk) -> None:
    desk.status = 503
    for number in range(6):
        desk.detect(f"c{number}")
    desk.work()
    assert destinations(desk)["soc"]["failing"]["left_alone"]
    ok(desk.ask("destinations/soc:enable"))
    assert destinations(desk)["soc"]["failing"] is None


def test_one_delivery_is_replayed(desk: Desk) -> None:
    desk.status = 422
    desk.detect("c1")
    desk.detect("c2")
    desk.work()
    desk.work(MINUTE_MS)
    desk.status = 200
    one, other = deliveries(desk, state="dead")
    assert one["reason"] == "refused"
    assert ok(desk.ask(f"deliveries/{one['id']}:replay")) == {"replayed": 1}
    document = problem(desk.ask(f"deliveries/{one['id']}:replay"), 409, "not-possible")
    assert document["detail"] == "the delivery is pending"
    desk.work()
    document = problem(desk.ask(f"deliveries/{one['id']}:replay"), 409, "not-possible")
    assert document["detail"] == "the delivery is delivered"
    assert [item["id"] for item in deliveries(desk, state="dead")] == [other["id"]]


@pytest.mark.parametrize("id_", ["nothing", "%00", "a:b", "é", "x" * 2_000])
def test_what_is_not_there_is_not_found(desk: Desk, id_: str) -> None:
    for verb in ("test", "enable", "replay"):
        problem(desk.ask(f"destinations/{id_}:{verb}"), 404, "not-found")
    problem(desk.ask(f"deliveries/{id_}:replay"), 404, "not-found")
    problem(desk.api.client.get(f"/api/v1/deliveries/{id_}"), 404, "not-found")
    assert deliveries(desk) == []


def test_a_destination_of_any_name_can_be_asked(desk: Desk) -> None:
    desk.configure(configured(**{name: webhook() for name in ("soc", "a/b", "a:b", "ü %")}))
    for name in ("a%2Fb", "a:b", "%C3%BC%20%25"):
        ok(desk.ask(f"destinations/{name}:test"), 202)
        ok(desk.ask(f"destinations/{name}:enable"))
    assert sorted(one["destination"] for one in deliveries(desk)) == ["a/b", "a:b", "ü %"]


def test_one_that_is_only_known_from_old_messages_can_be_replayed(desk: Desk) -> None:
    desk.detect("c1", "old")
    desk.work()
    problem(desk.ask("destinations/old:test"), 404, "not-found")
    assert ok(desk.ask("destinations/old:replay")) == {"replayed": 1}
    desk.configure(configured(soc=webhook(), old=webhook()))
    desk.work()
    assert [one["state"] for one in deliveries(desk)] == ["delivered"]


# ------------------------------------------------------------------------------------- listing


def test_messages_are_listed_by_alert_and_detection_gathered_ones_included(desk: Desk) -> None:
    stormy = webhook(storm={"messages": 2, "per": "10m"})
    desk.configure(configured(soc=stormy, desk=webhook()))
    alone = [desk.detect("c1"), desk.detect("c2")]
    together = [desk.detect("c1"), desk.detect("c3"), desk.detect("c1", "soc", "desk")]
    desk.work()
    c1, _, c3 = (one["id"] for one in desk.get("alerts")["items"])
    gathered = next(one for one in deliveries(desk) if one["kind"] == "gathered")
    assert (gathered["state"], gathered["alert_id"], gathered["number"]) == ("gathering", None, 1)
    assert gathered["next_attempt"] == "2024-12-10T07:05:46.000Z"
    assert "more than 2 messages in 10m" in gathered["note"]

    def kinds(**parameters: object) -> list[tuple[str, str]]:
        found = [(one["kind"], one["destination"]) for one in deliveries(desk, **parameters)]
        return sorted(found)

    own, with_others = ("detection", "soc"), ("gathered", "soc")
    assert kinds(alert=c1) == [("detection", "desk"), own, with_others]
    assert kinds(alert=c3) == [with_others]
    assert kinds(detection=alone[0]) == [own]
    for id_ in together[:2]:
        assert kinds(detection=id_) == [with_others]
    assert kinds(detection=together[2], destination="desk") == [("detection", "desk")]
    assert kinds(alert=c1, state="gathering") == [with_others]
    assert kinds(alert="nothing") == kinds(detection="nothing") == []
    page = desk.get("deliveries", alert=c1, limit=2)
    assert page["more"]
    assert len(deliveries(desk, alert=c1, cursor=page["next"])) == 1
    desk.work(10 * MINUTE_MS)
    assert desk.get(f"deliveries/{gathered['id']}")["state"] == "delivered"


def test_a_message_waits_for_the_one_before_it_of_its_alert(desk: Desk) -> None:
    desk.status = 503
    for _ in range(3):
        desk.detect("c1")
    desk.work()
    found = deliveries(desk)
    assert [(one["number"], one["state"]) for one in found] == [
        (1, "pending"),
        (2, "waiting"),
        (3, "waiting"),
    ]
    assert [one["next_attempt"] is None for one in found] == [False, True, True]


@pytest.mark.parametrize(
    ("parameter", "value"), [("alert", "x" * 33), ("detection", "x" * 33), ("state", "sent")]
)
def test_bad_filters_are_named(desk: Desk, parameter: str, value: str) -> None:
    answer = desk.api.client.get("/api/v1/deliveries", params={parameter: value})
    (error,) = problem(answer, 422, "invalid-parameters")["errors"]
    assert error["parameter"] == parameter
    assert value not in answer.text.replace("'pending'", "")


# ------------------------------------------------------------------------------------- figures


def samples(api: Api) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(api.client.get("/metrics").text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if family.name.startswith(("cep_alerts", "cep_deliver", "cep_destination"))
    }


def test_figures_of_alerts_messages_and_destinations(api: Api, desk: Desk) -> None:
    for key in ("c1", "c1", "c2", "c3"):
        desk.detect(key)
    desk.work()
    _, second, third = (one["id"] for one in desk.get("alerts")["items"])
    ok(desk.act(second, "acknowledge"))
    ok(desk.act(third, "resolve", disposition="true_positive"))
    desk.status = 503
    desk.detect("c1")
    desk.detect("c1")
    desk.work()
    assert samples(api) == {
        ("cep_alerts", "open"): 1,
        ("cep_alerts", "acknowledged"): 1,
        ("cep_alerts", "resolved"): 1,
        ("cep_deliveries", "soc", "gathering"): 0,
        ("cep_deliveries", "soc", "waiting"): 1,
        ("cep_deliveries", "soc", "pending"): 1,
        ("cep_deliveries", "soc", "delivered"): 4,
        ("cep_deliveries", "soc", "dead"): 0,
        ("cep_delivery_attempts_total", "delivered"): 4,
        ("cep_delivery_attempts_total", "server_error"): 1,
        ("cep_destination_failures", "soc"): 1,
    }
    assert desk.clock.now_ms() == NOW_MS


def test_every_resource_of_alerts_is_in_the_description(api: Api) -> None:
    document = api.client.get("/api/v1/openapi.json").json()
    paths = {path.removeprefix("/api/v1") for path in document["paths"]}
    assert paths >= {
        "/alerts",
        "/alerts/{id_}",
        "/alerts/{id_}/detections",
        "/alerts/{id_}/history",
        *(
            f"/alerts/{{id_}}:{verb}"
            for verb in ("acknowledge", "assign", "comment", "snooze", "resolve", "reopen")
        ),
        "/silences",
        "/silences:preview",
        "/silences/{id_}",
        "/silences/{id_}:end",
        "/destinations",
        "/deliveries/{id_}:replay",
    }
    assert "requestBody" in document["paths"]["/api/v1/silences"]["post"]
