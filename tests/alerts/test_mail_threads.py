"""Mails of one alert are one thread, whatever arrives of it; and no id or name adds a header."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from alert_helpers import EPISODE, destinations, every_kind, mail, notice, send, subject
from alert_receivers import MailReceiver
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import limits
from alerts.destinations import SmtpDestination
from alerts.email import header_text, headers_are_as_given, render, thread_of
from alerts.message import Episode, Kind, Notice
from alerts.reasons import Reason

FIRST = ["From", "To", "Subject", "Date", "Message-ID"]
LAST = ["Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]
SETTINGS = {"host": "mail.example.com", "from": "cep@example.com", "to": ["a@example.com"]}
DESTINATION = SmtpDestination.model_validate(SETTINGS)


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def page_of(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def of_alert(number: int, kind: Kind = Kind.REMINDER, **changes: Any) -> Notice:
    said = notice(subject(number), kind=kind, episode=EPISODE, number=number, **changes)
    return replace(said, id=f"{number:032x}")


def test_alert_is_one_thread_at_a_real_server(mailbox: MailReceiver) -> None:
    where = destinations(oncall=mail(mailbox))
    kinds = [Kind.DETECTION, Kind.GATHERED, Kind.REMINDER, Kind.ESCALATION, Kind.RESOLVED]
    for number, kind in enumerate(kinds, 1):
        reason, _, _ = send(of_alert(number, kind), where, "oncall")
        assert reason is Reason.DELIVERED
    first, *others = [one.message for one in mailbox.mails]
    root = first["Message-ID"]
    assert root.startswith(f"<{EPISODE.id}.")
    assert "In-Reply-To" not in first
    assert "References" not in first
    for number, message in enumerate(others, 2):
        assert message["In-Reply-To"] == message["References"] == root
        assert message["Message-ID"] == f"<{number:032x}@example.com>"
    assert {one["Subject"] for one in (first, *others)} == {f"[high] card_testing: {EPISODE.title}"}


def test_subject_stays_when_the_state_changes() -> None:
    later = replace(EPISODE, state="acknowledged", detections=99)
    one, two = (
        parsed(render(replace(of_alert(2), episode=episode), DESTINATION))
        for episode in (EPISODE, later)
    )
    assert one["Subject"] == two["Subject"]
    assert "severity: high" in text_of(two)  # the detection's
    assert "state: acknowledged" in text_of(two)
    assert "detections so far: 99" in text_of(two)


def test_destinations_have_threads_of_their_own() -> None:
    roots = {
        thread_of(replace(of_alert(1), destination=name), DESTINATION).message_id
        for name in ("oncall", "desk", "on call\r\nBcc: x@y")
    }
    assert len(roots) == 3


def test_kinds_say_why_they_are_sent() -> None:
    starts = {
        Kind.DETECTION: "3 declines, then 250.00\n",
        Kind.GATHERED: "[high] card_testing: 3 declines, then 250.00\n",
        Kind.REMINDER: "Still open: [high] card_testing: 3 declines",
        Kind.ESCALATION: "Not acknowledged: [high] card_testing: 3 declines",
        Kind.RESOLVED: "Resolved: [high] card_testing: 3 declines",
    }
    for kind, start in starts.items():
        message = parsed(render(of_alert(2, kind, note="For <you>."), DESTINATION))
        assert text_of(message).startswith(start)
        assert "\nFor <you>.\n" in text_of(message)
        assert "<p>For &lt;you&gt;.</p>" in page_of(message)
    test = parsed(render(notice(kind=Kind.TEST), DESTINATION))
    assert test["Subject"] == "Test message to oncall"
    assert text_of(test).startswith("This is a test message")


def test_gathered_mail_lists_detections_and_counts_the_others() -> None:
    subjects = [subject(number, message=f"case {number}") for number in range(30)]
    said = notice(*subjects, kind=Kind.GATHERED, left_out=5)
    message = parsed(render(said, DESTINATION))
    assert message["Subject"] == "35 detections of card_testing"
    text = text_of(message)
    for number in range(limits.DETECTIONS_SHOWN_MAX):
        assert f"[high] card_testing: case {number} (card_id=c1)" in text
    assert "… and 15 more" in text
    assert page_of(message).count("<li>") == limits.DETECTIONS_SHOWN_MAX + 1


def test_link_is_a_plain_link_to_the_page_of_the_alert() -> None:
    linked = SmtpDestination.model_validate(SETTINGS | {"link": "https://console.example.com/"})
    address = f"https://console.example.com/alerts/{EPISODE.id}"
    message = parsed(render(of_alert(1), linked))
    assert text_of(message).endswith(f"\n\n{address}\n")
    assert f'<a href="{address}">' in page_of(message)
    assert "href" not in page_of(parsed(render(of_alert(1), DESTINATION)))
    assert "href" not in page_of(parsed(render(notice(subject()), linked)))  # of no alert


# ---------------------------------------------------------------------------------- hostile data


def check_headers(raw: bytes, reply: bool) -> None:
    names = [*FIRST, *(["In-Reply-To", "References"] if reply else []), *LAST]
    for rules in (policy.compat32, policy.SMTP, policy.default):
        assert list(message_from_bytes(raw, policy=rules).keys()) == names
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    message = message_from_bytes(raw, policy=policy.compat32)
    for name in ("Message-ID", "In-Reply-To", "References"):
        value = message[name]
        assert value is None or (value[0] == "<" and value[-1] == ">" and " " not in value)


pieces = st.sampled_from(
    ["=?", "?=", "utf-8", "q", "\r\n", "\n", "\r", "Bcc: v@x", " ", "=0a", "<", ">", "@", ","]
)
texts = st.lists(pieces | st.text(max_size=4), max_size=12).map("".join)


@settings(max_examples=100, deadline=None)
@given(texts, texts, texts, texts, st.integers(1, 3), st.sampled_from(list(Kind)))
def test_nothing_of_an_alert_adds_a_header(
    id_: str, title: str, rule: str, note: str, number: int, kind: Kind
) -> None:
    episode = Episode(id_, rule, title, title, note, 0, 1)
    said = Notice(id_, kind, title, 0, (subject(),), episode, number, note=note)
    check_headers(render(said, DESTINATION), reply=number > 1)


@pytest.mark.parametrize("domain", ["x" * 180 + ".example", "a-b.example", "sub." * 40 + "example"])
def test_long_ids_are_not_folded(domain: str) -> None:
    where = SmtpDestination.model_validate(SETTINGS | {"from": f"cep@{domain}"})
    for number in (1, 2):
        raw = render(of_alert(number), where)
        check_headers(raw, reply=number == 2)
        message = message_from_bytes(raw, policy=policy.compat32)
        assert message["References" if number == 2 else "Message-ID"].endswith(f"@{domain}>")


@pytest.mark.parametrize("said", every_kind(), ids=range(len(every_kind())))
def test_message_with_another_thread_is_noticed(said: Notice) -> None:
    good, thread = render(said, DESTINATION), thread_of(said, DESTINATION)
    title = str(parsed(good)["Subject"])
    assert headers_are_as_given(good, DESTINATION, thread, title)
    changed = [good.replace(b"Message-ID: <", b"Message-ID: <0", 1)]
    if thread.root is None:
        changed.append(good.replace(b"Message-ID:", b"References: <x@y>\r\nMessage-ID:", 1))
    else:
        changed.append(good.replace(b"References: <", b"References: <x@y> <", 1))
        changed.append(good.replace(b"In-Reply-To: <", b"In-Reply-To: <0", 1))
        changed.append(good.replace(b"In-Reply-To: ", b"Bcc: ", 1))
    for bad in changed:
        assert bad != good
        assert not headers_are_as_given(bad, DESTINATION, thread, title)


def test_title_with_marks_of_encoded_words_is_still_the_same_for_all() -> None:
    episode = replace(EPISODE, title="=?utf-8?q?a=0aBcc:_v?= über\r\nall")
    titles = {
        str(parsed(render(replace(of_alert(number), episode=episode), DESTINATION))["Subject"])
        for number in (1, 2, 3)
    }
    assert titles == {header_text(f"[high] card_testing: {episode.title}")}
