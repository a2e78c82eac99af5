"""Silences by requests: made, looked at before, listed, ended; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from alert_desk import HOUR_MS, Desk, ok
from api_checks import NOW_MS, Api, problem

from alerts import limits as alert_limits
from api import limits

SENT = "sent-by-the-client"
ENDS = "2024-12-10T07:55:46Z"  # an hour from now


def make(desk: Desk, match: dict[str, object], **changes: object) -> Any:
    body = {"match": match, "by": "ada", "comment": "maintenance", "ends": ENDS} | changes
    return desk.post("silences", **body)


def test_a_silence_is_made_hides_and_counts(desk: Desk) -> None:
    made = ok(make(desk, {"rule": "card_*", "key": {"card_id": "c1"}}), 201)
    assert made == {
        "id": made["id"],
        "match": {"rule": ["card_*"], "key": {"card_id": ["c1"]}},
        "starts": "2024-12-10T06:55:46.000Z",
        "ends": "2024-12-10T07:55:46.000Z",
        "by": "ada",
        "comment": "maintenance",
        "made": "2024-12-10T06:55:46.000Z",
        "hidden": 0,
    }
    hidden, told = desk.detect("c1"), desk.detect("c2")
    desk.work()
    assert [one["detection_id"] for one in desk.get("deliveries")["items"]] == [told]
    alert = desk.get("alerts")["items"][0]["id"]
    (detection,) = desk.get(f"alerts/{alert}/detections")["items"]
    assert (detection["id"], detection["hidden_by"]) == (hidden, made["id"])
    assert desk.get(f"silences/{made['id']}") == made | {"hidden": 1}


def test_a_silence_has_a_time_of_its_own(desk: Desk) -> None:
    starts, ends = "2024-12-10T09:55:46+02:00", "2024-12-10T08:55:46.250Z"
    made = ok(make(desk, {"severity": "high"}, starts=starts, ends=ends), 201)
    assert (made["starts"], made["ends"]) == (
        "2024-12-10T07:55:46.000Z",
        "2024-12-10T08:55:46.250Z",
    )
    told = []
    for after_ms, heard in ((0, True), (HOUR_MS, False), (HOUR_MS + 250, True)):
        desk.clock.advance(after_ms)
        id_ = desk.detect(f"c{after_ms}")
        desk.work()
        told += [id_] if heard else []
    assert [one["detection_id"] for one in desk.get("deliveries")["items"]] == told


def test_one_that_is_ended_hides_nothing_more(desk: Desk) -> None:
    made = ok(make(desk, {"tags": "fraud"}), 201)["id"]
    desk.clock.advance(1_000)
    ended = ok(desk.ask(f"silences/{made}:end"))
    assert ended["ends"] == "2024-12-10T06:55:47.000Z"
    desk.detect("c1")
    desk.work()
    assert len(desk.get("deliveries")["items"]) == 1
    document = problem(desk.ask(f"silences/{made}:end"), 409, "not-possible")
    assert document["detail"] == "the silence is over"


def test_silences_are_listed_by_whether_they_are_over(desk: Desk) -> None:
    made = [ok(make(desk, {"rule": f"r{number}"}), 201)["id"] for number in range(4)]
    ok(desk.ask(f"silences/{made[1]}:end"))

    def listed(**parameters: object) -> list[str]:
        return [one["id"] for one in desk.get("silences", **parameters)["items"]]

    assert listed() == made
    assert listed(over=True) == [made[1]]
    assert listed(over=False) == [made[0], made[2], made[3]]
    page = desk.get("silences", limit=3)
    assert page["more"] and listed(cursor=page["next"]) == [made[3]]
    desk.clock.advance(HOUR_MS)
    assert listed(over=True) == made


def test_the_preview_shows_what_would_be_hidden_and_hides_nothing(desk: Desk) -> None:
    alert = desk.open("c1")
    desk.detect("c1")
    desk.open("c1", rule="quiet")
    over = desk.open("c2")
    ok(desk.act(over, "resolve", disposition="benign"))
    found = ok(desk.post("silences:preview", match={"rule": ["card_testing", "other"]}))
    assert found == {
        "alerts": [{"id": alert, "title": "Card c1", "state": "open"}],
        "detections": 3,
        "looked_at": 4,
    }
    assert ok(desk.post("silences:preview", match={"tags": "fraud"}))["detections"] == 4
    assert ok(desk.post("silences:preview", match={"severity": "low"}))["detections"] == 0
    assert desk.get("silences")["items"] == []


@pytest.mark.parametrize(
    ("match", "times", "reason"),
    [
        ({}, {}, "says what it hides"),
        ({"rule": []}, {}, "says what it hides"),
        ({"rule": "r"}, {"ends": "2024-12-10T06:55:46Z"}, "in the future"),
        ({"rule": "r"}, {"starts": "2024-12-10T08:00:00Z"}, "after it starts"),
        ({"rule": "r"}, {"ends": "2026-12-10T06:55:46Z"}, "at most 366 days"),
        ({"rule": "r"}, {"starts": "0001-01-01T00:00:00+23:59"}, "at most 366 days"),
        (
            {"rule": "r"},
            {"starts": "9999-12-31T00:00:00Z", "ends": "9999-12-31T23:59:59-23:59"},
            "starts within 366 days",
        ),
    ],
)
def test_one_that_makes_no_sense_is_refused_with_a_reason(
    desk: Desk, match: dict[str, object], times: dict[str, object], reason: str
) -> None:
    document = problem(make(desk, match, **times), 409, "not-possible")
    assert reason in document["detail"]
    assert desk.get("silences")["items"] == []


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"match": {"host": "h"}}, "match"),
        ({"match": {SENT: SENT}}, "match"),
        ({"match": {"rule": 3}}, "match.rule"),
        ({"match": {"rule": ""}}, "match.rule"),
        ({"match": {"rule": SENT + "\n"}}, "match.rule"),
        ({"match": {"rule": "*a" * (alert_limits.PATTERN_STARS_MAX + 1)}}, "match.rule"),
        ({"match": {"rule": ["r"] * (alert_limits.PATTERNS_MAX + 1)}}, "match.rule"),
        ({"match": {"key": {SENT: 3}}}, "match.key"),
        ({"match": {"key": {SENT: [""]}}}, "match.key"),
        ({"match": {"key": SENT}}, "match.key"),
        ({"match": SENT}, "match"),
        ({"by": ""}, "by"),
        ({"by": "a\x00b"}, "by"),
        ({"comment": ""}, "comment"),
        ({"comment": "x" * (alert_limits.COMMENT_CHARACTERS_MAX + 1)}, "comment"),
        ({"comment": SENT + "\x07"}, "comment"),
        ({"ends": None}, "ends"),
        ({"ends": 10**30}, "ends"),
        ({"ends": "in an hour"}, "ends"),
        ({"ends": "2024-12-10T07:55:46"}, "ends"),
        ({"starts": 1.5}, "starts"),
        ({SENT: SENT}, "body"),
    ],
)
def test_a_body_that_will_not_do_is_refused_with_the_member(
    desk: Desk, changes: dict[str, object], parameter: str
) -> None:
    answer = make(desk, **{"match": {"rule": "r"}} | changes)
    errors = problem(answer, 422, "invalid-parameters")["errors"]
    assert {one["parameter"] for one in errors} == {parameter}
    assert SENT not in answer.text
    assert desk.get("silences")["items"] == []


def test_an_end_has_to_be_said(desk: Desk) -> None:
    answer = desk.post("silences", match={"rule": "r"}, by="ada", comment="for ever")
    (error,) = problem(answer, 422, "invalid-parameters")["errors"]
    assert error["parameter"] == "ends"


def test_patterns_with_many_stars_and_brackets_take_no_time(desk: Desk) -> None:
    desk.open("a" * 2_000)
    stars = "a*" * alert_limits.PATTERN_STARS_MAX + "b"
    for pattern in (stars, "[z-a]", "[", "[!]", "\\", "(?:", "*" * alert_limits.PATTERN_STARS_MAX):
        found = ok(desk.post("silences:preview", match={"key": {"card_id": pattern}}))
        assert len(found["alerts"]) == (not pattern.strip("*"))


@pytest.mark.parametrize("id_", ["nothing", "%00", "a:b", "é", "x" * 2_000])
def test_a_silence_that_is_not_there_is_not_found(desk: Desk, id_: str) -> None:
    problem(desk.api.client.get(f"/api/v1/silences/{id_}"), 404, "not-found")
    problem(desk.ask(f"silences/{id_}:end"), 404, "not-found")


def test_a_body_that_is_too_large_is_refused(api: Api, desk: Desk) -> None:
    content = b" " * (limits.ACTION_BODY_BYTES_MAX + 1)
    for path in ("silences", "silences:preview", "silences/x:end"):
        answer = api.client.post(
            f"/api/v1/{path}", content=content, headers={"content-type": "application/json"}
        )
        problem(answer, 413, "body-too-large")


def test_a_page_of_another_site_changes_nothing(api: Api, desk: Desk) -> None:
    made = ok(make(desk, {"rule": "r"}), 201)["id"]
    path = f"/api/v1/silences/{made}:end"
    for origin in ("https://evil.example", "null", "http://localhost.evil.example:80", ""):
        problem(api.client.post(path, headers={"origin": origin}), 403, "cross-site")
        assert api.client.get("/api/v1/silences", headers={"origin": origin}).status_code == 200
    for origin in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"):
        answer = api.client.post(
            "/api/v1/silences:preview", json={"match": {}}, headers={"origin": origin}
        )
        assert answer.status_code == 200
    assert desk.get(f"silences/{made}")["ends"] == "2024-12-10T07:55:46.000Z"
    assert desk.clock.now_ms() == NOW_MS
