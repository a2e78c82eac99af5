"""What the handlers work with; the composition root makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request
from sqlalchemy import Engine

from alerts.ports import Clock, SystemClock
from dsl.model import RuleSet

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class EventLog(Protocol):
    """The part of `cep.ports.Log` that ingestion needs."""

    def append(self, partition: str, data: bytes) -> range: ...

    def end(self, partition: str) -> int: ...


def _healthy() -> str | None:
    return None


@dataclass(slots=True)
class ApiState:
    """`engine` is the store's database; without a `log` no events are taken.

    `health` says what is wrong with the program, or None.  `hosts` are the names this server
    answers to, without port; `("*",)` stands for any.  That keeps a web page whose name was pointed
    at this machine from reading the API.
    """

    engine: Engine
    rules: RuleSet
    log: EventLog | None = None
    topic: str = "events"
    health: Callable[[], str | None] = _healthy
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    clock: Clock = field(default_factory=SystemClock)


def state_of(request: Request) -> ApiState:
    """The state the app was made with; a dependency of handlers."""
    state: ApiState = request.app.state.api
    return state
