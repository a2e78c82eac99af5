"""Runs a scenario to its end, through any number of crashes, and tells what is left of it.

    outcome_of(scenario, …, crashes) = outcome_of(scenario)   whatever the crashes

Detections, resolutions, dead letters, checkpoint and deliveries are compared row by row, messages
by the promise: at least once, always the same bytes, first ones in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sim_scenarios import Scenario
from simulated_process import Process
from simulated_world import Crash, Effects, Message, World

from alerts.reasons import Reason

_TABLES = {
    "detection": "select * from detection order by sequence",
    "resolution": "select * from resolution order by sequence",
    # When a client appended is its own affair; why an event was quarantined tells it.
    "dead_letter": "select partition, position, raw, case when reason like 'quarantined: %'"
    " then 'quarantined' else reason end from dead_letter order by partition, position",
    "late": "select * from late order by partition, position",
    # How far back the pages go that are there depends on when they were written last.
    "checkpoint": "select partition, position, watermark_ms, rules, counters, source"
    " from checkpoint",
    "outbox": "select * from outbox",
    "alert": "select id, rule, key, title, state, first_at_ms, last_at_ms, detections from alert"
    " order by id",
    "alert_detection": "select * from alert_detection order by detection_id",
    "deployment": "select number, what, texts, modes, policy from deployment order by number",
    "activation": "select * from activation order by deployment",
    "log": "select position, count, data, tick_ms from log_chunk order by position",
}
# Which message a receiver happens to get first decides which of these a delivery has.
_NOT_TAKEN = {"400", "410", "429", "500", "503", "down"}
_OF_ITS_TIME = re.compile(rb"^Date:|^opened:|>opened<|^detections so far:|>detections so far<")
_ENDED = {str(Reason.GONE), str(Reason.DESTINATION_DISABLED)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`messages` are not compared as they are, see `complaints_about`."""

    tables: dict[str, list[tuple[Any, ...]]]
    deliveries: dict[str, tuple[Any, ...]]
    messages: list[Message]
    effects: list[Effects]
    rows: Callable[[str], list[tuple[Any, ...]]]  # of the database as it was left


def run(
    scenario: Scenario, *, seed: int = 0, crashes: Iterable[int] = (), down_ms: int = 0
) -> Outcome:
    """`crashes`: the place at which the first process dies, the next one, and so on."""
    world = World(seed, scenario.rules, scenario.plans)
    world.rows = {name: list(rows) for name, rows in scenario.rows.items()}
    lives: list[Effects] = []
    places = iter(crashes)
    while world.done < len(scenario.steps) or not lives or lives[-1].dead:
        lives.append(Effects(next(places, None)))
        try:
            Process(world, scenario, lives[-1]).run()
        except Crash:
            world.clock.advance(down_ms)
    rows = world.disk.rows
    return Outcome(
        {name: rows(query) for name, query in _TABLES.items()},
        {row[0]: row[1:] for row in map(_delivery, rows(_DELIVERIES))},
        world.receivers.messages,
        lives,
        rows,
    )


_DELIVERIES = (
    "select id, detection_id, destination, sequence, state, thread, number, reason, channel, body"
    " from delivery"
)


def _delivery(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *rest, reason, channel, body = row
    return (*rest, "ended" if reason in _ENDED else reason, channel, _undated(channel, body))


def _undated(channel: str | None, body: bytes | None) -> bytes | None:
    """A mail says when it was made, and how its alert was then, which differs between runs; never
    within one."""
    if channel != "smtp" or body is None:
        return body
    return b"\n".join(one for one in body.split(b"\n") if not _OF_ITS_TIME.search(one))


# ---------------------------------------------------------------------------------- comparison


def complaints_about(found: Outcome, calm: Outcome) -> list[str]:
    """What differs from the undisturbed run, or breaks a promise by itself."""
    said = [
        f"{name} differs: {_difference(found.tables[name], calm.tables[name])}"
        for name in calm.tables
        if found.tables[name] != calm.tables[name]
    ]
    if found.deliveries != calm.deliveries:
        rows = ([(id_, *row) for id_, row in one.deliveries.items()] for one in (found, calm))
        said.append(f"deliveries differ: {_difference(*map(sorted, rows))}")
    return said + broken_promises(found)


def _difference(found: list[tuple[Any, ...]], calm: list[tuple[Any, ...]]) -> str:
    extra = [row for row in found if row not in calm]
    missing = [row for row in calm if row not in found]
    return f"{len(extra)} extra {extra[:1]}, {len(missing)} missing {missing[:1]}"


def broken_promises(found: Outcome) -> list[str]:
    """At least once, the same bytes each time, first tries in the order of each alert."""
    sent: dict[tuple[str, str], list[Message]] = {}
    for message in found.messages:
        sent.setdefault((message.destination, message.id), []).append(message)
    first_tries: dict[tuple[str, str], list[int]] = {}
    said = []
    for key, tries in sent.items():
        delivery = found.deliveries.get(key[1]) or _delivery_of_mail(found, key[1])
        if delivery is None:
            said.append(f"{key} is no delivery")
            continue
        _, destination, _, _, thread, number, *_ = delivery
        first_tries.setdefault((destination, thread), []).append(number)
        if len({message.body for message in tries}) > 1:
            said.append(f"{key} was sent with several bodies")
        if delivery[3] == "delivered" and all(m.answer in _NOT_TAKEN for m in tries):
            said.append(f"{key} was never taken")
    for id_, (_, destination, _, state, *_) in found.deliveries.items():
        if state not in ("delivered", "dead"):
            said.append(f"{id_} is still {state}")
        if state == "delivered" and destination != "mail" and (destination, id_) not in sent:
            said.append(f"{id_} was never sent")
    said += [
        f"{name}: first tries in the order {order}"
        for name, order in first_tries.items()
        if order != sorted(order)
    ]
    return said + _unbalanced(found)


def _delivery_of_mail(found: Outcome, message_id: str) -> tuple[Any, ...] | None:
    line = f"\nMessage-ID: {message_id}".encode()
    rows = found.deliveries.values()
    return next((row for row in rows if row[1] == "mail" and line in (row[-1] or b"")), None)


def _unbalanced(found: Outcome) -> list[str]:
    """received = processed + late + dead_lettered + quarantined + ignored."""
    ((*_, counters, _),) = found.tables["checkpoint"]
    count = json.loads(counters)
    parts = ("processed", "late", "dead_lettered", "quarantined", "ignored")
    balanced = sum(count[part] for part in parts) == count["received"]
    return [] if balanced else [f"the counters do not add up: {counters}"]
