"""The server every test of the API talks to."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from alert_desk import Desk
from api_checks import NOW_MS, PLAIN, RULES, Api, Server

from alerts.ports import ManualClock
from api.state import ApiState
from cep.log.sqlite import SqliteLog
from cep.store.store import open_store


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    path = str(tmp_path / "app.db")
    store, log = open_store(path), SqliteLog(path, "events")
    state = ApiState(
        store.engine,
        RULES,
        log,
        clock=ManualClock(NOW_MS),
        requests_per_second=1e6,  # nobody is let in again while the clock stands
    )
    with Server(state) as url, httpx2.Client(base_url=url, verify=PLAIN) as client:
        yield Api(client, url, state, store, log)
    log.close()
    store.close()


@pytest.fixture
def desk(api: Api, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"x" * 32).decode())
    return Desk(api)
