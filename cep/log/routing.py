"""Which partition an event belongs to, and which events say who they are.

    partition = CRC-32 of the key's canonical text, modulo the number of partitions

The canonical text is at least as coarse as the equality of the engine's keys: an address in its one
form, any number as a float.  A null, missing or structured key, and a line that is no event, belong
to partition 0, so that a bad line is counted, and becomes a dead letter, at one place.

Of a CloudEvents envelope the fields are those of `data`, as for the engine (`matcher.record`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

import orjson

from cep import limits
from cep.log.topics import Topic
from dsl.model import RuleSet
from matcher.record import BadEvent, NumberText, read_line
from matcher.text_functions import canonical_ip

Event: TypeAlias = Mapping[str, object]
Path: TypeAlias = tuple[str, ...]

NO_KEY = 0  # the partition of what has no key


def read(line: bytes) -> Event | None:
    """The fields of the event in a line and its type; None when it is no event."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:  # the engine's reader is the one that decides
        try:
            value = read_line(line)
        except BadEvent:
            return None
    if not isinstance(value, dict):
        return None
    if value.get("specversion") is not None and isinstance(data := value.get("data"), dict):
        return {**data, "type": value.get("type")}
    return value


def look_up(event: Event, path: Path) -> object:
    here: object = event
    for name in path:
        if not isinstance(here, Mapping):
            return None
        here = here.get(name)
    return here


class Placement:
    """The partitions of a topic's events, by their number."""

    def __init__(self, topic: Topic) -> None:
        self._path = tuple(topic.key.split("."))
        self._partitions = topic.partitions
        self._places: dict[str, int] = {}

    def of(self, event: Event | None) -> int:
        if self._partitions == 1:
            return NO_KEY
        key = look_up(event, self._path) if event is not None else None
        if type(key) is not str:
            return self._of_other(key)
        place = self._places.get(key)
        if place is None:
            address = canonical_ip(key) if "." in key or ":" in key else None
            place = self._of_text(address or key)
            if len(self._places) >= limits.KEYS_PLACED_MAX:
                self._places.clear()
            self._places[key] = place
        return place

    def _of_other(self, key: object) -> int:
        if isinstance(key, bool):
            return self._of_text("true" if key else "false")
        if isinstance(key, int | float | NumberText):
            try:
                return self._of_text(repr(float(key) + 0.0))  # no negative zero
            except OverflowError:  # more than any field holds
                return NO_KEY
        return NO_KEY

    def _of_text(self, text: str) -> int:
        return crc32(text.encode("utf-8", "surrogatepass")) % self._partitions


@dataclass(frozen=True, slots=True)
class EventIds:
    """Where events say their id: a path by type, or one for all types."""

    by_type: Mapping[str, Path] = field(default_factory=dict)
    anywhere: Path | None = None

    @classmethod
    def of_rules(cls, rules: RuleSet) -> EventIds:
        """The fields declared as `@id`."""
        found: dict[str, Path] = {}
        for event in rules.events.values():
            for item in event.fields:
                if item.name == event.id_field:
                    found[event.discriminator] = item.source
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self.by_type) or self.anywhere is not None

    def of(self, event: Event | None) -> bytes | None:
        """A hash of the event's type and id; None when it says none."""
        kind = event.get("type") if event is not None else None
        if event is None or not isinstance(kind, str):
            return None
        path = self.by_type.get(kind, self.anywhere)
        value = look_up(event, path) if path is not None else None
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        facts = repr((kind, value)).encode("utf-8", "surrogatepass")
        return blake2b(facts, digest_size=16).digest()


NO_IDS = EventIds()


@dataclass(slots=True)
class Placed:
    """Lines without their ends, each with its partition's number and, where asked for, its id."""

    lines: list[bytes]
    places: list[int] = field(default_factory=list)
    ids: list[bytes | None] = field(default_factory=list)

    def parts(self, left_out: Collection[int]) -> dict[int, list[bytes]]:
        """The lines by partition, in order, but those of these numbers."""
        found: dict[int, list[bytes]] = {}
        for number, (place, line) in enumerate(zip(self.places, self.lines, strict=True)):
            if number not in left_out:
                found.setdefault(place, []).append(line)
        return dict(sorted(found.items()))


def placed(data: bytes, topic: Topic, ids: EventIds) -> Placed:
    """Reads the lines of `data`, NDJSON whose last line is terminated."""
    found = Placed(data.split(b"\n")[:-1])
    placement = Placement(topic)
    for line in found.lines:
        event = read(line)
        found.places.append(placement.of(event))
        if ids:
            found.ids.append(ids.of(event))
    return found
