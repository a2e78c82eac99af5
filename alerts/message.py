"""What a message is made of: the committed detection, as the outbox refers to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Subject:
    """One detection to tell about; `body` is its JSON exactly as committed."""

    detection_id: str
    rule: str
    severity: str
    at_ms: int
    body: bytes


def rfc3339(ms: int) -> str | None:
    """`2024-12-10T06:55:46.000Z`; None for times outside the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{ms % 1000:03d}Z"
