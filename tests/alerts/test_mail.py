"""E-mail through a real SMTP server: what arrives, who is refused, and what data cannot do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from email import message_from_bytes, policy

import pytest
from alert_helpers import (
    NOW_MS,
    all_attempts,
    destinations,
    detection_body,
    dispatcher,
    mail,
    notice,
    one_delivery,
)
from alert_receivers import MailReceiver
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from alerts import limits
from alerts.alert import alert_id
from alerts.destinations import SmtpDestination
from alerts.email import header_text, headers_are_as_given, render, thread_of
from alerts.message import Subject
from alerts.ports import ManualClock

Detect = Callable[..., str]

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
]
DESTINATION = SmtpDestination.model_validate(
    {
        "host": "mail.example.com",
        "from": "cep@example.com",
        "to": ["a@example.com", "b@example.com"],
    }
)


def subject(body: bytes, rule: str = "card_testing", severity: str = "high") -> Subject:
    return Subject("00ff" * 8, rule, severity, NOW_MS, body)


def render_email(one: Subject) -> bytes:
    return render(notice(one), DESTINATION)


def test_mail_has_both_parts_and_fixed_headers(
    engine: Engine, mailbox: MailReceiver, detect: Detect
) -> None:
    id_ = detect("oncall", message="3 declines at <b>m1</b>")
    asyncio.run(dispatcher(engine, destinations(oncall=mail(mailbox))).run_once())
    (received,) = mailbox.mails
    assert received.sender == "cep@example.com"
    assert received.recipients == ["oncall@example.com"]
    message = received.message
    # The server puts its own trace headers in front.
    assert [name for name in message if name not in ("X-Peer", "X-MailFrom", "X-RcptTo")] == HEADERS
    assert message["Subject"] == "[high] card_testing: 3 declines at <b>m1</b>"
    assert message["Message-ID"].startswith(f"<{alert_id(id_)}.")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Tue, 10 Dec 2024 06:55:46 +0000"
    text, page = (part.get_content() for part in message.iter_parts())
    assert text.startswith("3 declines at <b>m1</b>")
    assert "card_id: c1" in text
    assert "hit (position 12)" in text
    assert "3 declines at &lt;b&gt;m1&lt;/b&gt;" in page
    assert one_delivery(engine).state == "delivered"


def test_refused_recipient_does_not_lose_the_others(
    engine: Engine, mailbox: MailReceiver, detect: Detect
) -> None:
    mailbox.refusals["gone@example.com"] = ["550 no such user"]
    detect("oncall")
    where = destinations(oncall=mail(mailbox, "gone@example.com", "here@example.com"))
    asyncio.run(dispatcher(engine, where).run_once())
    assert [one.recipients for one in mailbox.mails] == [["here@example.com"]]
    row = one_delivery(engine)
    assert (row.state, row.reason) == ("delivered", "partly_delivered")
    assert json.loads(row.recipients) == {
        "gone@example.com": "refused: 550",
        "here@example.com": "accepted",
    }
    assert "gone@example.com: 550 no such user" in all_attempts(engine)[0].error


def test_deferred_recipient_alone_is_tried_again_with_the_same_bytes(
    engine: Engine, mailbox: MailReceiver, detect: Detect, clock: ManualClock
) -> None:
    mailbox.refusals["grey@example.com"] = ["451 come back later"]
    detect("oncall")
    where = destinations(oncall=mail(mailbox, "here@example.com", "grey@example.com"))
    sender = dispatcher(engine, where, clock)
    asyncio.run(sender.run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == (
        "pending",
        "recipients_deferred",
    )
    clock.advance(5_000)
    asyncio.run(sender.run_once())
    assert [one.recipients for one in mailbox.mails] == [["here@example.com"], ["grey@example.com"]]
    assert len({one.raw for one in mailbox.mails}) == 1
    assert one_delivery(engine).state == "delivered"


def test_all_recipients_refused_is_dead(
    engine: Engine, mailbox: MailReceiver, detect: Detect
) -> None:
    mailbox.refusals["oncall@example.com"] = ["550 no such user"]
    detect("oncall")
    asyncio.run(dispatcher(engine, destinations(oncall=mail(mailbox))).run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == (
        "dead",
        "recipients_refused",
    )
    assert mailbox.mails == []


def test_message_deferred_after_data_is_retried_for_everyone(
    engine: Engine, mailbox: MailReceiver, detect: Detect, clock: ManualClock
) -> None:
    mailbox.data_replies = ["452 disk full"]
    detect("oncall")
    where = destinations(oncall=mail(mailbox, "a@example.com", "b@example.com"))
    sender = dispatcher(engine, where, clock)
    asyncio.run(sender.run_once())
    assert (one_delivery(engine).reason, all_attempts(engine)[0].status) == ("server_error", 452)
    clock.advance(5_000)
    asyncio.run(sender.run_once())
    assert [one.recipients for one in mailbox.mails] == [["a@example.com", "b@example.com"]]


def test_server_that_is_down_leaves_the_mail_queued(
    engine: Engine, detect: Detect, clock: ManualClock
) -> None:
    detect("oncall")
    down = MailReceiver()
    where = destinations(oncall=mail(down))
    asyncio.run(dispatcher(engine, where, clock).run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == ("pending", "network")
    clock.advance(5_000)
    with down as mailbox:
        asyncio.run(dispatcher(engine, where, clock).run_once())
        assert len(mailbox.mails) == 1


# The mail server does not know that its socket is already inside TLS.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_mail_goes_over_tls_with_a_login(
    engine: Engine, detect: Detect, tls_ca: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "correct horse")
    with MailReceiver(tls=mode, user=("cep", "correct horse")) as mailbox:
        settings = {
            "host": "localhost",
            "tls": mode,
            "user": "cep",
            "password": {"env": "MAIL_PASSWORD"},
            "ca_file": tls_ca,
        }
        detect("oncall")
        asyncio.run(dispatcher(engine, destinations(oncall=mail(mailbox, **settings))).run_once())
        assert one_delivery(engine).reason == "delivered"
        assert len(mailbox.mails) == 1


def test_server_without_starttls_gets_no_mail(
    engine: Engine, mailbox: MailReceiver, detect: Detect
) -> None:
    detect("oncall")
    where = destinations(oncall=mail(mailbox, tls="starttls"))
    asyncio.run(dispatcher(engine, where).run_once())
    assert (one_delivery(engine).state, mailbox.mails) == ("pending", [])


# ---------------------------------------------------------------------------------- hostile data

HOSTILE = [
    "x\r\nBcc: victim@example.com",
    "x\nBcc: victim@example.com",
    "x\rBcc: victim@example.com",
    "x\r\n\r\n<script>",
    "=?utf-8?q?x=0aBcc:_victim=40example.com?=",
    "=?utf-8?q?x=0d=0aBcc:_victim=40example.com?=",
    "=?utf-8?b?eApCY2M6IHZpY3RpbUBleGFtcGxlLmNvbQ==?=",
    "=\t?utf-8?q?x=0aBcc:_v?=",
    "=\u200b?utf-8?q?x=0aBcc:_v?=",
    "= =??utf-8?q?x=0aBcc:_v?= ?=",
    "=\x00?utf-8?q?=0aBcc:_v?=",
    "x\u2028Bcc: v@example.com\u2029",
    "x\x85Bcc: v@example.com",
    "x\x0b\x0c\x1c\x1d\x1eBcc: v@example.com",
    "a" * 5_000,
    "=?" * 500,
    "?==?" * 500,
    " \t " * 300,
    "é" * 400,
    "\u202egnp.exe",
    "a@example.com, b@example.com; <c@example.com>",
    "'\"()<>[]:;@\\,.",
    "\ud7ff\ufffe\uffff\U0010ffff",
]


def check_message(raw: bytes) -> None:
    for rules in (policy.compat32, policy.SMTP, policy.default):
        message = message_from_bytes(raw, policy=rules)
        assert list(message.keys()) == HEADERS
    decoded = message_from_bytes(raw, policy=policy.default)
    assert [one.addr_spec for one in decoded["To"].addresses] == list(DESTINATION.to)
    assert "\n" not in str(decoded["Subject"])
    assert "\r" not in str(decoded["Subject"])
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_header(text: str) -> None:
    body = detection_body("d", message=text, key={text: text}, fields={text: text})
    check_message(render_email(subject(body, rule=text, severity=text)))


marks = st.sampled_from(
    ["=?", "?=", "=", "?", "utf-8", "q", "\r\n", "\n", "\r", "Bcc: v@x", " ", "=0a"]
)
texts = st.lists(marks | st.text(max_size=4), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_no_text_adds_a_header(message: str, rule: str) -> None:
    body = detection_body("d", message=message, key={rule: message})
    check_message(render_email(subject(body, rule=rule)))
    assert "=?" not in header_text(message)


def test_message_with_another_header_is_noticed() -> None:
    said = notice(subject(detection_body("d")))
    good, thread = render(said, DESTINATION), thread_of(said, DESTINATION)
    title = str(message_from_bytes(good, policy=policy.default)["Subject"])
    assert headers_are_as_given(good, DESTINATION, thread, title)
    for bad in (
        good.replace(b"Date:", b"Bcc: v@example.com\r\nDate:", 1),
        good.replace(b"a@example.com, ", b"v@example.com, ", 1),
        good.replace(b"From: cep@", b"From: other@", 1),
        good.replace(b"Message-ID: <00ff", b"Message-ID: <0000", 1),
        good.replace(b"Subject: ", b"Subject: =?utf-8?q?a=0aBcc=3a_v?= ", 1),
    ):
        assert bad != good
        assert not headers_are_as_given(bad, DESTINATION, thread, title)


# ---------------------------------------------------------------------------------- rendering


def test_same_detection_gives_the_same_bytes() -> None:
    one, two = (render_email(subject(detection_body("d"))) for _ in range(2))
    assert one == two


def test_huge_detection_gives_a_small_mail() -> None:
    events = [
        {"step": "probe", "position": n, "event": {"type": "Payment", "text": "é" * 2_000}}
        for n in range(2_000)
    ]
    body = detection_body("d", message="m" * 16_000, events=events, fields={"f": "y" * 100_000})
    raw = render_email(subject(body))
    assert len(raw) < 128_000
    text = message_from_bytes(raw, policy=policy.default).get_body(("plain",)).get_content()
    assert len(text.encode()) <= limits.TEXT_BYTES_MAX
    shown = text.count("probe (position")
    assert shown > 5
    assert f"… and {2_000 - shown} more" in text


def test_line_breaks_stay_in_the_text_and_leave_the_subject() -> None:
    raw = render_email(subject(detection_body("d", message="one\r\ntwo\nthree")))
    message = message_from_bytes(raw, policy=policy.default)
    assert message["Subject"] == "[high] card_testing: one two three"
    assert message.get_body(("plain",)).get_content().splitlines()[:3] == ["one", "two", "three"]
    assert "one<br>\r\ntwo<br>\r\nthree" in message.get_body(("html",)).get_content()


def test_unicode_survives_in_subject_and_parts() -> None:
    raw = render_email(
        subject(detection_body("d", message="Überweisung 東京 🚨"), rule="règle"),
    )
    message = message_from_bytes(raw, policy=policy.default)
    assert message["Subject"] == "[high] règle: Überweisung 東京 🚨"
    assert "Überweisung 東京 🚨" in message.get_body(("plain",)).get_content()


def test_terminal_codes_are_shown_and_not_sent() -> None:
    raw = render_email(subject(detection_body("d", message="a\x1b[31mred")))
    text = message_from_bytes(raw, policy=policy.default).get_body(("plain",)).get_content()
    assert text.startswith("a\\x1b[31mred")


WORDS = [
    "Zahlung",
    "über",
    "1.000,00",
    "€",
    "für",
    "Zürich",
    "naïve",
    "東京",
    "支払い",
    "🚨",
    "карта",
    "(c)",
    "<y>",
    "50%",
    "_",
    "'q'",
    "a",
    "b",
]
words = st.sampled_from(WORDS)


@settings(max_examples=200, deadline=None)
@given(st.lists(words, min_size=1, max_size=25).map(" ".join))
def test_ordinary_text_in_any_script_is_the_subject(text: str) -> None:
    raw = render_email(subject(detection_body("d", message=text)))
    check_message(raw)
    found = str(message_from_bytes(raw, policy=policy.default)["Subject"])
    assert found == header_text(f"[high] card_testing: {text}")
