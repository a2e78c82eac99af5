"""A real store in a temporary file, and detections put into its outbox as the engine would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alert_helpers import NOW_MS, OLD_SECRET, SECRET, detection_body
from alert_receivers import CERTIFICATE, HttpReceiver, MailReceiver
from sqlalchemy import Engine, insert

from alerts.ports import ManualClock
from cep.store.connect import open_database
from cep.store.schema import prepare
from cep.store.tables import detection, outbox


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_OLD_SECRET", OLD_SECRET)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(str(tmp_path / "store.db"))
    prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def canary() -> Iterator[HttpReceiver]:
    """Must not be reached: it listens on every address of this machine."""
    with HttpReceiver(host="::") as canary:
        yield canary


@pytest.fixture
def tls_ca() -> str:
    return str(CERTIFICATE)


@pytest.fixture
def mailbox() -> Iterator[MailReceiver]:
    with MailReceiver() as mailbox:
        yield mailbox


@pytest.fixture
def detect(engine: Engine) -> Callable[..., str]:
    """Commits a detection and its outbox rows; gives its id.

    Each is of a key of its own, and so opens an alert of its own, unless `key` says otherwise.
    """
    made = 0

    def put(
        *destinations: str,
        body: bytes | None = None,
        message: str = "found",
        key: str | None = None,
        rule: str = "card_testing",
        severity: str = "high",
        at_ms: int = NOW_MS,
    ) -> str:
        nonlocal made
        made += 1
        id_ = f"{made:032x}"
        if body is None:
            of = {"card_id": key or f"c{made}"}
            body = detection_body(id_, message=message, key=of, rule=rule, severity=severity)
        with engine.begin() as connection:
            connection.execute(
                insert(detection).values(
                    id=id_,
                    partition="events",
                    rule=rule,
                    version="0123456789abcdef",
                    severity=severity,
                    at_ms=at_ms,
                    body=body,
                )
            )
            for destination in destinations:
                connection.execute(insert(outbox).values(detection_id=id_, destination=destination))
        return id_

    return put
