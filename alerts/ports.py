"""Every effect of delivering as a small protocol: clock, HTTP sender, SMTP sender.

A sender either returns the receiver's answer or raises `SendError` with a named reason; it never
retries, follows a redirect, or decides what an answer means.  The simulated twins number each call
in `calls`, so that a test can make the n-th one fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from alerts.destinations import SmtpDestination

# ---------------------------------------------------------------------------------- clock


class Clock(Protocol):
    """Wall clock in ms since the epoch; it decides when to try again."""

    def now_ms(self) -> int: ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass(slots=True)
class ManualClock:
    """A clock that is moved by hand."""

    at_ms: int

    def now_ms(self) -> int:
        return self.at_ms

    def advance(self, by_ms: int) -> None:
        self.at_ms += by_ms


# ---------------------------------------------------------------------------------- HTTP


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`body` is cut to limits.ANSWER_READ_BYTES; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpSettings(Protocol):
    """What a sender needs of a destination; `ca_file` replaces the system's certificates."""

    @property
    def timeout_ms(self) -> int: ...

    @property
    def concurrency(self) -> int: ...

    @property
    def ca_file(self) -> Path | None: ...


class HttpSender(Protocol):
    async def post(
        self,
        name: str,
        destination: HttpSettings,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer: ...

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class SimulatedHttpSender:
    """Answers with `respond(call number from 0)`, which may raise; keeps every call."""

    respond: Callable[[int], HttpAnswer]
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def post(
        self,
        name: str,
        destination: HttpSettings,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer:
        self.calls.append((name, dict(headers), body))
        return self.respond(len(self.calls) - 1)

    async def aclose(self) -> None:
        return None


# ---------------------------------------------------------------------------------- SMTP


@dataclass(frozen=True, slots=True)
class SmtpAnswer:
    """`refused` maps each recipient the server did not take to its reply code and text.

    `text` is the reply to the message itself; it is empty when every recipient was refused.
    """

    text: str
    refused: Mapping[str, tuple[int, str]]


class SmtpSender(Protocol):
    async def send(
        self,
        destination: SmtpDestination,
        password: str | None,
        recipients: Sequence[str],
        message: bytes,
    ) -> SmtpAnswer: ...


@dataclass(slots=True)
class SimulatedSmtpSender:
    """Answers with `respond(call number from 0)`, which may raise; keeps every call."""

    respond: Callable[[int], SmtpAnswer]
    calls: list[tuple[tuple[str, ...], bytes]] = field(default_factory=list)

    async def send(
        self,
        destination: SmtpDestination,
        password: str | None,
        recipients: Sequence[str],
        message: bytes,
    ) -> SmtpAnswer:
        self.calls.append((tuple(recipients), message))
        return self.respond(len(self.calls) - 1)
