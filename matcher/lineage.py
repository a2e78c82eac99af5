"""Where the derived events of one step come from: matches, and behind those records or deadlines.

The root of a derived event is the number of the record that, be it through other derived events,
led to it; a match that time decided is a root of its own, and has a negative number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from dsl.model import Path
from matcher import places
from matcher.matcher import Match, Resolution

Moment: TypeAlias = tuple[int, int, int]
"""When a match was decided: event time, phase, number of the record (0 in phases other than 0)."""


class DerivedEvent(NamedTuple):
    """An event made of a match: `fields` by path (absent: null), `raw` its JSON.

    `origin` says what it was made by; no two events have the same.
    """

    event: str
    fields: Mapping[Path, object]
    raw: bytes
    origin: str


Placed: TypeAlias = tuple[int, int, DerivedEvent]  # place, event time, event


class Lineage:
    """Of one step; see the module head."""

    def __init__(self) -> None:
        self._roots: dict[int, int] = {}
        self._origins: dict[int, str] = {}
        self._count: dict[int, int] = {}
        self._decided_by_time = 0

    def of(self, match: Match) -> tuple[Moment, int]:
        """When the match was decided, which is when what it emits takes place, and its root."""
        phase = int(match.timer)
        if phase:
            self._decided_by_time -= 1
            return (match.at_ms, phase, 0), self._decided_by_time
        phase = places.phase_of(match.by)
        if phase:
            return (match.at_ms, phase, 0), self._roots[match.by]
        record = places.record_of(match.by)
        return (match.at_ms, 0, record), record

    def next(self, root: int) -> int:
        """The number of the next event from a root, from 1 on."""
        self._count[root] = count = self._count.get(root, 0) + 1
        return count

    def place(self, place: int, root: int, at_ms: int, event: DerivedEvent) -> Placed:
        self._roots[place] = root
        self._origins[place] = event.origin
        return place, at_ms, event

    def resolved(self, found: Resolution) -> Resolution:
        """The resolution with the number of the record, and the origin of a derived event."""
        place = found.position
        record = -1 if places.phase_of(place) else places.record_of(place)
        return found._replace(position=record, origin=self._origins.get(place, ""))
