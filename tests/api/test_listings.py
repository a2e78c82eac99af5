"""Rules, detections, deliveries and dead letters as the API shows them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from api_checks import NOW_MS, Api, detection, problem

from alerts.config import Destinations
from alerts.dispatcher import Dispatcher
from alerts.ports import HttpAnswer, ManualClock, SimulatedHttpSender
from api.paging import encode_cursor
from cep.ports import DeadLetterRow, LateRow
from cep.values import iso_time


def pages(api: Api, path: str, **parameters: object) -> list[list[dict[str, Any]]]:
    """Every page of a listing, until there are no more."""
    found = []
    while True:
        answer = api.client.get(path, params=parameters).raise_for_status().json()
        found.append(answer["items"])
        if not answer["more"]:
            return found
        parameters["cursor"] = answer["next"]


def test_rules_are_listed_with_their_detections(api: Api) -> None:
    api.commit(detection(1), detection(2))
    first, second = api.client.get("/api/v1/rules").json()["items"]
    assert first == {
        "name": "card_testing",
        "version": "0123456789abcdef",
        "pattern_version": "fedcba9876543210",
        "mode": "live",
        "text": "rules.cep",
        "title": "Title of card_testing",
        "severity": "high",
        "tags": ["fraud"],
        "doc": None,
        "priority": 0,
        "key": ["card_id"],
        "events": ["Payment"],
        "time_fields": {"Payment": None},
        "within_ms": 600_000,
        "notify": ["soc"],
        "detections": 2,
        "capped": 0,
        "degraded": False,
    }
    assert (second["name"], second["detections"]) == ("quiet", 0)
    assert api.client.get("/api/v1/rules/quiet").json() == second
    problem(api.client.get("/api/v1/rules/nope"), 404, "not-found")


def test_detections_come_as_committed_page_by_page(api: Api) -> None:
    api.commit(*(detection(number) for number in range(1, 8)))
    found = pages(api, "/api/v1/detections", limit=3)
    assert [len(page) for page in found] == [3, 3, 1]
    bodies = [json.loads(detection(number).body) for number in range(1, 8)]
    assert [item for page in found for item in page] == bodies


def test_cursor_of_the_last_page_gives_what_came_later(api: Api) -> None:
    empty = api.client.get("/api/v1/detections").json()
    assert (empty["items"], empty["more"]) == ([], False)
    api.commit(detection(1))
    first = api.client.get("/api/v1/detections", params={"cursor": empty["next"]}).json()
    api.commit(detection(2))
    second = api.client.get("/api/v1/detections", params={"cursor": first["next"]}).json()
    assert [len(first["items"]), len(second["items"])] == [1, 1]
    assert second["items"][0]["message"] == "nº 2"


def test_detections_of_one_rule(api: Api) -> None:
    api.commit(detection(1), detection(2, "quiet"), detection(3))
    found = pages(api, "/api/v1/detections", rule="card_testing", limit=1)
    assert [item["id"][-1] for page in found for item in page] == ["1", "3"]


def test_detection_by_id(api: Api) -> None:
    api.commit(detection(1))
    assert api.client.get(f"/api/v1/detections/{1:032x}").content == detection(1).body
    problem(api.client.get("/api/v1/detections/nope"), 404, "not-found")


DESTINATIONS = Destinations.model_validate(
    {
        "destinations": {
            name: {
                "type": "webhook",
                "url": "https://example.com/secret-path",
                "secrets": [{"env": "HOOK_SECRET"}],
            }
            for name in ("soc", "desk")
        }
    }
)


@pytest.fixture
def deliver(api: Api, monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"x" * 32).decode())
    http = SimulatedHttpSender(
        lambda call: HttpAnswer(503, {}, b"busy") if call == 0 else HttpAnswer(200, {}, b"ok")
    )
    return Dispatcher(
        api.engine, DESTINATIONS, clock=ManualClock(NOW_MS), http=http, jitter=lambda: 0.5
    )


def test_deliveries_are_listed_with_state_and_next_attempt(api: Api, deliver: Dispatcher) -> None:
    api.commit(detection(1, "card_testing", "soc", "desk", "nobody"))
    asyncio.run(deliver.run_once())
    listed = [one for page in pages(api, "/api/v1/deliveries", limit=2) for one in page]
    assert len(listed) == 3
    found = {one["destination"]: one for one in listed}
    assert {name: (one["state"], one["reason"]) for name, one in found.items()} == {
        "desk": ("pending", "server_error"),
        "soc": ("delivered", "delivered"),
        "nobody": ("dead", "destination_unknown"),
    }
    assert found["desk"]["next_attempt"] == "2024-12-10T06:55:51.000Z"
    assert found["soc"]["next_attempt"] is None
    assert found["soc"]["finished"] == "2024-12-10T06:55:46.000Z"
    assert found["soc"]["detection_id"] == f"{1:032x}"
    for key, value, names in (
        ("state", "pending", ["desk"]),
        ("destination", "soc", ["soc"]),
        ("detection", f"{2:032x}", []),
    ):
        (page,) = pages(api, "/api/v1/deliveries", **{key: value})
        assert [one["destination"] for one in page] == names


def test_delivery_shows_its_attempts_and_no_url(api: Api, deliver: Dispatcher) -> None:
    api.commit(detection(1, "card_testing", "soc"))
    asyncio.run(deliver.run_once())
    ((row,),) = pages(api, "/api/v1/deliveries")
    response = api.client.get(f"/api/v1/deliveries/{row['id']}")
    (attempt,) = response.json()["attempt_log"]
    assert (attempt["number"], attempt["status"], attempt["answer"]) == (1, 503, "busy")
    assert "secret-path" not in response.text
    problem(api.client.get("/api/v1/deliveries/nope"), 404, "not-found")


def test_dead_letters_of_all_partitions_page_by_page(api: Api) -> None:
    for partition in ("b", "a"):
        letters = tuple(DeadLetterRow(n, f"bad {n}", b"\xff{" * n) for n in (2, 5, 9))
        api.commit(partition=partition, dead=letters)
    found = pages(api, "/api/v1/dead-letters", limit=2)
    assert [len(page) for page in found] == [2, 2, 2]
    items = [item for page in found for item in page]
    assert [(item["partition"], item["position"]) for item in items] == [
        ("a", 2), ("a", 5), ("a", 9), ("b", 2), ("b", 5), ("b", 9),
    ]  # fmt: skip
    assert items[0]["reason"] == "bad 2"
    assert base64.b64decode(items[0]["raw_base64"]) == b"\xff{\xff{"
    ((only,),) = pages(api, "/api/v1/dead-letters", partition="b", cursor=encode_cursor("b", 5))
    assert (only["partition"], only["position"]) == ("b", 9)


def test_late_events_are_listed_with_what_they_were_behind(api: Api) -> None:
    rows = tuple(LateRow(n, NOW_MS - n, NOW_MS, b'{"n":%d}' % n) for n in (3, 5, 8))
    api.commit(late_events=rows)
    assert [len(page) for page in pages(api, "/api/v1/late", limit=2)] == [2, 1]
    first = api.client.get("/api/v1/late").json()["items"][0]
    assert first == {
        "partition": "events",
        "position": 3,
        "time": iso_time(NOW_MS - 3),
        "watermark": iso_time(NOW_MS),
        "raw": '{"n":3}',
        "raw_base64": base64.b64encode(b'{"n":3}').decode(),
    }


@pytest.mark.parametrize("path", ["detections", "deliveries", "dead-letters", "late"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"cursor": "???"},
        {"cursor": "e30"},
        {"cursor": encode_cursor("x", "y", "z")},
        {"cursor": encode_cursor(2**64 - 1)},
        {"cursor": encode_cursor(1, 2)},
        {"cursor": "é"},
        {"cursor": "x" * 5_000},
    ],
)
def test_bad_paging_is_named(api: Api, path: str, parameters: dict[str, str]) -> None:
    response = api.client.get(f"/api/v1/{path}", params=parameters)
    document = problem(response, 422, "invalid-parameters")
    assert document["errors"][0]["parameter"] in parameters


def test_unknown_state_is_named(api: Api) -> None:
    response = api.client.get("/api/v1/deliveries", params={"state": "lost"})
    assert problem(response, 422, "invalid-parameters")["errors"][0]["parameter"] == "state"
