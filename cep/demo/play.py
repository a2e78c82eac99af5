"""Plays a scenario into a log at the pace of a clock, as producers would.

Event times are true: at speed 1 an event is appended when it happens.  Faster, the scenario is
squeezed, and begins so far in the past that its last event is not in the future.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cep.demo.scenario import Happening, Scenario
from cep.log.publishing import TopicLog

TICK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """Second s of the scenario has event time `event_start + s`, wall time `wall_start + s/speed`.

    Both starts are in seconds since the epoch.
    """

    event_start: float
    wall_start: float
    speed: float

    @staticmethod
    def starting_now(seconds: int, speed: float) -> Pace:
        now = time.time()
        return Pace(now - seconds * (1 - 1 / speed), now, speed)

    def second_now(self) -> float:
        return (time.time() - self.wall_start) * self.speed

    def wall_time(self, event_time: float) -> float:
        """When an event of that time was appended."""
        return self.wall_start + (event_time - self.event_start) / self.speed


def play(scenario: Scenario, pace: Pace, log: TopicLog, idle: Callable[[], None]) -> None:
    """Appends all events as they fall due; `idle` is called at each tick."""
    happenings, done = scenario.happenings, 0
    while done < len(happenings):
        second = pace.second_now()
        due = done
        while due < len(happenings) and happenings[due].second <= second:
            due += 1
        if due > done:
            lines = [_line(happening, pace) for happening in happenings[done:due]]
            log.publish(b"".join(lines))
            done = due
        idle()
        time.sleep(TICK_SECONDS)


def _line(happening: Happening, pace: Pace) -> bytes:
    moment = datetime.fromtimestamp(pace.event_start + happening.second, UTC)
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        json.dumps({"type": happening.value["type"], "ts": stamp, **happening.value}).encode()
        + b"\n"
    )
