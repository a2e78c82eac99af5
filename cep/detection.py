"""A detection: the immutable fact that a rule's pattern occurred for a key.

Its id is derived from the rule version, the partition, the key and the positions of all bound
events (or the deadline, for a match completed by a timer), so work done again has the same id.  In
place of the position of a derived event stands the id of the detection that made it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoundEvent:
    """`event` is the JSON object as it was received; `position` its number in the partition.

    A derived event has no position, but the id of the detection that it was `derived_from`.
    """

    step: str
    position: int | None
    event: dict[str, object]
    derived_from: str | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """`at_ms` is the event time of the last bound event, or the deadline of a timer match.

    `suppressed_by` is the id of the earlier detection whose `suppress` hides this one.
    `emitted` are the events made of this detection, as JSON objects.
    Nobody is told of one in `shadow`.
    `notify` names the destinations the rule asks for; it is routing, not part of the JSON body.
    """

    id: str
    rule: str
    version: str
    key: dict[str, object]
    at_ms: int
    severity: str
    message: str
    fields: dict[str, object]
    events: tuple[BoundEvent, ...]
    suppressed_by: str | None = None
    notify: tuple[str, ...] = ()
    emitted: tuple[dict[str, object], ...] = ()
    shadow: bool = False
