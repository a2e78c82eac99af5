"""The webhook's bytes: valid CloudEvents around the exact detection, for every detection."""

from __future__ import annotations

import json
import time
from datetime import datetime

import orjson
import pytest
from alert_helpers import NOW_MS, OLD_SECRET, SECRET, detection_body, notice
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from alerts.credentials import SecretReference, redact, signing_key
from alerts.envelope import envelope
from alerts.message import Subject, rfc3339
from alerts.webhook import signed_headers


def subject(body: bytes, rule: str = "card_testing", at_ms: int = NOW_MS) -> Subject:
    return Subject("00ff" * 8, rule, "high", at_ms, body)


def render_webhook(one: Subject) -> bytes:
    return envelope(notice(one), link=None)


def keys() -> list[bytes]:
    names = ("HOOK_SECRET", "HOOK_OLD_SECRET")
    return [signing_key(SecretReference(env=name)) for name in names]


AWKWARD = [
    "CRLF\r\nX-Injected: yes\r\n\r\nbody",
    '"},"data":{"id":"forged"},"x":{"',
    "Überweisung 東京 🚨 \u2028\u2029\u0000\x7f\x85",
    "\\u0000 \\ud800 \\n",
    "",
    "</script><script>",
    "x" * 2_000_000,
]


@pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
def test_awkward_text_is_data_and_nothing_else(text: str) -> None:
    body = detection_body("d", message=text, key={text: text})
    rendered = render_webhook(subject(body, rule=text[:100]))
    envelope = json.loads(rendered)
    assert envelope["data"] == json.loads(body)
    assert rendered.endswith(b',"data":' + body + b"}")
    assert list(envelope).count("data") == 1
    assert envelope["subject"] == text[:100]
    assert envelope["source"].isascii()
    assert not set(envelope["source"]) & set(' "<>\\^`{|}\r\n')
    headers = signed_headers("id", rendered, keys(), round(time.time() * 1000))
    assert Webhook(SECRET).verify(rendered, headers) == envelope
    assert all(value.isprintable() and value.isascii() for value in headers.values())


def test_detection_with_thousands_of_events_arrives_whole() -> None:
    events = [
        {"step": "p", "position": n, "event": {"type": "Payment", "text": "é" * 100}}
        for n in range(20_000)
    ]
    body = detection_body("d", events=events)
    assert len(orjson.loads(render_webhook(subject(body)))["data"]["events"]) == 20_000


def test_numbers_keep_their_digits() -> None:
    body = b'{"id":"d","fields":{"a":1.10,"b":12345678901234567890123456789,"c":1E5}}'
    assert body in render_webhook(subject(body))


def test_changed_byte_is_noticed_and_each_key_alone_suffices() -> None:
    body = render_webhook(subject(detection_body("d")))
    headers = signed_headers("id", body, keys(), round(time.time() * 1000))
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(body, headers)
        for changed_body, changed_headers in (
            (body + b" ", headers),
            (body, headers | {"webhook-id": "other"}),
            (body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
        ):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(changed_body, changed_headers)


@given(st.integers(-(2**62), 2**62))
def test_time_is_rfc_3339_or_left_out(at_ms: int) -> None:
    envelope = json.loads(render_webhook(subject(b"{}", at_ms=at_ms)))
    if "time" in envelope:
        parsed = datetime.fromisoformat(envelope["time"])
        epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        assert round((parsed - epoch).total_seconds() * 1000) == at_ms
    else:
        assert not -62_135_596_800_000 <= at_ms <= 253_402_300_799_999


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, None),
        (-62_135_596_800_001, None),
    ],
)
def test_rfc_3339_forms(ms: int, expected: str | None) -> None:
    assert rfc3339(ms) == expected


def test_redaction_takes_out_the_secret_with_and_without_its_prefix() -> None:
    bare = SECRET.removeprefix("whsec_")
    assert redact(f"a {SECRET} b {bare} c", [SECRET]) == "a *** b *** c"
    assert redact("nothing", ["", "whsec_"]) == "nothing"
