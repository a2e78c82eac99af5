"""The channels: for each type of destination, the module that renders and sends its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from alerts import chat, email, lines_of_json, pagerduty, webhook
from alerts.attempt import Attempt, Surroundings
from alerts.destinations import Destination
from alerts.message import Notice
from alerts.reasons import Reason


class Channel(Protocol):
    """What a module of a channel offers; the destination is one of its type."""

    def render(self, notice: Notice, destination: Any) -> bytes:
        """The message to keep, without secrets; equal arguments give equal bytes.

        Raises `SendError` (UNSENDABLE).
        """

    async def send(self, attempt: Attempt, destination: Any, around: Surroundings) -> Reason:
        """Sends `attempt.body` once; raises `SendError` or `SecretError`."""

    def secrets(self, destination: Any) -> list[str]:
        """Every secret of a destination that can be read, to be taken out of what is kept."""


CHANNELS: Mapping[str, Channel] = {
    "webhook": webhook,
    "smtp": email,
    "pagerduty": pagerduty,
    "apprise": chat,
    "file": lines_of_json,
    "stdout": lines_of_json,
}


def channel_of(destination: Destination) -> Channel:
    return CHANNELS[destination.type]


def secrets(destination: Destination | None) -> list[str]:
    """Those of its channel; none for a destination that is not known."""
    return [] if destination is None else channel_of(destination).secrets(destination)
