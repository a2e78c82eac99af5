"""PagerDuty's Events API: what arrives, one incident per alert, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from alert_helpers import (
    EPISODE,
    all_attempts,
    destinations,
    dispatcher,
    notice,
    one_delivery,
    send,
    subject,
)
from alert_receivers import HttpReceiver, Reply
from sqlalchemy import Engine

from alerts import limits
from alerts.alert import alert_id
from alerts.config import Destinations
from alerts.destinations import PagerDutyDestination
from alerts.message import Kind, Notice
from alerts.pagerduty import SEVERITIES, render
from alerts.reasons import Reason
from dsl.check.clauses import SEVERITIES as SEVERITIES_OF_RULES

ROUTING_KEY = "R0123456789abcdefghijklmnopqrstu"
DESTINATION = PagerDutyDestination.model_validate({"routing_key": {"env": "PAGER_KEY"}})


@pytest.fixture(autouse=True)
def routing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_KEY", ROUTING_KEY)


def pager(receiver: HttpReceiver, **settings: object) -> Destinations:
    url = f"http://127.0.0.1:{receiver.port}/v2/enqueue"
    one = {"type": "pagerduty", "routing_key": {"env": "PAGER_KEY"}, "url": url, **settings}
    return destinations(pager=one)


def event(said: Notice, **settings: object) -> Any:
    return json.loads(render(said, DESTINATION.model_copy(update=settings)))


def test_detection_arrives_as_a_trigger(
    engine: Engine, receiver: HttpReceiver, detect: Callable[..., str]
) -> None:
    receiver.replies = [Reply(202, body=b'{"status":"success","message":"Event processed"}')]
    id_ = detect("pager", message="3 declines")
    asyncio.run(dispatcher(engine, pager(receiver)).run_once())
    (request,) = receiver.requests
    assert request.path == "/v2/enqueue"
    assert request.headers["content-type"] == "application/json"
    body = json.loads(request.body)
    assert body["routing_key"] == ROUTING_KEY
    assert (body["event_action"], body["dedup_key"]) == ("trigger", alert_id(id_))
    payload = body["payload"]
    assert payload["summary"] == "[high] card_testing: 3 declines"
    assert payload["source"] == "card_id=c1"
    assert payload["severity"] == "error"
    assert payload["timestamp"] == "2024-12-10T06:55:46.000Z"
    assert payload["component"] == "card_testing"
    assert payload["custom_details"]["card_id"] == "c1"
    assert payload["custom_details"]["events shown"][0].startswith("hit (position 12)")
    row = one_delivery(engine)
    assert (row.state, row.channel) == ("delivered", "pagerduty")
    assert ROUTING_KEY.encode() not in row.body


def test_alert_is_one_incident_until_it_is_resolved(receiver: HttpReceiver) -> None:
    receiver.replies = [Reply(202)]
    kinds = [Kind.DETECTION, Kind.GATHERED, Kind.REMINDER, Kind.ESCALATION, Kind.RESOLVED]
    for kind in kinds:
        said = notice(subject(), kind=kind, episode=EPISODE, note="Why.")
        assert send(said, pager(receiver), "pager")[0] is Reason.DELIVERED
    bodies = [json.loads(one.body) for one in receiver.requests]
    assert {one["dedup_key"] for one in bodies} == {EPISODE.id}
    assert [one["event_action"] for one in bodies] == ["trigger"] * 4 + ["resolve"]
    assert "payload" not in bodies[-1]
    assert all(one["payload"]["custom_details"]["note"] == "Why." for one in bodies[:-1])
    assert bodies[2]["payload"]["summary"] == f"Still open: [high] card_testing: {EPISODE.title}"


def test_every_severity_of_rules_has_one_there() -> None:
    assert set(SEVERITIES) == set(SEVERITIES_OF_RULES)
    for severity in SEVERITIES_OF_RULES:
        given = event(notice(subject(severity=severity)))["payload"]["severity"]
        assert given in ("critical", "error", "warning", "info")
    worse = replace(EPISODE, severity="critical")
    assert event(notice(subject(), episode=worse))["payload"]["severity"] == "critical"


def test_gathered_detections_are_as_severe_as_the_worst() -> None:
    severities = ("low", "critical", "medium")
    subjects = [subject(n, severity=severity) for n, severity in enumerate(severities)]
    given = event(notice(*subjects, kind=Kind.GATHERED))["payload"]
    assert given["severity"] == "critical"
    assert given["summary"] == "3 detections of card_testing"


def test_texts_keep_to_the_bounds_of_the_service() -> None:
    said = notice(subject(message="m\r\n\x1b" * 5_000, key={"k": "v" * 5_000}))
    payload = event(said)["payload"]
    assert len(payload["summary"]) <= limits.PAGER_SUMMARY_CHARACTERS_MAX
    assert payload["summary"].isprintable()
    assert len(payload["source"]) <= limits.PAGER_SOURCE_CHARACTERS_MAX
    assert len(json.dumps(payload["custom_details"])) < 100_000


def test_fields_of_the_same_name_are_all_told() -> None:
    said = notice(subject(key={"user": "ada"}, fields={"user": "bob", "message": "hello"}))
    details = event(said)["payload"]["custom_details"]
    assert details["user"] == "ada, bob"
    assert details["message"] == "3 declines, then 250.00, hello"


def test_detection_without_key_and_test_have_a_source() -> None:
    assert event(notice(subject(key={})))["payload"]["source"] == "cep"
    test = event(notice(kind=Kind.TEST))
    assert test["payload"]["summary"] == "Test message to oncall"
    assert test["payload"]["severity"] == "info"


def test_link_is_given_as_a_link() -> None:
    body = event(notice(subject(), episode=EPISODE), link="https://console.example.com")
    assert body["links"][0]["href"] == f"https://console.example.com/alerts/{EPISODE.id}"


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (202, "delivered", "delivered"),
        (429, "pending", "rate_limited"),
        (500, "pending", "server_error"),
        (400, "pending", "refused"),  # tried once more
        (403, "pending", "client_error"),
    ],
)
def test_answers(
    engine: Engine,
    receiver: HttpReceiver,
    detect: Callable[..., str],
    status: int,
    state: str,
    reason: str,
) -> None:
    receiver.replies = [Reply(status, body=f"bad key {ROUTING_KEY}".encode())]
    detect("pager")
    asyncio.run(dispatcher(engine, pager(receiver)).run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == (state, reason)
    assert all_attempts(engine)[0].answer == b"bad key ***"


def test_private_address_is_refused(receiver: HttpReceiver) -> None:
    where = pager(receiver)
    closed = where.model_copy(
        update={"network": where.network.model_copy(update={"allow": ()})},
    )
    assert send(notice(subject()), closed, "pager")[0] is Reason.BLOCKED
    assert receiver.requests == []


def test_missing_key_is_tried_again(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGER_KEY")
    reason, attempt, _ = send(notice(subject()), pager(receiver), "pager")
    assert reason is Reason.SECRET_UNAVAILABLE
    assert "PAGER_KEY" in str(attempt.error)
