"""One attempt to deliver: what is known of it, and what it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from alerts.config import Destinations
from alerts.deliveries import Delivery
from alerts.destinations import Destination
from alerts.message import Notice
from alerts.ports import Clock, HttpSender, SmtpSender


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every attempt may use; `save_body` keeps a body rendered late, before it is sent."""

    destinations: Destinations
    disabled: Collection[str]
    clock: Clock
    http: HttpSender
    smtp: SmtpSender
    load_notice: Callable[[Delivery], Awaitable[Notice]]
    save_body: Callable[[str, str, bytes], Awaitable[None]]


@dataclass(slots=True)
class Attempt:
    """What is known of one attempt so far; the last five are what the receiver said."""

    delivery: Delivery
    destination: Destination | None = None
    body: bytes = b""
    recipients: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    answer: bytes = b""
    error: str | None = None
    retry_after_ms: int | None = None
