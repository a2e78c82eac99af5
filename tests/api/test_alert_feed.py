"""Alerts as they happen: server-sent events, where a client goes on, and counts over time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from alert_desk import HOUR_MS, Desk, ok
from api_checks import problem

from alerts import limits as alert_limits
from api import limits


class Event(NamedTuple):
    kind: str
    id: str
    data: Any


@contextmanager
def listening(desk: Desk, last_id: str | None = None) -> Iterator[Iterator[Event]]:
    headers = {} if last_id is None else {"last-event-id": last_id}
    with desk.api.client.stream("GET", "/api/v1/alerts/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    said: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            said[name] = value
        elif "event" in said:
            yield Event(said["event"], said["id"], json.loads(said["data"]))
            said = {}


def test_new_and_changed_alerts_are_told_as_the_listing_has_them(desk: Desk) -> None:
    old = desk.open("old")
    with listening(desk) as heard:
        assert next(heard).kind == "ready"
        new = desk.open("new")
        opened = next(heard)
        assert (opened.kind, opened.data["id"], opened.data["title"]) == ("opened", new, "Card new")
        changed_alert = ok(desk.act(old, "acknowledge"))
        changed = next(heard)
        assert (changed.kind, changed.data) == ("changed", changed_alert)
        desk.detect("old")
        desk.work()
        assert next(heard).data["detections"] == 2
        ok(desk.act(old, "resolve", disposition="benign"))
        over = next(heard)
        assert (over.data["state"], over.data["disposition"]) == ("resolved", "benign")
        ok(desk.act(old, "reopen"))
        assert next(heard).data["state"] == "open"


def test_who_was_cut_off_hears_what_was_missed_once(desk: Desk) -> None:
    with listening(desk) as heard:
        next(heard)
        desk.open("first")
        last = next(heard).id
    missed = [desk.open("second"), desk.open("third")]
    with listening(desk, last) as heard:
        assert next(heard) == Event("ready", last, {})
        assert [next(heard).data["id"] for _ in missed] == missed
        assert desk.open("fourth") == next(heard).data["id"]


@pytest.mark.parametrize("last_id", ["0badcafe-3", "x", "-", "9" * 100])
def test_who_comes_back_from_elsewhere_is_told_to_read_anew(desk: Desk, last_id: str) -> None:
    desk.open("before")
    with listening(desk, last_id) as heard:
        assert next(heard).kind == "reset"
        assert desk.open("after") == next(heard).data["id"]


def test_who_missed_more_than_is_kept_is_told_to_read_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(desk) as heard:
        last = next(heard).id
    for number in range(3):
        desk.detect(f"c{number}")
    desk.work()
    monkeypatch.setattr(alert_limits, "FEED_CHANGES_KEPT", 2)
    desk.api.state.__post_init__()  # a feed that keeps two
    feed = desk.api.state.alert_feed
    assert feed.last() == 0
    for number in range(3, 6):
        desk.detect(f"c{number}")
    desk.work()
    with listening(desk, last) as heard:  # its number is 0: three changes ago
        assert next(heard).kind == "ready"
        assert next(heard).kind == "reset"


def test_there_are_so_many_streams_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 1)
    with listening(desk) as heard:
        next(heard)
        problem(desk.api.client.get("/api/v1/alerts/events"), 503, "unavailable")


def test_a_sign_of_life_comes_when_nothing_happens(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_HEARTBEAT_SECONDS", 0.5)
    with desk.api.client.stream("GET", "/api/v1/alerts/events") as answer:
        lines = answer.iter_lines()
        while (line := next(lines)) != ": still here":
            assert line == "" or line.startswith(("event", "data", "id")), line


def test_streams_end_when_the_server_stops(desk: Desk) -> None:
    with listening(desk) as heard:
        next(heard)
        desk.api.state.streams.close()
        with pytest.raises(StopIteration):
            next(heard)


def test_alerts_are_counted_by_when_they_were_opened(desk: Desk) -> None:
    desk.open("c1")
    desk.open("c2", rule="quiet")
    desk.clock.advance(2 * HOUR_MS)
    desk.open("c3")
    by_rule = desk.get("alerts/opened", hours=4, bars=4, by="rule")
    assert by_rule["opened"] == {"card_testing": [0, 1, 0, 1], "quiet": [0, 1, 0, 0]}
    assert by_rule["width_ms"] == HOUR_MS
    assert desk.get("alerts/opened", hours=1, bars=2)["opened"] == {"high": [0, 1]}
    problem(desk.api.client.get("/api/v1/alerts/opened?bars=9999"), 422, "invalid-parameters")


def test_listings_begin_with_the_newest_when_asked(desk: Desk) -> None:
    for number in range(3):
        desk.detect(f"c{number}")
    desk.work()
    for path, name in (("alerts", "title"), ("detections", "id"), ("deliveries", "id")):
        oldest = [one[name] for one in desk.get(path)["items"]]
        first = desk.get(path, order="newest", limit=2)
        rest = desk.get(path, order="newest", limit=2, cursor=first["next"])
        newest = [one[name] for one in first["items"] + rest["items"]]
        assert (newest, first["more"], rest["more"]) == (oldest[::-1], True, False)


def test_an_answer_that_is_left_makes_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 1)
    for _ in range(5):
        listen_when_free(desk)


def listen_when_free(desk: Desk) -> None:
    """The server notices that a client is gone at the next write or read of its connection."""
    for _ in range(200):
        with desk.api.client.stream("GET", "/api/v1/alerts/events") as answer:
            if answer.status_code == 200:
                return
    raise AssertionError("the stream was never free")
