"""The server every test of the API talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from api_checks import NOW_MS, PLAIN, RULES, Api, Server

from alerts.ports import ManualClock
from api.state import ApiState
from cep.log.sqlite import SqliteLog
from cep.store.store import open_store


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    path = str(tmp_path / "app.db")
    store, log = open_store(path), SqliteLog(path, "events")
    state = ApiState(store.engine, RULES, log, clock=ManualClock(NOW_MS))
    with Server(state) as url, httpx2.Client(base_url=url, verify=PLAIN) as client:
        yield Api(client, url, state, store, log)
    log.close()
    store.close()
