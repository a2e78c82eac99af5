"""Every channel renders every kind of message: the same bytes each time, bounded and harmless."""

from __future__ import annotations

import json
import typing
from email import message_from_bytes, policy

import pytest
from alert_helpers import EPISODE, every_kind, notice, subject
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import limits
from alerts.channels import CHANNELS, channel_of
from alerts.config import Destinations
from alerts.destinations import Destination
from alerts.message import Kind, Notice
from alerts.wording import content

KEY = {"env": "HOOK_SECRET"}
WHERE = Destinations.model_validate(
    {
        "link": "https://console.example.com/",
        "destinations": {
            "webhook": {"type": "webhook", "url": "https://a.example/x", "secrets": [KEY]},
            "smtp": {"type": "smtp", "host": "m", "from": "cep@example.com", "to": ["a@b"]},
            "pagerduty": {"type": "pagerduty", "routing_key": KEY},
            "apprise": {"type": "apprise", "url": KEY},
            "file": {"type": "file", "path": "/nowhere/a.jsonl"},
            "stdout": {"type": "stdout"},
        },
    }
)
HOSTILE = [
    "x\r\nBcc: v@example.com\r\n\r\nbody",
    "\x1b[31mred\x9b31m\x00\x7f\x85",
    "\u202egnp.exe\u2028\u2029\ufeff",
    '"},"routing_key":"other","x":{"',
    "</td><script>alert(1)</script>&amp;",
    "@everyone <!channel> <@U123>",
    "=?utf-8?q?x=0aBcc:_v=40x?=",
    "x" * 20_000,
    "🚨" * 10_000,
    "\x1b" * 10_000,
    "",
]


def shown(name: str, body: bytes) -> str:
    """Everything of a message that a person may read."""
    if name != "smtp":
        return body.decode()
    parts = message_from_bytes(body, policy=policy.default).iter_parts()
    return "".join(part.get_content() for part in parts)


def test_every_type_of_destination_has_a_channel() -> None:
    union = typing.get_args(Destination)[0]
    types = {one.model_fields["type"].default for one in typing.get_args(union)}
    assert types == set(CHANNELS) == set(WHERE.destinations)


@pytest.mark.parametrize("name", WHERE.destinations)
@pytest.mark.parametrize("number", range(len(every_kind())))
def test_equal_notices_give_equal_bytes(name: str, number: int) -> None:
    destination = WHERE.destinations[name]
    one, two = (channel_of(destination).render(every_kind()[number], destination) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", WHERE.destinations)
def test_each_kind_says_its_note_and_where_to_look(name: str) -> None:
    destination = WHERE.destinations[name]
    for said in every_kind():
        text = shown(name, channel_of(destination).render(said, destination))
        if said.kind is Kind.RESOLVED and name == "pagerduty":
            continue  # it only ends the incident
        assert said.note in text
        if said.episode is not None and not (
            said.kind is Kind.DETECTION and name in ("webhook", "file", "stdout")
        ):
            assert f"https://console.example.com/alerts/{EPISODE.id}" in text


@pytest.mark.parametrize("name", WHERE.destinations)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_does_nothing(name: str, text: str) -> None:
    destination = WHERE.destinations[name]
    for said in every_kind(message=text, rule=text or "r", key={text: text}, fields={text: text}):
        body = channel_of(destination).render(said, destination)
        if name == "smtp":
            assert body.isascii()
            read = shown(name, body)
            assert "<script>" not in read.partition("<!doctype html>")[2]
            assert not {char for char in read if not char.isprintable()} - {"\n", "\r"}
            continue
        assert b"\n" not in body
        assert b"\r" not in body
        json.loads(body)
        if name == "stdout":
            assert body.decode().isprintable()


@pytest.mark.parametrize("text", [*HOSTILE, "é\n" * 10_000], ids=range(len(HOSTILE) + 1))
def test_what_people_read_is_bounded(text: str) -> None:
    many = {f"{number} {text[:50]}": text[:2_000] for number in range(40)}
    events = [{"step": text, "position": number, "event": many} for number in range(25)]
    changes = {"message": text, "fields": many, "events": events, "rule": text or "r"}
    long = [
        notice(*[subject(**changes)] * 30, kind=Kind.GATHERED),
        notice(subject(**changes), episode=EPISODE, note=text),
    ]
    for said in long:
        told = content(said, "https://console.example.com/" + "x" * 400)
        assert len(told.as_text().encode()) <= limits.TEXT_BYTES_MAX
        assert told.facts or len(said.subjects) > 1
        for name in ("pagerduty", "apprise", "smtp"):
            destination = WHERE.destinations[name]
            body = channel_of(destination).render(said, destination)
            assert len(body) < 12 * limits.TEXT_BYTES_MAX
            assert name != "apprise" or len(json.loads(body)["body"]) <= 2 * 3_500


def test_what_does_not_fit_is_counted() -> None:
    subjects = [subject(number, message="m" * 400) for number in range(200)]
    told = content(notice(*subjects, kind=Kind.GATHERED, left_out=10), None)
    assert 0 < len(told.lines) <= limits.DETECTIONS_SHOWN_MAX
    assert len(told.lines) + told.more == 210
    fields = {f"field {number}": "v" * 400 for number in range(100)}
    told = content(notice(subject(fields=fields)), None)
    shown_fields = sum(name.startswith("field") for name, _ in told.facts)
    assert told.facts[-1][0] == "…"
    assert 0 < shown_fields < 100


texts = st.text(max_size=300)


@settings(max_examples=30, deadline=None)
@given(texts, texts, texts)
def test_any_text_can_be_said(message: str, rule: str, key: str) -> None:
    said: list[Notice] = every_kind(message=message, rule=rule or "r", key={key: message})
    for one in said:
        for destination in WHERE.destinations.values():
            assert channel_of(destination).render(one, destination)


# ---------------------------------------------------------------------------------- settings


def test_only_pagers_hear_that_an_alert_is_over_unless_told_otherwise() -> None:
    assert {name for name, one in WHERE.destinations.items() if one.resolved} == {"pagerduty"}
    other = Destinations.model_validate(
        {
            "destinations": {
                "a": {"type": "stdout", "resolved": True},
                "b": {"type": "pagerduty", "routing_key": KEY, "resolved": False},
            }
        }
    )
    assert [one.resolved for one in other.destinations.values()] == [True, False]


def test_destination_may_have_a_link_of_its_own() -> None:
    given_links = Destinations.model_validate(
        {
            "link": "https://console.example.com/",
            "destinations": {
                "a": {"type": "stdout"},
                "b": {"type": "stdout", "link": "http://other:9000/cep"},
            },
        }
    )
    links = [one.link for one in given_links.destinations.values()]
    assert links == ["https://console.example.com", "http://other:9000/cep"]
