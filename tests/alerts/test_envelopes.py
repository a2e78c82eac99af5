"""Envelopes of messages about alerts: valid CloudEvents, detections byte for byte, bounded."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from alert_helpers import EPISODE, SECRET, destinations, every_kind, notice, send, subject
from alert_helpers import webhook as to_webhook
from alert_receivers import HttpReceiver
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from alerts import limits
from alerts.envelope import TYPES, envelope
from alerts.message import Kind, Notice
from alerts.reasons import Reason

RULE = "card_testing"


def read(said: Notice, link: str | None = None) -> Any:
    return json.loads(envelope(said, link))


def check_cloudevent(event: dict[str, Any]) -> None:
    """CloudEvents 1.0.2, sections 3 and 3.1, and the extension `sequence`."""
    assert event["specversion"] == "1.0"
    assert event["datacontenttype"] == "application/json"
    for name, value in event.items():
        if name != "data":
            assert re.fullmatch(r"[a-z0-9]{1,20}", name)
            assert isinstance(value, str)
            assert value
    assert re.fullmatch(r"[A-Za-z0-9%/._~-]+", event["source"])
    assert re.fullmatch(r"\d{10}", event.get("sequence", "0000000001"))


def test_every_kind_is_a_cloudevent() -> None:
    for said in every_kind():
        event = read(said)
        check_cloudevent(event)
        assert event["type"] == TYPES[said.kind]


def test_detection_of_an_alert_is_the_same_but_for_two_attributes() -> None:
    alone, of_alert = (
        read(notice(subject(), **alert)) for alert in ({}, {"episode": EPISODE, "number": 12})
    )
    assert of_alert == alone | {"alertid": EPISODE.id, "sequence": "0000000012"}
    assert list(alone) == [
        "specversion", "id", "source", "type", "subject", "severity", "datacontenttype", "time",
        "data",
    ]  # fmt: skip


def test_alert_says_what_it_is_about() -> None:
    one = subject()
    said = notice(one, kind=Kind.REMINDER, episode=EPISODE, number=3, note="Open for 4 h.")
    event = read(said, "https://console.example.com")
    assert (event["id"], event["source"]) == (said.id, f"/cep/alerts/{EPISODE.id}")
    assert (event["subject"], event["severity"]) == (RULE, "high")
    assert (event["alertid"], event["sequence"]) == (EPISODE.id, "0000000003")
    assert event["time"] == "2024-12-10T06:55:46.000Z"
    assert event["data"] == {
        "note": "Open for 4 h.",
        "alert": {
            "id": EPISODE.id,
            "rule": RULE,
            "severity": "high",
            "title": EPISODE.title,
            "state": "open",
            "opened": "2024-12-10T06:54:46.000Z",
            "detections": 7,
            "link": f"https://console.example.com/alerts/{EPISODE.id}",
        },
        "detections": [json.loads(one.body)],
        "left_out": 0,
    }


def test_what_belongs_to_no_alert_says_so() -> None:
    gathered = read(notice(subject(1), subject(2), kind=Kind.GATHERED, left_out=3))
    assert gathered["source"] == "/cep"
    assert gathered["subject"] == RULE
    assert gathered["data"]["alert"] is None
    assert gathered["data"]["left_out"] == 3
    mixed = read(notice(subject(1), subject(2, rule="other", severity="low"), kind=Kind.GATHERED))
    assert not {"subject", "severity", "alertid", "sequence"} & set(mixed)
    test = read(notice(kind=Kind.TEST))
    assert test["data"] == {"note": "", "alert": None, "detections": [], "left_out": 0}


def test_detections_are_byte_for_byte_as_committed() -> None:
    body = b'{"id":"d","fields":{"a":1.10,"b":12345678901234567890123456789,"c":1E5}}'
    one = replace(subject(), body=body)
    said = notice(one, one, kind=Kind.GATHERED)
    assert b'"detections":[' + body + b"," + body + b"]" in envelope(said, None)


def test_what_does_not_fit_is_counted() -> None:
    large = [subject(number, message="é" * 30_000) for number in range(20)]
    small = subject(99, message="small")
    body = envelope(notice(*large, small, kind=Kind.GATHERED, left_out=5), None)
    assert len(body) <= limits.ENVELOPE_BYTES_MAX
    data = json.loads(body)["data"]
    assert len(data["detections"]) + data["left_out"] == 26
    assert len(data["detections"]) > 5
    assert data["detections"][-1]["message"] == "small"
    huge = subject(message="x" * limits.ENVELOPE_BYTES_MAX)
    data = read(notice(huge, kind=Kind.REMINDER, episode=EPISODE))["data"]
    assert (data["detections"], data["left_out"]) == ([], 1)


def test_every_kind_arrives_signed(receiver: HttpReceiver) -> None:
    where = destinations(soc=to_webhook(receiver.port))
    for said in every_kind():
        assert send(said, where, "soc")[0] is Reason.DELIVERED
    for said, request in zip(every_kind(), receiver.requests, strict=True):
        assert request.headers["webhook-id"] == said.id
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=UTC)
        signature = Webhook(SECRET).sign(said.id, at, request.body.decode())
        assert request.headers["webhook-signature"] == signature


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(min_size=1), st.text(), st.integers(1, 2**31 - 1))
def test_no_text_breaks_the_envelope(id_: str, rule: str, title: str, number: int) -> None:
    episode = replace(EPISODE, id=id_ or "a", rule=rule, title=title)
    for kind in set(Kind) - {Kind.DETECTION, Kind.TEST}:
        event = read(notice(subject(), kind=kind, episode=episode, number=number, note=title))
        check_cloudevent(event)
        assert event["data"]["alert"]["title"] == title


@pytest.mark.parametrize("numbers", [(1, 2), (9, 10), (99, 100), (999_999_999, 1_000_000_000)])
def test_sequence_is_in_order_as_text(numbers: tuple[int, int]) -> None:
    one, two = (
        read(notice(subject(), episode=EPISODE, number=number))["sequence"] for number in numbers
    )
    assert one < two
