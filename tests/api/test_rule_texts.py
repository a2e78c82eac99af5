"""Rule text before it is deployed: its errors, its format, its tests, its picture."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import pytest
from api_checks import Api, problem

from api import rule_texts
from cep.deployment.deployer import Deployer
from cep.store.deployments import SqlDeployments

DEPLOYED = """
event Pay { ts: timestamp @time  card: string  amount: int  ok: bool }
rule large "Large" { by card match p: Pay[amount > 100] alert "{card}" }
"""
RULE = """
rule probing "Probing" {
  by card
  match small: Pay[amount < 5 and not ok]{3,} -> big: Pay[amount > %s] -> not Pay[ok] for 5m
  within 10m
  alert "{card}"
}
"""
PASSES = """
test probing "three, then one" {
  at 0s Pay {card: "a", amount: 1, ok: false}
  at 1s Pay {card: "a", amount: 2, ok: false}
  at 2s Pay {card: "a", amount: 3, ok: false}
  at 3s Pay {card: "a", amount: 300, ok: false}
  advance 10m
  expect 1 alert {card: "a"}
}
"""
FAILS = """
test probing "two are enough" {
  at 0s Pay {card: "a", amount: 1, ok: false}
  at 1s Pay {card: "a", amount: 2, ok: false}
  at 3s Pay {card: "a", amount: 300, ok: false}
  advance 10m
  expect 1 alert
}
"""


@pytest.fixture
def running(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    # The very first tests on a machine compile the kernels, as no engine has done it here before.
    monkeypatch.setattr("cep.limits.TESTS_SECONDS_MAX", 400)
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": DEPLOYED})
    return api


def ask(api: Api, verb: str, **body: object) -> Any:
    answer = api.client.post(f"/api/v1/rules:{verb}", json=body, timeout=500)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_text_is_valid_beside_what_is_deployed_and_is_drawn(running: Api) -> None:
    found = ask(running, "validate", text=RULE % 100)
    assert (found["valid"], found["errors"], found["reason"]) == (True, [], None)
    [rule] = found["rules"]
    assert (rule["name"], rule["title"]) == ("probing", "Probing")
    graph = rule["graph"]
    assert [(one["kind"], one["name"], one["event"]) for one in graph["nodes"]] == [
        ("step", "small", "Pay"),
        ("step", "big", "Pay"),
        ("absence", "no Pay[ok]", ""),
        ("match", "Probing", ""),
    ]
    small, big, absence, _ = graph["nodes"]
    assert (small["condition"], small["repeat"]) == ("amount < 5 and not ok", "3 or more times")
    assert (big["condition"], absence["repeat"]) == ("amount > 100", "5m")
    assert [(edge["start"], edge["end"]) for edge in graph["edges"]] == [(0, 1), (1, 2), (2, 3)]
    assert (graph["entries"], graph["within"]) == ([0], "10m")
    assert running.client.get("/api/v1/rules").headers["etag"] == '"1"'  # nothing was deployed


def test_errors_have_their_places(running: Api) -> None:
    found = ask(running, "validate", text=RULE % "hundred")
    assert not found["valid"]
    [error] = found["errors"]
    assert (error["severity"], error["line"], error["path"]) == ("error", 4, "api/draft.cep")
    assert "hundred" in error["message"]
    assert found["rules"] == []


def test_a_text_alone_does_not_know_the_events_of_others(running: Api) -> None:
    assert not ask(running, "validate", text=RULE % 100, alone=True)["valid"]
    assert ask(running, "validate", text=DEPLOYED + RULE % 100, alone=True)["valid"]


def test_what_compiles_and_may_not_be_deployed_from_here_says_why(running: Api) -> None:
    text = 'table cards { card: string @key } from file "/etc/passwd"'
    found = ask(running, "validate", text=text)
    assert not found["valid"]
    assert found["errors"] or "deployed on the machine itself" in found["reason"]


def test_a_text_is_formatted(running: Api) -> None:
    text = ask(
        running, "format", text="rule  a { by  card match p:Pay alert 'x' }".replace("'", '"')
    )
    assert text["text"].startswith("rule a {\n  by card\n")
    bad = running.client.post("/api/v1/rules:format", json={"text": "rule {"})
    [error, *_] = problem(bad, 422, "rules-refused")["errors"]
    assert error["line"] == 1


def test_tests_of_a_text_are_run(running: Api) -> None:
    found = ask(running, "test", text=RULE % 100 + PASSES + FAILS)
    assert not found["passed"]
    passed, failed = found["tests"]
    assert (passed["title"], passed["passed"], passed["failures"]) == ("three, then one", True, [])
    assert (failed["title"], failed["passed"]) == ("two are enough", False)
    [failure] = failed["failures"]
    lines = (RULE % 100 + PASSES + FAILS).split("\n")
    assert "expect 1 alert" in lines[failure["line"] - 1]
    assert "expected 1 alert, found 0" in failure["text"]
    assert "nearest:" in failure["text"]
    assert ask(running, "test", text=RULE % 100) == {"passed": True, "tests": []}


def test_tests_of_a_text_that_is_none_are_a_problem(running: Api) -> None:
    answer = running.client.post("/api/v1/rules:test", json={"text": RULE % "hundred" + PASSES})
    assert problem(answer, 422, "rules-refused")["errors"][0]["line"] == 4


def test_tests_that_take_too_long_are_ended_with_their_process(
    running: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cep.limits.TESTS_SECONDS_MAX", 0.2)
    begin = time.monotonic()
    answer = running.client.post("/api/v1/rules:test", json={"text": RULE % 100 + PASSES})
    assert "longer than 0.2 s" in problem(answer, 409, "not-possible")["detail"]
    assert time.monotonic() - begin < 10
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True
    )
    assert "spawn_main" not in children.stdout


def test_only_so_many_tests_are_run_at_once(running: Api) -> None:
    taken = 0
    while rule_texts._tests_under_way.acquire(blocking=False):
        taken += 1
    try:
        answer = running.client.post("/api/v1/rules:test", json={"text": RULE % 100})
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "2"
    finally:
        for _ in range(taken):
            rule_texts._tests_under_way.release()


def test_a_rule_that_runs_is_drawn(running: Api) -> None:
    graph = running.client.get("/api/v1/rules/large/graph").json()
    assert [one["kind"] for one in graph["nodes"]] == ["step", "match"]
    problem(running.client.get("/api/v1/rules/none/graph"), 404, "not-found")


def test_a_text_that_is_too_long_is_refused(running: Api) -> None:
    long = {"text": "#" * (256 * 1024 + 1)}
    answer = running.client.post("/api/v1/rules:validate", json=long)
    problem(answer, 422, "invalid-parameters")
