"""Partial matches by request: of state that an engine's fold has written to the store."""

from __future__ import annotations

import json

from api_checks import Api, problem

from cep.deployment.deployer import Deployer
from cep.fold import Fold
from cep.load import load_text
from cep.ports import Records
from cep.store.deployments import SqlDeployments

RULES = """
event Pay { ts: timestamp @time  card: string  amount: int } lateness 0s
rule pair "Pair" { by card match a: Pay[amount < 10] -> b: Pay[amount > 100] within 10m alert "x" }
"""
PATH = "/api/v1/rules/pair/partial-matches"


def commit(api: Api, cards: list[str]) -> None:
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": RULES})
    fold = Fold(load_text(RULES), "events")
    events = [
        {"type": "Pay", "ts": 1000 * number, "card": card, "amount": 1}
        for number, card in enumerate(cards)
    ]
    data = "".join(json.dumps(event) + "\n" for event in events).encode()
    fold.step(Records(0, data, len(events)))
    lease = api.store.acquire("events")
    api.store.commit(lease, fold.checkpoint(), fold.changed_pages(), (), ())


def test_partial_matches_are_listed_in_pages_with_their_funnel(api: Api) -> None:
    commit(api, ["c1", "c2", "c3"])
    first = api.client.get(PATH, params={"limit": 2}).json()
    assert (first["kind"], first["parts"], first["total"]) == ("sequence", 2, 3)
    assert first["funnel"] == [{"step": "a", "partial_matches": 3}]
    assert first["as_of"] == [
        {"partition": "events", "position": 3, "watermark": "1970-01-01T00:00:02.000Z"}
    ]
    assert first["items"][0] == {
        "partition": "events",
        "key": {"card": "c1"},
        "step": "a",
        "reached": 1,
        "events": 1,
        "bound": [{"step": "a", "position": 0}],
        "awaits": ["b"],
        "started": "1970-01-01T00:00:00.000Z",
        "deadline": "1970-01-01T00:10:00.000Z",
        "at_deadline": "ends",
    }
    assert first["more"]
    rest = api.client.get(PATH, params={"cursor": first["next"]}).json()
    assert [item["key"]["card"] for item in rest["items"]] == ["c3"]
    assert not rest["more"]


def test_one_key_is_asked_about_and_faults_are_problems(api: Api) -> None:
    assert problem(api.client.get("/api/v1/rules/other/partial-matches"), 404, "not-found")
    commit(api, ["c1", "c2"])
    found = api.client.get(PATH, params={"key": "card=c2"}).json()
    assert [item["key"] for item in found["items"]] == [{"card": "c2"}]
    problem(api.client.get(PATH, params={"key": "card"}), 422, "invalid-parameters")
    problem(api.client.get(PATH, params={"key": "user=u"}), 409, "not-possible")
    problem(api.client.get(PATH, params={"cursor": "xx"}), 422, "invalid-parameters")


def test_without_state_there_are_none(api: Api) -> None:
    found = api.client.get("/api/v1/rules/quiet/partial-matches").json()
    assert (found["total"], found["items"], found["as_of"]) == (0, [], [])
