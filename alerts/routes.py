"""Routing policies: which alerts go where, how often people hear of them, and who comes next.

    [[routes]]
    name = "night"
    match = { severity = ["high", "critical"], tags = "fraud" }
    to = ["oncall"]
    messages = "each"             # or "first": of an alert, only its first detection is told
    batch = "30s"                 # tell together what comes within so long
    remind_every = "4h"           # while the alert is open
    escalate = [{ after = "15m", to = ["manager"] }]     # while nobody has acknowledged it
    resolve_after = "24h"         # without a new detection

The first route that fits counts.  Where a rule says `notify`, that decides where its alerts go, and
the route decides the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from alerts import limits
from alerts.matching import Facts, Matcher
from dsl.strings import duration_ms

_DURATION = re.compile(r"(\d{1,9}(ms|[smhdw]))+")


def _milliseconds(value: object) -> object:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError('not a duration such as "15m" or "1h30m"')
    return duration_ms(value)


DurationMs = Annotated[
    int, BeforeValidator(_milliseconds), Field(ge=1_000, le=limits.ROUTE_DURATION_MAX_MS)
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Storm(_Model):
    """More than `messages` within `per`: what comes then is told together, once `per` is over."""

    messages: int = Field(ge=1, le=limits.STORM_MESSAGES_MAX)
    per: DurationMs


class Escalation(_Model):
    """Whom to tell when nobody has acknowledged the alert `after` it was opened."""

    after: DurationMs
    to: tuple[str, ...] = Field(min_length=1)


def _in_order(steps: tuple[Escalation, ...]) -> tuple[Escalation, ...]:
    if any(later.after <= earlier.after for earlier, later in pairwise(steps)):
        raise ValueError("each step comes later than the one before")
    return steps


class Route(_Model):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=limits.NAME_CHARACTERS_MAX)
    match: Matcher = Matcher()
    to: tuple[str, ...] = ()  # none: the destinations in `default`
    messages: Literal["each", "first"] = "each"
    batch: DurationMs | None = None
    remind_every: DurationMs | None = None
    escalate: Annotated[tuple[Escalation, ...], AfterValidator(_in_order)] = ()
    resolve_after: DurationMs | None = None

    def destinations(self) -> set[str]:
        """The names it mentions."""
        return {*self.to, *(name for step in self.escalate for name in step.to)}


NO_ROUTE = Route.model_construct(name="")
"""For alerts that no route fits: each detection is told at once, and there are no timers."""


def route_of(routes: Sequence[Route], facts: Facts) -> Route:
    return next((route for route in routes if route.match.fits(facts)), NO_ROUTE)


def route_named(routes: Sequence[Route], name: str | None) -> Route:
    """The route an alert was given; `NO_ROUTE` if the configuration has it no longer."""
    return next((route for route in routes if route.name == name), NO_ROUTE)
