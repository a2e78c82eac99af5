"""The OpenAPI document is what the server does: schemathesis tries all of it, over a socket."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alert_desk import Desk
from api_checks import NOW_MS, PLAIN, RULES, Api, Server
from fastapi.routing import APIRoute

from alerts import silences
from alerts.matching import Matcher
from alerts.ports import ManualClock
from api.access import accounts
from api.access.roles import Role
from api.app import ROUTERS
from api.state import ApiState
from cep.deployment.deployer import Deployer
from cep.log.sqlite import SqliteLog
from cep.store.deployments import SqlDeployments
from cep.store.store import open_store

SECONDS_MAX = 240
EXAMPLES = 10
TEXT = """
list watched: [string] = ["c1", "c2"]
event Pay { ts: timestamp @time  id: string? @id  card_id: string  amount: int }
rule card_testing "Large" { by card_id match p: Pay[amount > 100] alert "{card_id}" }
rule quiet "Small" { by card_id match p: Pay[amount < 5 and card_id in watched] alert "{card_id}" }
"""

CONFIGURATION = """
# Without If-Match a change is refused with a status of its own (RFC 6585).
[checks.missing_required_header]
expected-statuses = ["400", "401", "403", "406", "415", "422", "428"]

# What is too long for its field may be too long for a body, too.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428"]

# What a schema cannot say: the grammar of rules, times that have passed, whose name `by` may be,
# one header or another.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "403", "404", "409", "412", "413", "415", "422", "428", "503"]

[[operations]]
include-path-regex = "/(rules|rules:.*)/"
parameters = {{ name = "card_testing" }}

[[operations]]
include-path-regex = "/alerts/"
parameters = {{ id_ = "{alert}" }}

[[operations]]
include-path-regex = "/detections/"
parameters = {{ id_ = "{detection}" }}

[[operations]]
include-path-regex = "/deliveries/"
parameters = {{ id_ = "{delivery}" }}

[[operations]]
include-path-regex = "/silences/"
parameters = {{ id_ = "{silence}" }}

[[operations]]
include-path-regex = "/destinations/"
parameters = {{ name = "soc" }}

[[operations]]
include-path-regex = "/drafts/"
parameters = {{ name = "medium" }}

[[operations]]
include-path-regex = "/tables/"
parameters = {{ name = "watched" }}

[[operations]]
include-path-regex = "/people/"
parameters = {{ name = "ada" }}

[[operations]]
include-path-regex = "/keys/"
parameters = {{ id_ = "{key}" }}
"""


@dataclass
class Served:
    api: Api
    key: str

    def get(self, path: str) -> Any:
        headers = {"authorization": f"Bearer {self.key}"}
        return self.api.client.get(f"/api/v1/{path}", headers=headers).json()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that asks for keys and has something of everything."""
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"x" * 32).decode())
    path = str(tmp_path / "app.db")
    store, log = open_store(path), SqliteLog(path, "events")
    deployer = Deployer(SqlDeployments(store.engine, "events"), log.topic)
    deployer.start({"rules.cep": TEXT})
    state = ApiState(
        store.engine,
        RULES,
        log,
        clock=ManualClock(NOW_MS),
        deployer=deployer,
        authentication=True,
        requests_per_second=1e6,
    )
    key = str(accounts.make_key(store.engine, "test", [Role.ADMIN], "test", NOW_MS))
    accounts.add_person(store.engine, "ada", "correct horse", [Role.ANALYST], "test", NOW_MS)
    silences.make_silence(
        store.engine,
        Matcher(rule=("quiet",)),
        starts_ms=NOW_MS,
        ends_ms=NOW_MS + 1000,
        actor="ada",
        comment="x",
        now_ms=NOW_MS,
    )
    with Server(state) as url, httpx2.Client(base_url=url, verify=PLAIN) as client:
        desk = Desk(Api(client, url, state, store, log))
        desk.detect("c1", "soc")
        desk.work()
        yield Served(desk.api, key)
    log.close()
    store.close()


def configuration(served: Served) -> str:
    newest = {
        one: served.get(f"{path}?limit=1")["items"][0]["id"]
        for one, path in (
            ("alert", "alerts"),
            ("detection", "detections"),
            ("delivery", "deliveries"),
            ("silence", "silences"),
        )
    }
    other = accounts.make_key(served.api.engine, "old", [Role.VIEWER], "test", NOW_MS)
    return CONFIGURATION.format(key=other.id, **newest)


def test_the_server_does_what_its_document_says(served: Served, tmp_path: Path) -> None:
    """All checks there are.

    Streams do not end, logging out would log out the test, and each explanation is a process.
    """
    file = tmp_path / "schemathesis.toml"
    file.write_text(configuration(served))
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(file), "run"),
        f"{served.api.url}/api/v1/openapi.json",
        *("--header", f"Authorization: Bearer {served.key}"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none"),
        *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"),
        *("--exclude-path-regex", "/events$|/log(in|out)$|:explain$"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=tmp_path)
    short = "\n".join(line[:400] for line in ran.stdout.splitlines())
    assert ran.returncode == 0, short[-40_000:] + ran.stderr


def test_every_route_is_described(served: Served) -> None:
    paths = served.get("openapi.json")["paths"]
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                described = paths[route.path_format][method.lower()]
                assert described["tags"], route.path
                ok = [answer for status, answer in described["responses"].items() if status < "3"]
                assert ok, route.path
                assert {"4XX", "5XX"} <= described["responses"].keys()
                for answer in ok:
                    content = answer.get("content", {})
                    assert all(one.get("schema") for one in content.values()), route.path


def test_no_answer_says_of_itself_that_it_can_be_anything(served: Served) -> None:
    for name, schema in served.get("openapi.json")["components"]["schemas"].items():
        assert schema.get("properties") or schema.get("enum"), name
