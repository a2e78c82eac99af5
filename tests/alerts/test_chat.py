"""Chat services through the package apprise, with a real HTTP server as the service."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alert_helpers import (
    EPISODE,
    all_attempts,
    destinations,
    dispatcher,
    every_kind,
    notice,
    one_delivery,
    send,
    subject,
)
from alert_receivers import HttpReceiver, Reply, free_port
from sqlalchemy import Engine

from alerts import limits
from alerts.chat import plain, render
from alerts.config import Destinations, load_destinations
from alerts.destinations import AppriseDestination
from alerts.errors import ConfigError
from alerts.message import Kind, Notice
from alerts.ports import ManualClock
from alerts.reasons import Reason

TOKEN = "token-of-the-chat-room"
CHAT = {"type": "apprise", "url": {"env": "CHAT_URL"}}


@pytest.fixture(autouse=True)
def url(monkeypatch: pytest.MonkeyPatch, receiver: HttpReceiver) -> None:
    monkeypatch.setenv("CHAT_URL", f"json://127.0.0.1:{receiver.port}/{TOKEN}")


def chat(**settings: object) -> Destinations:
    return destinations(chat=CHAT | settings)


def message(said: Notice, **settings: object) -> Any:
    return json.loads(render(said, AppriseDestination.model_validate(CHAT | settings)))


def test_detection_arrives_as_title_and_text(
    engine: Engine, receiver: HttpReceiver, detect: Callable[..., str]
) -> None:
    detect("chat", message="3 declines at <b>m1</b>")
    asyncio.run(dispatcher(engine, chat()).run_once())
    (request,) = receiver.requests
    assert request.path == f"/{TOKEN}"
    body = json.loads(request.body)
    assert body["title"] == "[high] card_testing: 3 declines at <b>m1</b>"
    assert body["message"].startswith("3 declines at <b>m1</b>")
    assert "card_id: c1" in body["message"]
    assert body["type"] == "failure"
    row = one_delivery(engine)
    assert (row.state, row.channel) == ("delivered", "apprise")
    assert TOKEN.encode() not in row.body


def test_every_kind_arrives(receiver: HttpReceiver) -> None:
    for said in every_kind():
        assert send(said, chat(link="https://console.example.com"), "chat")[0] is Reason.DELIVERED
    bodies = [json.loads(one.body) for one in receiver.requests]
    for said, body in zip(every_kind(), bodies, strict=True):
        assert said.note in body["message"]
        if said.episode is not None:
            assert f"https://console.example.com/alerts/{EPISODE.id}" in body["message"]
    titles = {said.kind: body["title"] for said, body in zip(every_kind(), bodies, strict=True)}
    assert titles[Kind.REMINDER] == f"Still open: [high] card_testing: {EPISODE.title}"
    assert titles[Kind.GATHERED] == "3 detections of card_testing"
    types = {said.kind: body["type"] for said, body in zip(every_kind(), bodies, strict=True)}
    assert types[Kind.RESOLVED] == "success"
    assert types[Kind.TEST] == "info"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@everyone look", "@\u200beveryone look"),
        ("<!channel> <@U1> <#C1>", "<\u200b!channel> <\u200b@\u200bU1> <\u200b#C1>"),
        ("mail a.b@example.com", "mail a.b@example.com"),
        ("a @ b <b> 1<2", "a @ b <b> 1<2"),
    ],
)
def test_text_calls_nobody(text: str, expected: str) -> None:
    assert plain(text) == expected
    assert expected in message(notice(subject(message=text)))["body"]


def test_long_message_is_cut_and_keeps_its_link() -> None:
    said = notice(subject(message="m" * 9_000, fields={"f": "v" * 9_000}), episode=EPISODE)
    body = message(said, link="https://console.example.com")["body"]
    assert len(body) <= limits.CHAT_CHARACTERS_MAX
    assert body.endswith(f"\n\nhttps://console.example.com/alerts/{EPISODE.id}")


def test_service_that_refuses_is_tried_again(
    engine: Engine, receiver: HttpReceiver, detect: Callable[..., str], clock: ManualClock
) -> None:
    receiver.replies = [Reply(500, body=f"no {TOKEN}".encode()), Reply(200)]
    detect("chat")
    sender = dispatcher(engine, chat(), clock)
    asyncio.run(sender.run_once())
    assert (one_delivery(engine).state, one_delivery(engine).reason) == ("pending", "not_taken")
    error = all_attempts(engine)[0].error
    assert "error=500" in error
    assert TOKEN not in error
    clock.advance(5_000)
    asyncio.run(sender.run_once())
    assert one_delivery(engine).state == "delivered"


def test_service_that_is_down_and_redirects_are_tried_again(
    receiver: HttpReceiver, canary: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.replies = [Reply(302, {"location": f"http://127.0.0.1:{canary.port}/x"})]
    assert send(notice(subject()), chat(), "chat")[0] is Reason.NOT_TAKEN
    assert canary.requests == []
    monkeypatch.setenv("CHAT_URL", f"json://127.0.0.1:{free_port()}/{TOKEN}")
    assert send(notice(subject()), chat(), "chat")[0] is Reason.NOT_TAKEN


def test_slow_service_is_given_up(receiver: HttpReceiver) -> None:
    receiver.before_reply = lambda: time.sleep(1)
    reason, attempt, _ = send(notice(subject()), chat(timeout_ms=200), "chat")
    assert reason is Reason.TIMEOUT
    assert attempt.error == "not done in 200 ms"


# ---------------------------------------------------------------------------------- the URL

REFUSED = {
    "syslog://": "files or programs",
    f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template={__file__}": "files or",
    f"discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3d/?template=file://{__file__}": "files or",
    f"tgram://123456789:abcdefg_hijklmnop/12315544/?template={__file__}": "files or programs",
    "file:///etc/passwd": "not a URL that apprise can use",
    "macosx://": "not a URL that apprise can use",  # this is another system
    "nothing": "not a URL that apprise can use",
    "slack://": "not a URL that apprise can use",
}


def load(tmp_path: Path) -> Destinations:
    path = tmp_path / "destinations.toml"
    path.write_text('[destinations.chat]\ntype = "apprise"\nurl = { env = "CHAT_URL" }\n')
    return load_destinations(path)


@pytest.mark.parametrize("url", REFUSED, ids=range(len(REFUSED)))
def test_url_that_may_not_be_used_is_found_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CHAT_URL", url)
    with pytest.raises(ConfigError, match=REFUSED[url]) as caught:
        load(tmp_path)
    assert url not in str(caught.value)
    assert "env CHAT_URL" in str(caught.value)
    # It may also become such a URL later.
    reason, _, _ = send(notice(subject()), chat(), "chat")
    assert reason is Reason.SECRET_UNAVAILABLE


def test_good_url_is_accepted(tmp_path: Path) -> None:
    assert load(tmp_path).destinations["chat"].type == "apprise"


def test_missing_package_is_a_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"pip install 'cep\[apprise\]'"):
        load(tmp_path)
