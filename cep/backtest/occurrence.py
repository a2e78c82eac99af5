"""A detection as it is compared and listed.

Two detections are the same occurrence when rule, key, event time and bound events are the same: of
the events their positions, and of derived events those of the records behind them.  The ids of
detections are not compared, as they have the version of the rule in them.
The same occurrence has changed when another severity, message or fields are told, other events are
emitted, or `suppress` hides only one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

import orjson

from cep import limits
from cep.detection_json import key_json
from cep.render import Rendered
from cep.values import exact_digits, iso_time

Shown: TypeAlias = bytes
"""A detection as a listing has it: JSON."""

Place: TypeAlias = tuple[int, int, int]
"""Event time in ms, number of the partition, number in it: the order in which all are listed."""


@dataclass(slots=True)
class Occurrence:
    """`identity` and `content` are hashes; `found` is there until the step is over, `shown` from
    then on, if it may be listed."""

    rule: str
    at_ms: int
    place: Place
    partition: str
    identity: bytes
    content: bytes
    found: Rendered | None
    shown: Shown | None = None

    @staticmethod
    def of(found: Rendered, partition: str, place: Place) -> Occurrence:
        match = found.match
        identity, content = _identity(found), _content(found)
        return Occurrence(match.rule.name, match.at_ms, place, partition, identity, content, found)

    def show(self) -> Shown:
        """The same for ever."""
        if self.shown is None:
            assert self.found is not None, "what may be listed is shown before its step is over"
            self.shown = shown_as(self.found, self.partition)
        return self.shown

    def let_go(self) -> None:
        """Of the detection itself, which holds events."""
        self.found = None


def _identity(found: Rendered) -> bytes:
    match = found.match
    derived = list(map(bool, match.origins))
    facts = (match.rule.name, match.key, match.at_ms, match.positions, derived)
    return blake2b(orjson.dumps(facts), digest_size=16).digest()


def _content(found: Rendered) -> bytes:
    _, severity, message, fields = found.said
    hidden = found.suppressed_by is not None
    told = orjson.dumps((severity, message, hidden, fields), exact_digits)
    emitted = [event.raw for event in found.derived]
    return blake2b(b"\n".join((told, *emitted)), digest_size=16).digest()


def shown_as(found: Rendered, partition: str) -> Shown:
    """What a listing has of a detection, of bounded size."""
    match, rule = found.match, found.match.rule
    key, severity, message, fields = found.said
    shown_max = limits.BACKTEST_EVENTS_SHOWN_MAX
    bound = zip(match.steps[:shown_max], match.positions[:shown_max], strict=True)
    return orjson.dumps(
        {
            "id": found.id,
            "rule": rule.name,
            "version": rule.version,
            "partition": partition,
            "key": _bounded(key_json(key)),
            "at": iso_time(match.at_ms),
            "severity": severity,
            "message": message[: limits.BACKTEST_MESSAGE_CHARACTERS_MAX],
            "fields": _bounded(orjson.dumps(fields, exact_digits)),
            "events": [
                {"step": rule.steps[step].label, "position": position} for step, position in bound
            ],
            "events_bound": len(match.positions),
            "suppressed": found.suppressed_by is not None,
        }
    )


def _bounded(text: bytes) -> orjson.Fragment | None:
    """JSON as it is, or null for what is too long to be listed."""
    return orjson.Fragment(text) if len(text) <= limits.BACKTEST_VALUE_BYTES_MAX else None
