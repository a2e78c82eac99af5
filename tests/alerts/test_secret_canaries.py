"""Planted secrets appear in no log, no error and no database, whatever fails."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from alert_helpers import all_attempts, destinations, dispatcher, mail, webhook
from alert_receivers import HttpReceiver, MailReceiver, Reply, free_port
from sqlalchemy import Engine

from alerts.config import Destinations, load_destinations
from alerts.errors import ConfigError
from alerts.listings import counts_by_state
from alerts.ports import ManualClock

Detect = Callable[..., str]

KEY = base64.b64encode(b"canary-signing-key-canary-signing").decode()
PASSWORD = "canary-password-7f3a"
TOKEN = "canary-url-token-91c2"
ROUTING_KEY = "canaryroutingkey0123456789abcdef"
ROOM, ROOM_PASSWORD = "canary-chat-room-5e5d", "canary chat/password"
CANARIES = [
    *(KEY, PASSWORD, TOKEN, b"canary-signing-key".decode(), ROUTING_KEY, ROOM, ROOM_PASSWORD),
    "canary%20chat%2Fpassword",
]


@pytest.fixture
def output(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[[], str]:
    """Everything printed or logged since the start of the test."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, logger="mail.log")  # the mail server of these tests

    def read() -> str:
        captured = capfd.readouterr()
        return captured.out + captured.err + caplog.text

    return read


def assert_clean(text: str) -> None:
    for canary in CANARIES:
        assert canary not in text


def test_no_failure_writes_a_secret(
    engine: Engine,
    receiver: HttpReceiver,
    detect: Detect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: Callable[[], str],
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"whsec_{KEY}\n")
    monkeypatch.setenv("CANARY_PASSWORD", PASSWORD)
    closed = free_port()
    for name, port in (("TALKS", receiver.port), ("CLOSED", closed), ("BLOCKED", 99)):
        monkeypatch.setenv(f"URL_{name}", f"http://127.0.0.1:{port}/{TOKEN}")
    # A receiver that says everything it knows.
    echo = f"bad key whsec_{KEY} for /{TOKEN} http://127.0.0.1:{receiver.port}/{TOKEN}"
    receiver.replies = [Reply(500, body=echo.encode())]
    hooks = {
        name: webhook(0, url={"env": f"URL_{name.upper()}"}, secrets=[{"file": str(key_file)}])
        for name in ("talks", "closed", "blocked")
    }
    with MailReceiver(tls="starttls", user=("cep", "another")) as mailbox:
        mailbox.auth_reply = f"535 {PASSWORD} is wrong"
        mails = {
            "refused": mail(
                mailbox,
                host="localhost",
                tls="starttls",
                user="cep",
                password={"env": "CANARY_PASSWORD"},
                ca_file=str(Path(__file__).parent / "localhost.pem"),
            ),
        }
        where = destinations([receiver.port, closed], **hooks, **mails)
        where.check_secrets()
        detect(*hooks, *mails)
        clock = ManualClock(1_733_813_746_000)
        sender = dispatcher(engine, where, clock)
        asyncio.run(sender.run_once())
        key_file.unlink()  # and now the key cannot be read
        clock.advance(10**6)
        asyncio.run(sender.run_once())
    reasons = {attempt.reason for attempt in all_attempts(engine)}
    assert reasons == {
        "server_error", "network", "blocked", "authentication", "secret_unavailable"
    }  # fmt: skip
    assert counts_by_state(engine)
    assert_clean(output())
    assert_clean(repr(where))
    engine.dispose()
    for path in tmp_path.glob("store.db*"):
        assert_clean(path.read_bytes().decode("latin-1"))


@pytest.fixture
def room() -> Iterator[HttpReceiver]:
    with HttpReceiver() as room:
        yield room


def test_pagers_and_chat_write_no_secret(
    engine: Engine,
    receiver: HttpReceiver,
    room: HttpReceiver,
    detect: Detect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: Callable[[], str],
) -> None:
    closed = free_port()
    monkeypatch.setenv("PAGER_KEY", ROUTING_KEY)
    for name, port in (("TALKS", room.port), ("CLOSED", closed)):
        url = f"json://cep:canary%20chat%2Fpassword@127.0.0.1:{port}/{ROOM}"
        monkeypatch.setenv(f"CHAT_{name}", url)
    receiver.replies = [Reply(500, body=f"bad key {ROUTING_KEY}".encode())]
    room.replies = [Reply(500, body=f"no room {ROOM} for {ROOM_PASSWORD}".encode())]
    named: dict[str, dict[str, object]] = {}
    for name, port in (("talks", receiver.port), ("closed", closed)):
        url = f"http://127.0.0.1:{port}/v2/enqueue"
        key = {"env": "PAGER_KEY"}
        named[f"pager_{name}"] = {"type": "pagerduty", "routing_key": key, "url": url}
        named[f"chat_{name}"] = {"type": "apprise", "url": {"env": f"CHAT_{name.upper()}"}}
    where = destinations(**named)
    where.check_secrets()
    detect(*named)
    clock = ManualClock(1_733_813_746_000)
    sender = dispatcher(engine, where, clock)
    asyncio.run(sender.run_once())
    for name in ("PAGER_KEY", "CHAT_TALKS", "CHAT_CLOSED"):
        monkeypatch.setenv(name, f"/{ROUTING_KEY}/")  # of no form that can be used
    clock.advance(10**6)
    asyncio.run(sender.run_once())
    reasons = {attempt.reason for attempt in all_attempts(engine)}
    assert reasons == {"server_error", "network", "not_taken", "secret_unavailable"}
    assert ROOM in " ".join(request.path for request in room.requests)
    with pytest.raises(ConfigError) as caught:
        where.check_secrets()
    assert_clean(str(caught.value))
    assert_clean(output())
    assert_clean(repr(where))
    engine.dispose()
    for path in tmp_path.glob("store.db*"):
        assert_clean(path.read_bytes().decode("latin-1"))


def test_structured_log_has_no_url(
    engine: Engine, receiver: HttpReceiver, detect: Detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URL_TALKS", f"http://127.0.0.1:{receiver.port}/{TOKEN}")
    detect("soc")
    with structlog.testing.capture_logs() as lines:
        where = destinations([receiver.port], soc=webhook(0, url={"env": "URL_TALKS"}))
        asyncio.run(dispatcher(engine, where).run_once())
    assert receiver.requests[0].path == f"/{TOKEN}"
    assert any(line["event"] == "attempt" for line in lines)
    assert_clean(str(lines))


@pytest.mark.parametrize(
    "text",
    [
        f'[destinations.soc]\ntype = "webhook"\nurl = "https://x.example/h"\nsecrets = ["{KEY}"]',
        f'[destinations.soc]\ntype = "webhook"\nurl = "https://u:{PASSWORD}@x.example"\n',
        f'[destinations.m]\ntype = "smtp"\nhost = "m"\nfrom = "a@b"\nto = ["a@b"]\n'
        f'user = "u"\npassword = "{PASSWORD}"',
        f'[destinations.m]\ntype = "smtp"\npassword = "{PASSWORD}',
        f'[destinations.p]\ntype = "pagerduty"\nrouting_key = "{ROUTING_KEY}"',
        f'[destinations.c]\ntype = "apprise"\nurl = "json://x.example/{ROOM}"',
    ],
)
def test_secret_written_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "destinations.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_destinations(path)
    error: BaseException | None = caught.value
    while error is not None:
        assert_clean(f"{error} {error!r}")
        error = error.__cause__


def test_malformed_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", f"whsec_{PASSWORD}!")
    where: Destinations = destinations(soc=webhook(80))
    with pytest.raises(ConfigError, match="env HOOK_SECRET") as caught:
        where.check_secrets()
    assert_clean(str(caught.value))
