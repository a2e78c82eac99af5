"""Requests that are sent again after a lost answer, and bodies that were packed for the way."""

from __future__ import annotations

import gzip
import threading
import zlib
from typing import Any

import httpx2
import pytest
from api_checks import Api, problem

from alerts.ports import ManualClock
from api import limits
from api.state import ApiState
from cep.store import answers

EVENT = b'{"type": "Payment", "card_id": "c1"}'
JSON = {"content-type": "application/json"}


def post(api: Api, key: str, content: bytes = EVENT, **headers: str) -> httpx2.Response:
    named = JSON | {"idempotency-key": key}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.post("/api/v1/events", content=content, headers=named)


def end(api: Api) -> int:
    return api.log.end("events")


def advance(api: Api, ms: int) -> None:
    assert isinstance(api.state.clock, ManualClock)
    api.state.clock.advance(ms)


def test_a_request_that_is_sent_again_gets_the_answer_of_the_first(api: Api) -> None:
    first, again = post(api, "k1"), post(api, "k1")
    assert (first.status_code, end(api)) == (200, 1)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert post(api, "k2").json()["partitions"][0]["first_position"] == 1


def test_a_refusal_is_an_answer_too(api: Api) -> None:
    for _ in range(2):
        problem(post(api, "k1", b"[1]"), 422, "no-event-accepted")


def test_a_key_belongs_to_one_request(api: Api) -> None:
    post(api, "k1")
    problem(post(api, "k1", EVENT + b" "), 422, "key-of-another")
    problem(post(api, "k1", content_type="application/x-ndjson"), 422, "key-of-another")
    assert end(api) == 1


def test_an_answer_is_forgotten_after_a_day(api: Api) -> None:
    post(api, "k1")
    advance(api, limits.ANSWERS_KEPT_MS)
    post(api, "k1")
    assert end(api) == 1
    advance(api, 1)
    post(api, "k1")
    assert end(api) == 2


def test_a_request_under_way_is_not_begun_twice(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    publish = api.log.publish

    def slowly(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return publish(*given)

    monkeypatch.setattr(api.log, "publish", slowly)
    answer: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: answer.append(post(api, "k1")))
    thread.start()
    assert begun.wait(30)
    with httpx2.Client(base_url=api.url) as client:
        headers = JSON | {"idempotency-key": "k1"}
        problem(client.post("/api/v1/events", content=EVENT, headers=headers), 409, "not-possible")
    go_on.set()
    thread.join()
    assert answer[0].status_code == 200
    assert post(api, "k1").content == answer[0].content
    assert end(api) == 1


def test_what_was_under_way_when_the_server_ended_is_tried_again(api: Api) -> None:
    state: ApiState = api.state
    claimed: list[bytes] = []
    real = answers.claim

    def claim(
        engine: Any, actor: str, key: str, fingerprint: bytes, *rest: Any, **more: Any
    ) -> Any:
        claimed.append(fingerprint)
        return real(engine, actor, key, fingerprint, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "claim", claim)
        post(api, "k1")
    answers.forget(state.engine, "anonymous", "k1")
    now_ms = state.clock.now_ms()
    assert real(state.engine, "anonymous", "k1", claimed[0], now_ms, since_ms=0) is None
    problem(post(api, "k1"), 409, "not-possible")
    advance(api, limits.ANSWER_UNDER_WAY_MS)
    assert post(api, "k1").status_code == 200
    assert end(api) == 2


def test_a_fault_of_the_server_is_not_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(api.log, "publish", fails)
        problem(post(api, "k1"), 500, "internal")
    with httpx2.Client(base_url=api.url) as client:  # the connection is closed after a fault
        headers = JSON | {"idempotency-key": "k1"}
        assert client.post("/api/v1/events", content=EVENT, headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_bad_keys_are_refused(api: Api, key: str) -> None:
    found = problem(post(api, key), 422, "invalid-parameters")
    assert found["errors"][0]["parameter"] == "Idempotency-Key"
    assert end(api) == 0


def test_answers_with_secrets_are_not_kept(api: Api) -> None:
    body, headers = {"name": "ci", "roles": ["viewer"]}, {"idempotency-key": "k1"}
    made = [api.client.post("/api/v1/keys", json=body, headers=headers) for _ in range(2)]
    assert made[0].json()["key"] != made[1].json()["key"]


# ------------------------------------------------------------------------------------------ gzip


def packed(api: Api, content: bytes, encoding: str = "gzip") -> httpx2.Response:
    headers = JSON | {"content-encoding": encoding}
    return api.client.post("/api/v1/events", content=content, headers=headers)


def test_a_packed_body_is_unpacked(api: Api) -> None:
    assert packed(api, gzip.compress(EVENT)).json()["accepted"] == 1
    assert packed(api, EVENT, "identity").json()["accepted"] == 1


def test_a_body_that_unpacks_to_too_much_is_refused_without_being_unpacked(api: Api) -> None:
    bomb = gzip.compress(b" " * (limits.BODY_BYTES_MAX * 20))
    assert len(bomb) < limits.BODY_BYTES_MAX // 20
    assert "unpacked" in problem(packed(api, bomb), 413, "body-too-large")["detail"]


@pytest.mark.parametrize(
    "content",
    [
        EVENT,
        b"",
        gzip.compress(EVENT)[:-1],
        gzip.compress(EVENT) + b"x",
        zlib.compress(EVENT),
    ],
    ids=["plain", "empty", "cut", "trailing", "zlib"],  # gzip writes the time of its making
)
def test_a_body_that_is_not_packed_as_it_says_is_refused(api: Api, content: bytes) -> None:
    problem(packed(api, content), 400, "malformed-body")
    assert end(api) == 0


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate"])
def test_other_encodings_are_not_understood(api: Api, encoding: str) -> None:
    problem(packed(api, EVENT, encoding), 415, "unsupported-media-type")
