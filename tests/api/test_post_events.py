"""Events over HTTP: every form, every refusal, and what is in the log afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx2
import pytest
from api_checks import Api, problem

from api.limits import BODY_BYTES_MAX, ITEM_ERRORS_MAX

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


def post(api: Api, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    return api.client.post("/api/v1/events", content=body, headers=headers)


def logged(api: Api) -> list[bytes]:
    records = api.log.read("events", 0, 10_000)
    return records.data.splitlines() if records.count else []


def test_object_is_appended(api: Api) -> None:
    response = post(api, b'{"type": "Payment", "amount": 1.50}', JSON)
    assert response.status_code == 200
    assert response.json() == {
        "accepted": 1,
        "duplicates": 0,
        "partitions": [{"partition": "events", "first_position": 0, "accepted": 1}],
        "rejected": 0,
        "errors": [],
    }
    assert logged(api) == [b'{"type": "Payment", "amount": 1.50}']


def test_array_is_appended_byte_for_byte(api: Api) -> None:
    body = b'[ {"n": 12345678901234567890123, "d": 0.10,\n "u": "\\u00e9"} ,\r\n{"n":2}]'
    assert post(api, body, JSON).json()["accepted"] == 2
    assert logged(api) == [
        b'{"n": 12345678901234567890123, "d": 0.10,  "u": "\\u00e9"}',
        b'{"n":2}',
    ]


def test_ndjson_is_appended_in_one_append(api: Api) -> None:
    lines = [json.dumps({"n": number}).encode() for number in range(2_000)]
    response = post(api, b"\r\n".join(lines), NDJSON)
    assert response.json()["accepted"] == 2_000
    assert logged(api) == lines
    (place,) = post(api, b'{"n":1}', NDJSON).json()["partitions"]
    assert place["first_position"] == 2_000


def test_bad_items_are_named_and_the_good_ones_taken(api: Api) -> None:
    body = b'{"n":1}\n\nnot json\n[1]\n{"n":NaN}\n{"x":"\xff"}\n{"n":2}\n' + b'{"a":' * 2_000
    answer = post(api, body, NDJSON).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 5)
    assert [error["index"] for error in answer["errors"]] == [2, 3, 4, 5, 7]
    assert answer["errors"][1]["reason"] == "not a JSON object"
    assert logged(api) == [b'{"n":1}', b'{"n":2}']


def test_array_of_mixed_items_keeps_the_objects(api: Api) -> None:
    answer = post(api, b'[{"n":1}, 2, null, [], "x", {"n":2}]', JSON).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 4)
    assert [error["index"] for error in answer["errors"]] == [1, 2, 3, 4]


def test_line_break_inside_a_string_is_refused_and_not_repaired(api: Api) -> None:
    problem(post(api, b'{"a": "b\nc"}', JSON), 422, "no-event-accepted")
    assert logged(api) == []


def test_record_over_the_limit_of_the_log_is_refused(api: Api) -> None:
    long = b'{"a":"' + b"x" * 1_100_000 + b'"}'
    answer = post(api, b'{"n":1}\n' + long, NDJSON).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert "longer than" in answer["errors"][0]["reason"]


def test_nothing_acceptable_is_a_problem_with_reasons(api: Api) -> None:
    document = problem(post(api, b"[1, 2]", JSON), 422, "no-event-accepted")
    assert document["rejected"] == 2
    assert [error["index"] for error in document["errors"]] == [0, 1]
    assert logged(api) == []


def test_errors_are_listed_up_to_a_bound(api: Api) -> None:
    document = problem(post(api, b"1\n" * 100_000, NDJSON), 422, "no-event-accepted")
    assert document["rejected"] == 100_000
    assert len(document["errors"]) == ITEM_ERRORS_MAX


@pytest.mark.parametrize("body", [b"[]", b"[ ]"])
def test_empty_array_appends_nothing(api: Api, body: bytes) -> None:
    assert post(api, body, JSON).json() == {
        "accepted": 0,
        "duplicates": 0,
        "partitions": [],
        "rejected": 0,
        "errors": [],
    }
    assert logged(api) == []


@pytest.mark.parametrize(
    "body", [b"", b"1", b"nope", b'"x"', b"[1,", b'[{"a":1}', b"[" * 300_000, b"\xff\xfe"]
)
def test_malformed_body_is_a_problem(api: Api, body: bytes) -> None:
    problem(post(api, body, JSON), 400, "malformed-body")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ],
)
def test_json_content_types(api: Api, content_type: str) -> None:
    assert post(api, b'[{"n":1}]', {"content-type": content_type}).json()["accepted"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
    ],
)
def test_other_content_types_are_refused(api: Api, headers: dict[str, str]) -> None:
    # These are what a web page can send to another site without asking first.
    problem(post(api, b'{"n":1}', headers), 415, "unsupported-media-type")
    assert logged(api) == []


def test_body_at_the_limit_is_taken_and_one_byte_more_is_not(api: Api) -> None:
    event = b'{"a":"' + b"x" * 1_000 + b'"}\n'
    body = event * (BODY_BYTES_MAX // len(event))
    body += b" " * (BODY_BYTES_MAX - len(body))
    assert post(api, body, NDJSON).status_code == 200
    problem(post(api, body + b" ", NDJSON), 413, "body-too-large")


def test_body_without_announced_length_is_cut_off_at_the_limit(api: Api) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(11):
            sent += 1
            yield b" " * 1_048_576

    response = api.client.post("/api/v1/events", content=parts(), headers=JSON)
    problem(response, 413, "body-too-large")


def test_concurrent_requests_lose_nothing(api: Api) -> None:
    def send(start: int) -> None:
        for number in range(start, start + 20):
            assert post(api, b'{"n":%d}' % number, JSON).status_code == 200

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 100, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(line)["n"] for line in logged(api)) == list(range(100))


def test_server_without_a_log_takes_no_events(api: Api) -> None:
    api.state.log = None
    problem(post(api, b'{"n":1}', JSON), 503, "no-log")
