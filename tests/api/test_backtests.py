"""Back-tests asked for by requests: what is answered, watched, cancelled, and left by a restart."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import orjson
import pytest
from api_checks import Api, problem

from api import limits, schemas
from cep import limits as engine_limits
from cep.backtest.jobs import BackTests
from cep.backtest.request import Request
from cep.deployment.deployer import Deployer
from cep.store import backtests as rows
from cep.store.backtests import State
from cep.store.deployments import SqlDeployments

TEXT = """
event Pay { ts: timestamp @time  card: string  amount: int }
rule large "Large" { by card match p: Pay[amount > 100] alert "{card} {p.amount}" }
rule small "Small" { by card match p: Pay[amount < 5] alert "{card}" }
"""
LARGER = 'rule large "Large" { by card match p: Pay[amount > 150] alert "{card} {p.amount}" }'
BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
ENDED = "the server ended while it ran: ask again"
SECONDS = 120  # a process starts and may have to compile first


@contextmanager
def served(api: Api, at_once: int = 1) -> Iterator[BackTests]:
    """Back-tests are run in a thread, as the server does."""
    deployer = api.state.deployer
    assert deployer is not None
    path = api.store.engine.url.database
    backtests = BackTests(api.store.engine, deployer.deployments, str(path), at_once=at_once)
    thread = threading.Thread(target=backtests.run)
    api.state.backtests = backtests
    thread.start()
    try:
        yield backtests
    finally:
        backtests.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def trying(api: Api) -> Iterator[Api]:
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": TEXT})
    with served(api):
        yield api


def pay(api: Api, *amounts: int, start_ms: int = BASE_MS) -> None:
    lines = [
        orjson.dumps({"type": "Pay", "ts": start_ms + i * 1_000, "card": f"c{i}", "amount": amount})
        for i, amount in enumerate(amounts)
    ]
    api.log.append("events", b"\n".join(lines) + b"\n")


def pay_many(api: Api, chunks: int = 60) -> None:
    """Enough to be under way for a while."""
    line = b'{"type":"Pay","ts":%d,"card":"c","amount":1}\n'
    for chunk in range(chunks):
        base = BASE_MS + chunk * 20_000
        api.log.append("events", b"".join(line % (base + i) for i in range(20_000)))


def ask(api: Api, status: int = 202, **body: Any) -> Any:
    answer = api.client.post("/api/v1/backtests", json=body)
    assert answer.status_code == status, answer.text
    if status == 202:
        assert answer.headers["location"] == f"/api/v1/backtests/{answer.json()['id']}"
    return answer.json()


def get(api: Api, id_: str) -> Any:
    answer = api.client.get(f"/api/v1/backtests/{id_}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise TimeoutError


def over(api: Api, id_: str) -> Any:
    return wait_until(
        lambda: (found := get(api, id_))["state"] not in ("waiting", "running") and found
    )


def done(api: Api, **body: Any) -> Any:
    found = over(api, ask(api, **body)["id"])
    assert found["state"] == "done", found["error"]
    return found


def test_changed_text_is_compared_with_what_is_deployed(trying: Api) -> None:
    pay(trying, 120, 200, 3, 160)
    asked = ask(trying, text=LARGER, rule="large")
    assert asked["state"] in ("waiting", "running")
    assert (asked["deployment"], asked["baseline"], asked["by"]) == (1, 1, "anonymous")
    found = over(trying, asked["id"])
    assert (found["state"], found["text"], found["rule"]) == ("done", LARGER, "large")
    assert (found["records_read"], found["records_all"], found["error"]) == (4, 4, None)
    result = found["result"]
    assert [rule["rule"] for rule in result["rules"]] == ["large"]
    counts = {name: result["totals"][name] for name in ("found", "same", "added", "lost")}
    assert counts == {"found": 2, "same": 2, "added": 0, "lost": 1}
    (lost,) = result["listed"]["lost"]
    assert (lost["message"], lost["key"], lost["at"]) == (
        *("c0 120", {"card": "c0"}),
        "2026-01-01T00:00:00.000Z",
    )
    assert lost["events"] == [{"step": "p", "position": 0}]


def test_what_is_deployed_may_be_asked_about_alone_or_against_an_earlier_one(trying: Api) -> None:
    pay(trying, 120, 200, 3)
    alone = done(trying)
    assert alone["baseline"] is None
    assert alone["result"]["totals"] == {"found": 3, "suppressed": 0, "alerts": 3}
    deployer = trying.state.deployer
    assert deployer is not None
    deployer.deploy({"api/large.cep": LARGER})
    earlier = done(trying, baseline={"deployment": 1})
    assert (earlier["deployment"], earlier["baseline"]) == (2, 1)
    assert earlier["result"]["totals"]["lost"] == 1
    forwards = done(trying, deployment=1)
    assert (forwards["deployment"], forwards["baseline"]) == (1, 2)
    assert forwards["result"]["totals"]["added"] == 1
    assert done(trying, text=LARGER, baseline=None)["result"]["totals"]["found"] == 2


def test_times_say_which_events_count(trying: Api) -> None:
    pay(trying, 200, 200, 200, 200)
    found = done(
        trying, rule="large", since="2026-01-01T00:00:01Z", until="2026-01-01T01:00:03+01:00"
    )
    assert (found["since"], found["until"]) == (
        "2026-01-01T00:00:01.000Z",
        "2026-01-01T00:00:03.000Z",
    )
    assert [one["key"]["card"] for one in found["result"]["listed"]["found"]] == ["c1", "c2"]


def test_the_listing_is_paged(trying: Api) -> None:
    ids = [ask(trying)["id"] for _ in range(3)]
    seen, cursor = [], ""
    for _ in range(4):
        answer = trying.client.get(f"/api/v1/backtests?limit=2{cursor}").json()
        seen += [item["id"] for item in answer["items"]]
        assert all("result" not in item for item in answer["items"])
        cursor = f"&cursor={answer['next']}"
    assert seen == ids
    newest = trying.client.get("/api/v1/backtests?order=newest&limit=1").json()
    assert [item["id"] for item in newest["items"]] == ids[-1:]


def events_of(api: Api, id_: str) -> Iterator[tuple[str, Any]]:
    """(kind, data) until the stream ends; comments have the kind ":"."""
    url = f"/api/v1/backtests/{id_}/events"
    with api.client.stream("GET", url, timeout=SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in answer.iter_lines():
            if line.startswith(":"):
                yield ":", line
            elif line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


def test_progress_is_streamed_to_the_end(trying: Api) -> None:
    pay_many(trying)
    id_ = ask(trying)["id"]
    heard = list(events_of(trying, id_))
    assert [kind for kind, _ in heard[-2:]] == ["progress", "done"]
    states = [data["state"] for _, data in heard]
    assert set(states[:-1]) <= {"waiting", "running"}
    assert states[-1] == "done"
    read = [data["records_read"] for _, data in heard]
    assert read == sorted(read)
    assert len({n for n in read if 0 < n < 1_200_000}) > 1, "progress was seen on the way"
    assert heard[-1][1]["records_all"] == read[-1] == 1_200_000
    assert [kind for kind, _ in events_of(trying, id_)] == ["done"], "it is over"


def test_a_stream_shows_signs_of_life(trying: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_HEARTBEAT_SECONDS", 0.5)
    pay_many(trying, 1)
    monkeypatch.setattr(engine_limits, "BACKTESTS_AT_ONCE", 1)
    first, second = ask(trying)["id"], ask(trying)["id"]
    kinds = [kind for kind, _ in events_of(trying, second)]
    assert ":" in kinds
    assert kinds[-1] == "done"
    assert get(trying, first)["state"] == "done", "one at a time, in their order"


def test_one_is_cancelled_while_it_runs_and_one_while_it_waits(trying: Api) -> None:
    pay_many(trying)
    runs, waits = ask(trying)["id"], ask(trying)["id"]
    wait_until(lambda: get(trying, runs)["state"] == "running")
    assert get(trying, waits)["state"] == "waiting"
    for id_ in (waits, runs):
        answer = trying.client.post(f"/api/v1/backtests/{id_}:cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        problem(trying.client.post(f"/api/v1/backtests/{id_}:cancel"), 409, "not-possible")
    backtests = trying.state.backtests
    assert backtests is not None
    wait_until(lambda: not backtests.processes)
    assert done(trying)["result"]["records"] == 1_200_000, "the next one has its turn"
    assert get(trying, runs)["state"] == "cancelled"
    assert get(trying, runs)["result"] is None
    assert get(trying, waits)["started"] is None


def test_a_process_that_is_killed_has_failed(trying: Api) -> None:
    pay_many(trying)
    id_ = ask(trying)["id"]
    backtests = trying.state.backtests
    assert backtests is not None
    (pid,) = wait_until(lambda: backtests.processes)
    os.kill(pid, signal.SIGKILL)
    found = over(trying, id_)
    assert (found["state"], found["error"]) == ("failed", "its process was killed by SIGKILL")
    assert done(trying)


def test_one_that_takes_too_long_is_ended(trying: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    pay_many(trying)
    monkeypatch.setattr(engine_limits, "BACKTEST_SECONDS_MAX", 0)
    found = over(trying, ask(trying)["id"])
    assert (found["state"], found["error"]) == ("failed", "it took more than 0 s")


def test_what_the_log_cannot_give_is_the_reason(trying: Api) -> None:
    deployer = trying.state.deployer
    assert deployer is not None
    deployer.deploy(
        {
            "t.cep": TEXT
            + """
table cards { card: string @pk  owner: string } from file "missing.csv"
rule owned "Owned" { by card match p: Pay[exists cards[card]] alert "{card}" }
"""
        }
    )
    found = over(trying, ask(trying)["id"])
    assert found["state"] == "failed"
    assert "missing.csv" in found["error"]


def test_after_a_restart_what_ran_has_failed_and_what_waited_runs(api: Api) -> None:
    deployments = SqlDeployments(api.store.engine, "events")
    api.state.deployer = Deployer(deployments, api.log.topic)
    api.state.deployer.start({"rules.cep": TEXT})
    pay(api, 200)
    for number, topic in ((1, "events"), (2, "events"), (3, "others"), (4, "others")):
        asked = Request(topic=topic, deployment=1).to_json()
        rows.add(api.store.engine, f"{number:032x}", asked, "ada", 5)
    for number in (1, 3):  # the servers were killed
        assert rows.start(api.store.engine, f"{number:032x}", 6)
    with served(api):
        ran = over(api, f"{1:032x}")
        assert (ran["state"], ran["error"]) == (
            "failed",
            ENDED,
        )
        assert over(api, f"{2:032x}")["result"]["totals"]["found"] == 1
    for number, state in ((3, State.RUNNING), (4, State.WAITING)):
        row = rows.get(api.store.engine, f"{number:032x}")
        assert row is not None
        assert row.state is state, "those of another topic are another server's"


def test_a_server_that_stops_ends_what_runs(trying: Api) -> None:
    pay_many(trying)
    id_ = ask(trying)["id"]
    backtests = trying.state.backtests
    assert backtests is not None
    (pid,) = wait_until(lambda: backtests.processes)
    backtests.stop()
    found = over(trying, id_)
    assert (found["state"], found["error"]) == (
        *("failed",),
        ENDED,
    )
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_only_so_many_wait(trying: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    backtests = trying.state.backtests
    assert backtests is not None
    backtests.stop()
    monkeypatch.setattr(engine_limits, "BACKTESTS_WAITING_MAX", 2)
    for _ in range(2):
        ask(trying)
    refused = problem(trying.client.post("/api/v1/backtests", json={}), 503, "busy")
    assert "2 back-tests are waiting" in refused["detail"]


def test_only_the_newest_are_kept(trying: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_limits, "BACKTESTS_KEPT_MAX", 2)
    ids = [done(trying)["id"] for _ in range(3)]
    wait_until(lambda: trying.client.get(f"/api/v1/backtests/{ids[0]}").status_code == 404)
    assert [get(trying, id_)["state"] for id_ in ids[1:]] == ["done", "done"]


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ({"text": "rule large {"}, "rules-refused", "errors"),
        ({"text": LARGER.replace("amount", "amuont")}, "rules-refused", "amuont"),
        (
            {
                "text": 'table t { a: string @pk } from file "passwd.csv"\n'
                'rule x "X" { by card match p: Pay[exists t[card]] alert "x" }'
            },
            *("rules-refused", "only in files"),
        ),
        ({"rule": "lrge"}, "rules-refused", "large"),
        ({"deployment": 7}, "rules-refused", "no deployment 7"),
        ({"baseline": {"deployment": 7}}, "rules-refused", "no deployment 7"),
        ({"baseline": "newest"}, "invalid-parameters", "baseline"),
        ({"since": 5}, "invalid-parameters", "since"),
        (
            {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
            *("invalid-parameters", "not later"),
        ),
        ({"file": "/etc/passwd"}, "invalid-parameters", "body"),
        ({"text": "\ud800"}, "invalid-parameters", "text"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    trying: Api, body: dict[str, Any], kind: str, said: str
) -> None:
    answer = trying.client.post(
        "/api/v1/backtests", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert said in json.dumps(problem(answer, 422, kind))
    assert trying.client.get("/api/v1/backtests").json()["items"] == []


def test_diagnostics_are_those_of_a_deployment(trying: Api) -> None:
    wrong = LARGER.replace("large", "huge").replace("amount", "amuont")
    asked = trying.client.post("/api/v1/backtests", json={"text": wrong, "rule": "huge"})
    put = trying.client.put("/api/v1/rules/huge", json={"text": wrong}, headers={"if-match": "*"})
    errors = problem(asked, 422, "rules-refused")["errors"]
    assert errors == problem(put, 422, "rules-refused")["errors"]
    assert {error["path"] for error in errors} == {"api/huge.cep"}


def test_too_large_a_text_is_refused(trying: Api) -> None:
    text = " " * limits.ACTION_BODY_BYTES_MAX
    answer = trying.client.post("/api/v1/backtests", json={"text": text})
    problem(answer, 413, "body-too-large")


def test_a_server_without_back_tests_has_none(api: Api) -> None:
    for answer in (
        api.client.get("/api/v1/backtests"),
        api.client.post("/api/v1/backtests", json={}),
    ):
        problem(answer, 404, "not-found")


def test_unknown_ids_are_not_found(trying: Api) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", ":cancel")):
        answer: httpx2.Response = trying.client.request(method, f"/api/v1/backtests/nope{path}")
        problem(answer, 404, "not-found")


def test_answers_are_as_described(trying: Api) -> None:
    pay(trying, 120, 200)
    for body in ({}, {"text": LARGER}):
        found = done(trying, **body)
        schemas.BackTestWithResult.model_validate(found)
    listed = trying.client.get("/api/v1/backtests").json()
    schemas.Page[schemas.BackTest].model_validate(listed)
