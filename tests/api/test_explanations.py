"""Why a rule did not fire, asked of a server, as of now and of an earlier time."""

from __future__ import annotations

from typing import Any

import pytest
from api_checks import Api, problem

from api import explanations
from cep.asking import Asking
from cep.deployment.deployer import Deployer
from cep.store.deployments import SqlDeployments

RULES = """
event Pay { ts: timestamp @time  card: string  amount: int }
rule two "Two" {
  by card
  match small: Pay[amount < 5] -> big: Pay[amount > 100]
  within 10m
  alert "{card}"
}
"""
EVENTS = b"""
{"type": "Pay", "ts": "2026-03-01T09:00:00Z", "card": "a", "amount": 1}
{"type": "Pay", "ts": "2026-03-01T09:01:00Z", "card": "a", "amount": 90}
{"type": "Pay", "ts": "2026-03-01T09:02:00Z", "card": "b", "amount": 50}
{"type": "Pay", "ts": "2026-03-01T09:30:00Z", "card": "b", "amount": 50}
"""


@pytest.fixture
def running(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    # The very first question on a machine compiles the kernels, as no engine has done it here.
    monkeypatch.setattr("cep.limits.EXPLAIN_SECONDS_MAX", 400)
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": RULES})
    api.state.asking = Asking(f"{api.engine.url.database}#events")
    api.log.append("events", EVENTS.lstrip())
    return api


def ask(api: Api, rule: str = "two", **body: object) -> Any:
    return api.client.post(f"/api/v1/rules/{rule}:explain", json=body, timeout=500)


def test_how_near_a_key_came_and_what_was_missing(running: Api) -> None:
    found = ask(running, key={"card": "a"}).json()
    [near] = found["keys"]
    assert near["key"] == {"card": "a"}
    assert near["lines"][0].startswith(
        'card="a" reached step 1 of 2: small at 2026-03-01T09:00:00.000Z'
    )
    text = "\n".join(near["lines"])
    assert "amount > 100 is false (amount = 90)" in text
    assert "within 10m ran out at 2026-03-01T09:10:00.000Z" in text
    assert (found["events"], found["left_out"], found["further"]) == (2, 0, 0)


def test_as_of_an_earlier_time_it_still_waits(running: Api) -> None:
    found = ask(running, key={"card": "a"}, at="2026-03-01T09:00:30Z").json()
    text = "\n".join(found["keys"][0]["lines"])
    assert "still waiting" in text
    assert "90" not in text
    assert found["events"] == 1


def test_without_a_key_the_nearest_come_first(running: Api) -> None:
    found = ask(running).json()
    assert [one["key"]["card"] for one in found["keys"]] == ["a", "b"]
    assert found["keys"][1]["lines"][0].startswith('card="b" ')


def test_questions_that_cannot_be_answered(running: Api) -> None:
    problem(ask(running, "none"), 404, "not-found")
    assert "--key card" in problem(ask(running, key={"shop": "x"}), 409, "not-possible")["detail"]
    problem(ask(running, last=0), 422, "invalid-parameters")
    running.state.asking = None
    problem(ask(running), 503, "no-log")


def test_one_that_takes_too_long_is_given_up(running: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cep.limits.EXPLAIN_SECONDS_MAX", 0.1)
    assert "longer than 0.1 s" in problem(ask(running), 409, "not-possible")["detail"]


def test_only_so_many_are_asked_at_once(running: Api) -> None:
    taken = 0
    while explanations._under_way.acquire(blocking=False):
        taken += 1
    try:
        problem(ask(running), 503, "busy")
    finally:
        for _ in range(taken):
            explanations._under_way.release()
