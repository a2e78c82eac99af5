"""What a message says: committed detections, and the alert that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """Why a message is sent."""

    DETECTION = "detection"  # one detection
    GATHERED = "gathered"  # detections of a time, by a route's `batch` or in a storm
    REMINDER = "reminder"  # an alert is still open
    ESCALATION = "escalation"  # an alert was not acknowledged in time
    RESOLVED = "resolved"  # an alert is over
    TEST = "test"  # somebody asked whether messages arrive


@dataclass(frozen=True, slots=True)
class Subject:
    """One detection to tell about; `body` is its JSON exactly as committed."""

    detection_id: str
    rule: str
    severity: str
    at_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Episode:
    """The alert a message belongs to, as it was when the message was rendered.

    `title` and `severity` are those of its first detection and never change; `state` is `open`,
    `acknowledged` or `resolved`; `detections` counts those of the episode, suppressed ones aside.
    """

    id: str
    rule: str
    severity: str
    title: str
    state: str
    opened_ms: int
    detections: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What one delivery says.  Equal notices are rendered to equal bytes.

    `id` is the delivery's, `number` its place among the messages of its alert to its destination,
    from 1.  `subjects` are oldest first; only a test has none, and `left_out` counts those that did
    not fit.  `note` says in a sentence why this message is sent, where that is not plain.
    `episode` is None for what belongs to no single alert.
    """

    id: str
    kind: Kind
    destination: str
    created_ms: int
    subjects: tuple[Subject, ...]
    episode: Episode | None = None
    number: int = 1
    left_out: int = 0
    note: str = ""


def rfc3339(ms: int) -> str | None:
    """`2024-12-10T06:55:46.000Z`; None for times outside the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{ms % 1000:03d}Z"


def rfc3339_or_none(ms: int | None) -> str | None:
    """The same of a time that may not have come."""
    return None if ms is None else rfc3339(ms)
