"""The SSH pack's detections, recomputed by naive loops over NDJSON: an oracle for the engine.

It shares no code with the engine: lists, loops and comparisons only.  Each answer is (rule, time
in ms, positions of the bound events); the time of a deadline is the deadline.

The loops follow one reading of every rule: for each key, every event of the first step begins an
attempt; an attempt takes each next event that fits what it waits for; the earliest event that
completes an attempt reports the oldest attempt it completes, and all attempts of that key begun up
to then are dropped (skip past last).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

Event = dict[str, Any]
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Found(NamedTuple):
    rule: str
    at_ms: int
    positions: tuple[int, ...]


def read(ndjson: bytes) -> list[Event]:
    """The events in (time, position) order, with `at` (ms) and `position` added."""
    events = []
    for position, line in enumerate(ndjson.splitlines()):
        event = json.loads(line)
        stamp = datetime.fromisoformat(event["ts"].replace("Z", "+00:00"))
        events.append({**event, "at": round(stamp.timestamp() * 1000), "position": position})
    return sorted(events, key=lambda event: (event["at"], event["position"]))


def by_key(events: Iterable[Event], key: str, types: set[str]) -> Iterator[list[Event]]:
    groups: dict[object, list[Event]] = {}
    for event in events:
        if event["type"] in types and event.get(key) is not None:
            groups.setdefault(event[key], []).append(event)
    yield from groups.values()


def detections(events: list[Event]) -> list[Found]:
    found = [
        *_brute_force(events),
        *_success_after_failures(events),
        *_user_sweep(events),
        *_attempts_exhausted(events),
        *_masked_origin_guessing(events),
        *_scan_then_guess(events),
        *_session_left_open(events),
    ]
    return sorted(found)


def _earliest(
    rule: str, group: list[Event], complete: Callable[[list[Event]], list[Event] | None]
) -> Iterator[Found]:
    """`complete` gets all events from an attempt's first to the current one, says what it bound."""
    floor = 0
    for now in range(len(group)):
        for begin in range(floor, now + 1):
            bound = complete(group[begin : now + 1])
            if bound is not None:
                positions = tuple(event["position"] for event in bound)
                yield Found(rule, group[now]["at"], positions)
                floor = now + 1
                break


def _span(bound: list[Event]) -> int:
    return int(bound[-1]["at"] - bound[0]["at"])


def _brute_force(events: list[Event]) -> Iterator[Found]:
    def complete(events: list[Event]) -> list[Event] | None:
        return events if len(events) == 10 and _span(events) <= MINUTE_MS else None

    for group in by_key(events, "ip", {"LoginFailed"}):
        yield from _earliest("ssh_brute_force", group, complete)


def _user_sweep(events: list[Event]) -> Iterator[Found]:
    def complete(events: list[Event]) -> list[Event] | None:
        users = {event["user"] for event in events}
        wide = len(events) >= 5 and len(users) >= 5
        return events if wide and _span(events) <= 10 * MINUTE_MS else None

    for group in by_key(events, "ip", {"InvalidUser"}):
        yield from _earliest("ssh_user_sweep", group, complete)


def _failures_then(least: int, last: str, within_ms: int) -> Callable[..., list[Event] | None]:
    """`least` or more failures, then `last`; an attempt begins with a failure."""

    def complete(events: list[Event]) -> list[Event] | None:
        *before, end = events
        fails = [event for event in before if event["type"] == "LoginFailed"]
        if end["type"] != last or len(fails) < least or events[0]["type"] != "LoginFailed":
            return None
        bound = [*fails, end]
        return bound if _span(bound) <= within_ms else None

    return complete


def _success_after_failures(events: list[Event]) -> Iterator[Found]:
    complete = _failures_then(3, "LoginOk", 10 * MINUTE_MS)
    for group in by_key(events, "ip", {"LoginFailed", "LoginOk"}):
        yield from _earliest("ssh_success_after_failures", group, complete)


def _attempts_exhausted(events: list[Event]) -> Iterator[Found]:
    complete = _failures_then(5, "TooManyFailures", 2 * MINUTE_MS)
    for group in by_key(events, "pid", {"LoginFailed", "TooManyFailures"}):
        yield from _earliest("ssh_attempts_exhausted", group, complete)


def _masked_origin_guessing(events: list[Event]) -> Iterator[Found]:
    def complete(events: list[Event]) -> list[Event] | None:
        if events[0]["type"] != "ReverseMappingFailed":
            return None
        bound = [events[0]]
        for event in events[1:]:
            if len(bound) == 3 or event["at"] - bound[-1]["at"] > MINUTE_MS // 2:
                return None
            wanted = event["type"] == "InvalidUser"
            if len(bound) == 2:
                wanted = event["type"] == "LoginFailed" and not event["known"]
            if wanted:
                bound.append(event)
        fits = len(bound) == 3 and bound[-1] is events[-1] and _span(bound) <= MINUTE_MS
        return bound if fits else None

    types = {"ReverseMappingFailed", "InvalidUser", "LoginFailed"}
    for group in by_key(events, "ip", types):
        yield from _earliest("ssh_masked_origin_guessing", group, complete)


def _scan_then_guess(events: list[Event]) -> Iterator[Found]:
    def complete(events: list[Event]) -> list[Event] | None:
        scan, *rest = events
        fails = [event for event in rest if event["type"] == "LoginFailed"]
        fits = scan["type"] == "NoIdentification" and len(fails) == 3 and fails[-1] is events[-1]
        return [scan, *fails] if fits and _span([scan, *fails]) <= HOUR_MS else None

    for group in by_key(events, "ip", {"NoIdentification", "LoginFailed"}):
        yield from _earliest("ssh_scan_then_guess", group, complete)


def _session_left_open(events: list[Event]) -> Iterator[Found]:
    """A deadline is decided when time has passed it, before any later event of the key."""
    wait_ms = 8 * HOUR_MS
    for group in by_key(events, "pid", {"SessionOpened", "SessionClosed"}):
        pending: list[Event] = []
        for now in [*group, None]:
            due = [open_ for open_ in pending if now is None or open_["at"] + wait_ms < now["at"]]
            if due:
                # The oldest deadline fires and drops every attempt begun by then; the sessions
                # opened between it and its deadline are attempts begun by then too.
                deadline = due[0]["at"] + wait_ms
                yield Found("ssh_session_left_open", deadline, (due[0]["position"],))
                pending = []
            if now is None:
                break
            pending = [] if now["type"] == "SessionClosed" else [*pending, now]


SUPPRESS_MS = {
    "ssh_brute_force": HOUR_MS,
    "ssh_user_sweep": HOUR_MS,
    "ssh_masked_origin_guessing": HOUR_MS,
    "ssh_scan_then_guess": 6 * HOUR_MS,
}


def unsuppressed(found: list[Found], key_of: dict[int, object]) -> list[Found]:
    """Those not hidden by an earlier shown one of the same rule and key; `key_of` by position."""
    shown: list[Found] = []
    last: dict[tuple[str, object], int] = {}
    for one in sorted(found, key=lambda one: (one.at_ms, one.positions[-1], one.rule)):
        span = SUPPRESS_MS.get(one.rule)
        key = (one.rule, key_of[one.positions[0]])
        if span is not None and key in last and one.at_ms - last[key] <= span:
            continue
        last[key] = one.at_ms
        shown.append(one)
    return sorted(shown)
