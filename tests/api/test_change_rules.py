"""Changing rules by requests: what is asked for first, what is refused, what is then to be seen.

That engines take it up is tested with a whole program, in tests/cep/test_serve_deployments.py.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_checks import Api, problem

from api import limits
from cep.deployment.deployer import Deployer
from cep.ports import ActivationRow, Checkpoint
from cep.store.deployments import SqlDeployments

TEXT = """
event Pay { ts: timestamp @time  id: string? @id  card: string  amount: int }
rule large "Large" { by card match p: Pay[amount > 100] alert "{card}" }
rule small "Small" { by card match p: Pay[amount < 5] alert "{card}" }
"""
MORE = 'rule medium "Medium" { by card match p: Pay[amount > %d] alert "{card}" }'


@pytest.fixture
def changing(api: Api) -> Api:
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": TEXT})
    return api


def send(api: Api, method: str, path: str, if_match: str | None = "*", **body: Any) -> Any:
    headers = {} if if_match is None else {"If-Match": if_match}
    return api.client.request(method, f"/api/v1/rules/{path}", json=body, headers=headers)


def ok(answer: httpx2.Response, status: int = 202) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def modes(api: Api) -> dict[str, str]:
    items = api.client.get("/api/v1/rules").json()["items"]
    return {item["name"]: item["mode"] for item in items}


def test_a_rule_is_put_changed_and_rolled_back(changing: Api) -> None:
    answer = send(changing, "PUT", "medium", '"1"', text=MORE % 50, mode="shadow")
    assert answer.headers["etag"] == '"2"'
    done = ok(answer)
    assert (done["number"], done["what"], done["modes"]) == (
        *(2, "deploy api/medium.cep"),
        {"medium": "shadow"},
    )
    assert modes(changing) == {"large": "live", "small": "live", "medium": "shadow"}
    version = changing.client.get("/api/v1/rules/medium").json()["version"]
    ok(send(changing, "PUT", "medium", '"2"', text=MORE % 60))
    assert changing.client.get("/api/v1/rules/medium").json()["version"] != version
    assert ok(send(changing, "POST", "medium:rollback", '"3"'))["number"] == 4
    assert changing.client.get("/api/v1/rules/medium").json()["version"] == version


def test_rules_are_paused_shadowed_and_resumed(changing: Api) -> None:
    for verb, mode in (("pause", "paused"), ("shadow", "shadow"), ("resume", "live")):
        ok(send(changing, "POST", f"large:{verb}"))
        assert modes(changing)["large"] == mode
    assert ok(send(changing, "POST", "large:resume"), 200)["number"] == 4


def test_who_changes_says_from_what(changing: Api) -> None:
    problem(send(changing, "POST", "large:pause", None), 428, "no-precondition")
    etag = changing.client.get("/api/v1/rules").headers["etag"]
    ok(send(changing, "POST", "large:pause", etag))
    document = problem(send(changing, "POST", "small:pause", etag), 412, "stale")
    assert "deployment 2 was made meanwhile" in document["detail"]
    problem(send(changing, "POST", "small:pause", "nonsense"), 412, "stale")
    assert modes(changing) == {"large": "paused", "small": "live"}


def test_bad_text_is_refused_with_its_places_and_changes_nothing(changing: Api) -> None:
    text = "rule medium {\n  by card\n  match p: Pey\n  alert 'x'\n}"
    document = problem(send(changing, "PUT", "medium", text=text), 422, "rules-refused")
    (error,) = document["errors"]
    assert (error["path"], error["line"], error["column"]) == ("api/medium.cep", 3, 12)
    assert error["code"].startswith("E") and "Pay" in error["hint"]
    assert changing.client.get("/api/v1/rules").headers["etag"] == '"1"'


def test_a_rule_of_a_file_says_which_file_to_change(changing: Api) -> None:
    text = 'rule large { by card match p: Pay[amount > 1] alert "x" }'
    document = problem(send(changing, "PUT", "large", text=text), 409, "kept-in-file")
    assert document["file"] == "rules.cep"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "medium", {"text": 3}),
        ("PUT", "medium", {"text": "rule other { }"}),
        ("PUT", "medium", {"text": MORE % 50, "mode": "off"}),
        ("PUT", "medium", {"text": MORE % 50, "begun": ["drop"]}),
        ("POST", "large:pause", {"mode": "live"}),
    ],
)
def test_bodies_of_another_form_are_refused(
    changing: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    problem(send(changing, method, path, **body), 400, "malformed-body")
    assert changing.client.get("/api/v1/rules").headers["etag"] == '"1"'


def test_a_body_that_is_no_json_or_too_long_is_refused(changing: Api) -> None:
    path, headers = "/api/v1/rules/medium", {"If-Match": "*"}
    answer = changing.client.put(path, content=b"{", headers=headers)
    problem(answer, 400, "malformed-body")
    long = b" " * (limits.RULE_BODY_BYTES_MAX + 1)
    problem(changing.client.put(path, content=long, headers=headers), 413, "body-too-large")


def test_rules_that_are_not_there_are_not_found(changing: Api) -> None:
    for verb in ("pause", "resume", "shadow", "rollback"):
        problem(send(changing, "POST", f"other:{verb}"), 404, "not-found")
    problem(changing.client.get("/api/v1/deployments/7"), 404, "not-found")
    problem(changing.client.get(f"/api/v1/deployments/{2**80}"), 404, "not-found")


def test_rows_of_files_and_addresses_are_not_for_requests(changing: Api) -> None:
    text = 'table t { k: string @pk } from file "x.csv"\n'
    text += 'rule medium { by card match p: Pay[exists t[card]] alert "x" }'
    document = problem(send(changing, "PUT", "medium", text=text), 422, "rules-refused")
    assert "on the machine itself" in document["detail"]


def test_deployments_tell_from_which_record_on_they_run(changing: Api) -> None:
    ok(send(changing, "POST", "large:pause", begun="drop"))
    lease = changing.store.acquire("events")
    rows = [ActivationRow(1, 0, 0), ActivationRow(2, 7, 1000, dropped=3)]
    changing.store.commit(lease, Checkpoint(rules={}), {}, [], [], activations=rows)
    first = changing.client.get("/api/v1/deployments?limit=1").json()
    assert [item["what"] for item in first["items"]] == ["start"] and first["more"]
    rest = changing.client.get(f"/api/v1/deployments?cursor={first['next']}").json()
    (item,) = rest["items"]
    assert (item["what"], item["begun"]) == ("pause large", "drop")
    assert item["partitions"] == [
        {"partition": "events", "position": 7, "dropped": 3, "leaving": 0, "refused": None}
    ]
    assert changing.client.get("/api/v1/deployments/1").json()["texts"] == {"rules.cep": TEXT}


def test_ids_of_events_are_those_that_are_declared_now(changing: Api) -> None:
    event = {"type": "Sale", "ts": 1, "no": "a"}

    def duplicates() -> int:
        return int(changing.client.post("/api/v1/events", json=event).json()["duplicates"])

    assert [duplicates(), duplicates()] == [0, 0]
    text = "event Sale { ts: timestamp @time  no: string @id }\n"
    text += 'rule sale { match Sale alert "x" }'
    ok(send(changing, "PUT", "sale", text=text))
    assert [duplicates(), duplicates()] == [0, 1]


def test_a_server_whose_rules_do_not_change_says_so(api: Api) -> None:
    problem(send(api, "POST", "quiet:pause"), 404, "not-found")
    problem(api.client.get("/api/v1/deployments"), 404, "not-found")
