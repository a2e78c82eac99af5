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

    `origin` says what it was made by; no two events have the same, and none has a space.
    """

    event: str
    fields: Mapping[Path, object]
    raw: bytes
    origin: str


class Placed(NamedTuple):
    """A derived event at its place; it sees the rows of tables as of a position in the log."""

    place: int
    at_ms: int
    as_of: int
    event: DerivedEvent

    @property
    def line(self) -> bytes:
        """Its JSON, and behind that what `shown` takes off again."""
        return b"%b\n%d %b" % (self.event.raw, self.as_of, self.event.origin.encode())


class Lineage:
    """Of one step; see the module head."""

    def __init__(self) -> None:
        self._roots: dict[int, int] = {}
        self._origins: dict[int, str] = {}
        self._count: dict[int, int] = {}
        self._decided_by_time = 0

    def of(self, match: Match) -> tuple[Moment, int]:
        """When the match was decided, which is when what it emits takes place, and its root."""
        if match.phase:
            self._decided_by_time -= 1
            return (match.at_ms, match.phase, 0), self._decided_by_time
        phase = places.phase_of(match.by)
        if phase:
            return (match.at_ms, phase, 0), self._roots[match.by]
        record = places.record_of(match.by)
        return (match.at_ms, 0, record), record

    def next(self, root: int) -> int:
        """The number of the next event from a root, from 1 on."""
        self._count[root] = count = self._count.get(root, 0) + 1
        return count

    def keep(self, placed: Placed, root: int) -> None:
        self._roots[placed.place] = root
        self._origins[placed.place] = placed.event.origin

    def resolved(self, found: Resolution) -> Resolution:
        """The resolution with the number of the record, and the origin of a derived event.

        Where time resolved, the event may be of any step before, so it has no origin here.
        """
        place = found.position
        record = -1 if places.phase_of(place) else places.record_of(place)
        origin = "" if found.phase else self._origins.get(place, "")
        return found._replace(position=record, origin=origin)


def shown(match: Match) -> Match:
    """The match with numbers of records in place of places, and origins where there are none."""
    if places.are_records((match.by, *match.positions)):
        records = [place >> places.ORDINAL_BITS for place in match.positions]
        return match.at(match.by >> places.ORDINAL_BITS, tuple(records))
    records = list(map(places.record_of, match.positions))
    lines, origins, as_of = [], [], []
    for place, raw in zip(match.positions, match.raw, strict=True):
        if places.is_derived(place):
            raw, seen, origin = parted(raw)
        else:
            seen, origin = places.record_of(place), ""
        lines.append(raw)
        origins.append(origin)
        as_of.append(seen)
    made = [origin != "" for origin in origins]
    return match._replace(
        by=-1 if places.phase_of(match.by) else places.record_of(match.by),
        positions=tuple(-1 if m else at for m, at in zip(made, records, strict=True)),
        raw=tuple(lines),
        origins=tuple(origins) if any(made) else (),
        as_of=tuple(as_of) if any(made) else (),
    )


def seen_as_of(found: Match) -> int:
    """The log position as of which events that are made of a shown match see rows of tables."""
    return found.by if found.by >= 0 else max(found.as_of, default=-1)


def parted(line: bytes) -> tuple[bytes, int, str]:
    """The JSON, the position as of which rows are seen, and the origin, of `Placed.line`."""
    raw, _, behind = line.rpartition(b"\n")
    as_of, _, origin = behind.decode().partition(" ")
    return raw, int(as_of), origin
