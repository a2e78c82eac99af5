"""Alerts by requests: the inbox, an alert with its detections and history, and every action."""

from __future__ import annotations

from typing import Any

import pytest
from alert_desk import HOUR_MS, Desk, configured, ok, webhook
from api_checks import Api, problem

from alerts import limits as alert_limits
from api import limits

SENT = "sent-by-the-client"


def titles(desk: Desk, **parameters: object) -> list[str]:
    return [one["title"] for one in desk.get("alerts", **parameters)["items"]]


def test_detections_of_a_rule_and_key_are_one_alert(desk: Desk) -> None:
    first, second, other = desk.detect("c1"), desk.detect("c1"), desk.detect("c2")
    desk.work()
    one, two = desk.get("alerts")["items"]
    assert one == {
        "id": one["id"],
        "rule": "card_testing",
        "severity": "high",
        "key": {"card_id": "c1"},
        "title": "Card c1",
        "state": "open",
        "disposition": None,
        "assignee": None,
        "detections": 2,
        "first_at": "2024-12-10T06:55:46.001Z",
        "last_at": "2024-12-10T06:55:46.002Z",
        "opened": "2024-12-10T06:55:46.000Z",
        "resolved": None,
        "snoozed_until": None,
        "route": None,
        "escalations": 0,
        "version": 1,
    }
    found = desk.get(f"alerts/{one['id']}/detections")["items"]
    assert [item["id"] for item in found] == [first, second]
    assert [item["id"] for item in desk.get(f"alerts/{two['id']}/detections")["items"]] == [other]
    entry = {"number": 1, "at": one["opened"], "by": "rule", "action": "opened", "detail": first}
    assert desk.get(f"alerts/{one['id']}") == one | {"history": [entry]}


def test_the_inbox_comes_page_by_page_and_goes_on(desk: Desk) -> None:
    for number in range(5):
        desk.detect(f"c{number}")
    desk.work()
    seen, cursor = [], {}
    for expected in (2, 2, 1):
        answer = desk.get("alerts", limit=2, **cursor)
        seen += [one["title"] for one in answer["items"]]
        assert (len(answer["items"]), answer["more"]) == (expected, expected == 2)
        cursor = {"cursor": answer["next"]}
    assert seen == [f"Card c{number}" for number in range(5)]
    assert desk.get("alerts", **cursor)["items"] == []
    desk.open("c9")
    assert titles(desk, **cursor) == ["Card c9"]


def test_the_inbox_is_asked_by_state_rule_and_assignee(desk: Desk) -> None:
    open_, mine, over = desk.open("open"), desk.open("mine"), desk.open("over")
    desk.open("other", rule="quiet")
    ok(desk.act(mine, "acknowledge"))
    ok(desk.act(over, "resolve", disposition="benign"))
    assert titles(desk, state="open", rule="card_testing") == ["Card open"]
    assert titles(desk, state="acknowledged", assignee="ada") == ["Card mine"]
    assert titles(desk, state="resolved") == ["Card over"]
    assert titles(desk, rule="quiet") == ["Card other"]
    assert titles(desk, assignee="grace") == []
    assert desk.get(f"alerts/{open_}")["state"] == "open"


def test_suppressed_and_hidden_detections_stay_with_their_alert(desk: Desk) -> None:
    first = desk.detect("c1")
    desk.work()
    alert = desk.get("alerts")["items"][0]["id"]
    ok(desk.act(alert, "snooze", until="2024-12-10T08:00:00Z"))
    hidden = desk.detect("c1")
    other = desk.detect("c2")
    suppressed = desk.detect("c1", suppressed_by=first)
    desk.work()
    items = desk.get(f"alerts/{alert}/detections")["items"]
    assert [(one["id"], one["hidden_by"], one["suppressed_by"]) for one in items] == [
        (first, None, None),
        (hidden, "snooze", None),
        (suppressed, None, first),
    ]
    assert other not in [one["id"] for one in items]
    page = desk.get(f"alerts/{alert}/detections", limit=2)
    assert page["more"]
    (last,) = desk.get(f"alerts/{alert}/detections", limit=2, cursor=page["next"])["items"]
    assert last["id"] == suppressed


# ------------------------------------------------------------------------------------- actions


def test_every_action_leaves_its_entry_and_a_new_version(desk: Desk) -> None:
    alert = desk.open()
    steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("acknowledge", {}, {"state": "acknowledged", "assignee": "ada"}),
        ("assign", {"to": "grace"}, {"assignee": "grace"}),
        ("assign", {"to": None}, {"assignee": None}),
        ("comment", {"text": "called them\nagain 👩‍💻"}, {"state": "acknowledged"}),
        (
            "snooze",
            {"until": "2024-12-10T09:00:00.5+01:00"},
            {"snoozed_until": "2024-12-10T08:00:00.500Z"},
        ),
        (
            "resolve",
            {"disposition": "false_positive", "text": "own card"},
            {
                "state": "resolved",
                "disposition": "false_positive",
                "snoozed_until": None,
                "resolved": "2024-12-10T06:55:46.000Z",
            },
        ),
        ("reopen", {}, {"state": "open", "disposition": None, "resolved": None}),
    ]
    for version, (verb, body, expected) in enumerate(steps, 2):
        etag = desk.api.client.get(f"/api/v1/alerts/{alert}").headers["etag"]
        answer = desk.act(alert, verb, etag, **body)
        after = ok(answer)
        assert answer.headers["etag"] == f'"{version}"'
        assert after == after | expected | {"id": alert, "version": version}
        assert desk.get(f"alerts/{alert}") == after | {
            "history": desk.get(f"alerts/{alert}")["history"]
        }
    entries = desk.get(f"alerts/{alert}")["history"][1:]
    assert [(one["by"], one["action"], one["detail"]) for one in entries] == [
        ("ada", "acknowledged", ""),
        ("ada", "assigned", "grace"),
        ("ada", "assigned", "nobody"),
        ("ada", "commented", "called them\nagain 👩‍💻"),
        ("ada", "snoozed", "until 2024-12-10T08:00:00.500Z"),
        ("ada", "resolved", "false_positive: own card"),
        ("ada", "reopened", ""),
    ]


ACTIONS: list[tuple[str, dict[str, object]]] = [
    ("acknowledge", {}),
    ("assign", {"to": "grace"}),
    ("comment", {"text": "x"}),
    ("snooze", {"until": "2024-12-10T08:00:00Z"}),
    ("resolve", {"disposition": "benign"}),
    ("reopen", {}),
]


@pytest.mark.parametrize(("verb", "body"), ACTIONS)
def test_who_acts_says_from_which_version(desk: Desk, verb: str, body: dict[str, object]) -> None:
    alert = desk.open()
    if verb == "reopen":
        ok(desk.act(alert, "resolve", disposition="benign"))
    before = desk.api.client.get(f"/api/v1/alerts/{alert}").json()
    missing = problem(desk.act(alert, verb, None, **body), 428, "no-precondition")
    assert "GET /api/v1/alerts/{id}" in missing["detail"]
    for other in ('"77"', '"0"', 'W/"1"', '"1", "2"', "nonsense", '"-1"', '"9999999999999999999"'):
        problem(desk.act(alert, verb, other, **body), 412, "stale")
    assert desk.get(f"alerts/{alert}") == before
    ok(desk.act(alert, verb, f'"{before["version"]}"', **body))
    problem(desk.act(alert, verb, f'"{before["version"]}"', **body), 412, "stale")


def test_new_detections_do_not_make_a_version_stale(desk: Desk) -> None:
    alert = desk.open("c1")
    etag = desk.api.client.get(f"/api/v1/alerts/{alert}").headers["etag"]
    desk.detect("c1")
    desk.work()
    assert ok(desk.act(alert, "acknowledge", etag))["detections"] == 2


def test_what_cannot_be_done_is_refused_with_a_reason(desk: Desk) -> None:
    def refused(verb: str, **body: object) -> str:
        return str(problem(desk.act(alert, verb, **body), 409, "not-possible")["detail"])

    alert = desk.open("c1")
    assert refused("reopen") == "the alert is open"
    for until in ("2024-12-10T06:55:46Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"):
        assert "within 366 days" in refused("snooze", until=until)
    ok(desk.act(alert, "acknowledge"))
    assert refused("acknowledge") == "the alert is acknowledged"
    ok(desk.act(alert, "resolve", disposition="duplicate"))
    assert refused("acknowledge") == "the alert is resolved"
    assert refused("resolve", disposition="benign") == "the alert is resolved"
    assert refused("snooze", until="2024-12-10T08:00:00Z") == "the alert is resolved"
    later = desk.open("c1")
    assert later in refused("reopen")


@pytest.mark.parametrize(
    "id_", ["nothing", "%00", "%2e%2e", "a:b", "é", "%ff", "x" * 2_000, "'; DROP TABLE alert", "*"]
)
def test_an_alert_that_is_not_there_is_not_found(desk: Desk, id_: str) -> None:
    for path in (id_, f"{id_}/detections", f"{id_}/history"):
        problem(desk.api.client.get(f"/api/v1/alerts/{path}"), 404, "not-found")
    for verb, body in ACTIONS:
        problem(desk.act(id_, verb, **body), 404, "not-found")


def test_there_are_no_other_actions(desk: Desk) -> None:
    alert = desk.open()
    for path in (f"{alert}:delete", f"{alert}:", alert):
        problem(desk.post(f"alerts/{path}", "*", by="ada"), 405, "method-not-allowed")
    assert desk.get(f"alerts/{alert}")["version"] == 1


# ------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("verb", "body", "parameter"),
    [
        ("acknowledge", {"by": ""}, "by"),
        ("acknowledge", {"by": "  "}, "by"),
        ("acknowledge", {"by": "a\x00"}, "by"),
        ("acknowledge", {"by": "a\nb"}, "by"),
        ("acknowledge", {"by": 3}, "by"),
        ("acknowledge", {"by": "x" * (alert_limits.NAME_CHARACTERS_MAX + 1)}, "by"),
        ("acknowledge", {SENT: 1}, "body"),
        ("assign", {}, "to"),
        ("assign", {"to": ""}, "to"),
        ("assign", {"to": ["grace"]}, "to"),
        ("comment", {}, "text"),
        ("comment", {"text": ""}, "text"),
        ("comment", {"text": SENT + "\x00"}, "text"),
        ("comment", {"text": SENT + "\x1b[2J"}, "text"),
        ("comment", {"text": "x" * (alert_limits.COMMENT_CHARACTERS_MAX + 1)}, "text"),
        ("comment", {"text": {SENT: SENT}}, "text"),
        ("snooze", {"until": SENT}, "until"),
        ("snooze", {"until": "2024-12-10T08:00:00"}, "until"),
        ("snooze", {"until": "2024-12-10"}, "until"),
        ("snooze", {"until": "tomorrow"}, "until"),
        ("snooze", {"until": "1733817600"}, "until"),
        ("snooze", {"until": 1_733_817_600}, "until"),
        ("snooze", {"until": 10**400}, "until"),
        ("snooze", {"until": -1e300}, "until"),
        ("snooze", {"until": "9999-12-31T23:59:60Z"}, "until"),
        ("snooze", {"until": "0000-00-00T00:00:00Z"}, "until"),
        ("snooze", {"until": "99999999-12-10T08:00:00Z"}, "until"),
        ("resolve", {}, "disposition"),
        ("resolve", {"disposition": SENT}, "disposition"),
        ("resolve", {"disposition": "benign", "text": "\x00"}, "text"),
    ],
)
def test_a_body_that_will_not_do_is_refused_with_the_member(
    desk: Desk, verb: str, body: dict[str, object], parameter: str
) -> None:
    alert = desk.open()
    answer = desk.act(alert, verb, **body)
    errors = problem(answer, 422, "invalid-parameters")["errors"]
    assert [one["parameter"] for one in errors] == [parameter]
    assert all(one["reason"] for one in errors)
    assert SENT not in answer.text
    assert desk.get(f"alerts/{alert}")["version"] == 1


def test_times_at_the_ends_of_the_calendar_are_refused(desk: Desk) -> None:
    alert = desk.open()
    for until in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"):
        problem(desk.act(alert, "snooze", until=until), 409, "not-possible")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"by"',
        b"\xff\xfe",
        b'{"by": "ada"} x',
        b'{"by": %s}' % (b"9" * 5_000),
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_json_object_is_refused(api: Api, desk: Desk, content: bytes) -> None:
    alert = desk.open()
    headers = {"If-Match": "*", "content-type": "application/json"}
    path = f"/api/v1/alerts/{alert}:acknowledge"
    answer = api.client.post(path, content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert desk.get(f"alerts/{alert}")["version"] == 1


@pytest.mark.parametrize(
    ("member", "status", "kind"),
    [
        ("by", 422, "invalid-parameters"),
        ("text", 422, "invalid-parameters"),
        ("\\ud800", 400, "malformed-body"),
    ],
)
def test_half_a_character_is_refused(
    api: Api, desk: Desk, member: str, status: int, kind: str
) -> None:
    alert = desk.open()
    content = '{"by": "ada", "text": "x", "' + member + '": "\\ud800"}'
    headers = {"If-Match": "*", "content-type": "application/json"}
    path = f"/api/v1/alerts/{alert}:comment"
    problem(api.client.post(path, content=content, headers=headers), status, kind)


def test_a_body_of_another_type_is_refused(api: Api, desk: Desk) -> None:
    """A web page may send plain text anywhere without being asked for leave."""
    alert = desk.open()
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {"If-Match": "*"} | ({} if kind is None else {"content-type": kind})
        path = f"/api/v1/alerts/{alert}:acknowledge"
        answer = api.client.post(path, content=b'{"by": "ada"}', headers=headers)
        problem(answer, 400, "malformed-body")


def test_a_body_that_is_too_large_is_not_read(api: Api, desk: Desk) -> None:
    alert = desk.open()
    content = b'{"by": "ada", "text": "%s"}' % (b"x" * limits.ACTION_BODY_BYTES_MAX)
    headers = {"If-Match": "*", "content-type": "application/json"}
    path = f"/api/v1/alerts/{alert}:comment"
    problem(api.client.post(path, content=content, headers=headers), 413, "body-too-large")
    pieces = iter([content[:600_000], content[600_000:]])  # of no announced length
    problem(api.client.post(path, content=pieces, headers=headers), 413, "body-too-large")


@pytest.mark.parametrize(
    "parameters", [{"state": SENT}, {"limit": "0"}, {"cursor": SENT}, {"rule": "x" * 201}]
)
def test_bad_parameters_of_the_inbox_are_named(desk: Desk, parameters: dict[str, str]) -> None:
    answer = desk.api.client.get("/api/v1/alerts", params=parameters)
    document = problem(answer, 422, "invalid-parameters")
    assert [one["parameter"] for one in document["errors"]] == list(parameters)
    assert SENT not in answer.text


# ------------------------------------------------------------------------------------- history


def test_a_long_history_has_its_newest_entries_with_the_alert(desk: Desk) -> None:
    alert = desk.open()
    for number in range(limits.PAGE_ROWS_DEFAULT + 5):
        ok(desk.act(alert, "comment", text=f"n{number}"))
    shown = desk.get(f"alerts/{alert}")["history"]
    assert len(shown) == limits.PAGE_ROWS_DEFAULT
    assert shown[-1]["detail"] == f"n{limits.PAGE_ROWS_DEFAULT + 4}"
    first = desk.get(f"alerts/{alert}/history")
    rest = desk.get(f"alerts/{alert}/history", cursor=first["next"])
    numbers = [one["number"] for one in first["items"] + rest["items"]]
    assert numbers == list(range(1, limits.PAGE_ROWS_DEFAULT + 7))
    assert first["more"] and not rest["more"]


def test_time_and_routes_show_in_the_history(desk: Desk) -> None:
    route = {
        "name": "night",
        "remind_every": "1h",
        "escalate": [{"after": "2h", "to": ["desk"]}],
        "resolve_after": "3h",
    }
    desk.configure(configured(route, soc=webhook(), desk=webhook()))
    alert = desk.open()
    for _ in range(3):
        desk.work(HOUR_MS)
    found = desk.get(f"alerts/{alert}")
    assert (found["route"], found["escalations"], found["state"]) == ("night", 1, "resolved")
    entries = [(one["by"], one["action"], one["detail"]) for one in found["history"]]
    assert entries == [
        ("rule", "opened", f"{1:032x}"),
        ("route", "reminded", ""),
        ("route", "escalated", "desk"),
        ("route", "reminded", ""),
        ("route", "resolved", "no new detection for 3h"),
    ]
