"""Drafts are written, deployed and gone; versions are listed, compared and returned to."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_checks import Api, problem

from cep.deployment.deployer import Deployer
from cep.store.deployments import SqlDeployments

TEXT = """
event Pay { ts: timestamp @time  card: string  amount: int }
rule large "Large" { by card match p: Pay[amount > 100] alert "{card}" }
"""
DRAFT = 'rule medium "Medium" { by card match p: Pay[amount > %d] alert "%s {card}" }'


@pytest.fixture
def running(api: Api) -> Api:
    api.state.deployer = Deployer(SqlDeployments(api.store.engine, "events"), api.log.topic)
    api.state.deployer.start({"rules.cep": TEXT})
    return api


def put(api: Api, text: str, name: str = "medium", **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.put(f"/api/v1/drafts/{name}", json={"text": text}, headers=named)


def deploy(api: Api, if_match: str = "*", name: str = "medium", **body: object) -> httpx2.Response:
    path = f"/api/v1/drafts/{name}:deploy"
    return api.client.post(path, json=body, headers={"if-match": if_match})


def get(api: Api, path: str, **parameters: object) -> Any:
    answer = api.client.get(f"/api/v1/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_draft_is_begun_changed_and_dropped(running: Api) -> None:
    begun = put(running, "rule medium", if_none_match="*")
    assert (begun.status_code, begun.headers["etag"]) == (201, '"1"')
    assert (begun.json()["made_from"], begun.json()["by"]) == (1, "anonymous")
    problem(put(running, "x", if_none_match="*"), 412, "stale")
    changed = put(running, DRAFT % (50, ""), if_match='"1"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    problem(put(running, "x", if_match='"1"'), 412, "stale")
    problem(put(running, "x"), 428, "no-precondition")
    problem(put(running, "x", name="other", if_match="*"), 404, "not-found")
    assert get(running, "drafts/medium")["text"] == DRAFT % (50, "")
    assert [one["name"] for one in get(running, "drafts")["items"]] == ["medium"]
    path, stale = "/api/v1/drafts/medium", {"if-match": '"1"'}
    problem(running.client.delete(path, headers=stale), 412, "stale")
    problem(running.client.delete(path), 428, "no-precondition")
    assert running.client.delete(path, headers={"if-match": '"2"'}).status_code == 204
    problem(running.client.get(path), 404, "not-found")
    problem(running.client.delete(path, headers={"if-match": "*"}), 404, "not-found")


def test_a_draft_that_is_deployed_is_gone_and_one_that_is_refused_stays(running: Api) -> None:
    put(running, "rule medium { nonsense", if_none_match="*")
    assert problem(deploy(running), 422, "rules-refused")["errors"]
    put(running, DRAFT.replace("medium", "other") % (50, ""), if_match="*")
    problem(deploy(running), 422, "rules-refused")
    put(running, DRAFT % (50, ""), if_match="*")
    problem(deploy(running, '"7"'), 412, "stale")
    assert get(running, "drafts/medium")["version"] == 3
    done = deploy(running, '"1"', mode="shadow")
    assert (done.status_code, done.json()["modes"]) == (202, {"medium": "shadow"})
    assert get(running, "rules/medium")["mode"] == "shadow"
    problem(running.client.get("/api/v1/drafts/medium"), 404, "not-found")
    problem(deploy(running), 404, "not-found")


def test_a_draft_of_a_rule_that_a_file_has_is_not_deployed(running: Api) -> None:
    text = TEXT.split("\n")[2].replace("100", "200")
    put(running, text, name="large", if_none_match="*")
    found = problem(deploy(running, name="large"), 409, "kept-in-file")
    assert found["file"] == "rules.cep"
    assert get(running, "drafts/large")["text"] == text


@pytest.mark.parametrize("name", ["x" * 201, "a%00b"])
def test_names_that_no_draft_can_have(running: Api, name: str) -> None:
    problem(put(running, "x", name=name, if_none_match="*"), 404, "not-found")


def test_versions_are_listed_compared_and_returned_to(running: Api) -> None:
    for level, words in ((50, "a"), (60, "a"), (60, "b")):
        put(running, DRAFT % (level, words), if_none_match="*")
        assert deploy(running).status_code == 202
    newest, middle, oldest = get(running, "rules/medium/versions")["items"]
    assert [one["deployment"] for one in (newest, middle, oldest)] == [4, 3, 2]
    assert oldest["text"] == DRAFT % (50, "a")

    def differs(one: Any, other: Any) -> Any:
        ids = {"from": one["version"], "to": other["version"]}
        return get(running, "rules/medium/diff", **ids)

    words = differs(middle, newest)
    assert words["same_pattern"] is True
    assert [line for line in words["lines"].split("\n") if line[:1] in "+-"][2:4] == [
        "-" + DRAFT % (60, "a"),
        "+" + DRAFT % (60, "b"),
    ]
    assert differs(oldest, newest)["same_pattern"] is False
    assert differs(newest, newest) == {"lines": "", "same_pattern": True}

    path, headers = "/api/v1/rules/medium:rollback", {"if-match": '"4"'}
    done = running.client.post(path, json={"version": oldest["version"]}, headers=headers)
    assert done.status_code == 202
    found = get(running, "rules/medium/versions")["items"]
    assert [one["version"] for one in found] == [
        one["version"] for one in (oldest, newest, middle, oldest)
    ]
    unknown = running.client.post(path, json={"version": "none"}, headers={"if-match": "*"})
    problem(unknown, 404, "not-found")


def test_versions_of_what_never_was(running: Api) -> None:
    problem(running.client.get("/api/v1/rules/nothing/versions"), 404, "not-found")
    ids = {"from": "a", "to": "b"}
    problem(running.client.get("/api/v1/rules/large/diff", params=ids), 404, "not-found")
