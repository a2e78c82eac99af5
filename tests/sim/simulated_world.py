"""What outlives a process: disk, clock, receivers, and the people and programs outside.

Every effect on it has a place before it and one after it, numbered from 0 in each process.  At the
place `crash_at` the process dies: `Crash` is raised there and at whatever it tries to do after, and
nothing that was not committed before is on the disk.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from functools import cache
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from alerts.destinations import SmtpDestination, WebhookDestination
from alerts.errors import SendError
from alerts.ports import HttpAnswer, ManualClock, SmtpAnswer
from alerts.reasons import Reason
from cep.store.connect import configure_sqlite

START_MS = 1_767_225_600_000
ANSWER_TAKES_SECONDS = 0.02


class Crash(BaseException):
    """The process is dead.  Not an `Exception`: whoever would go on after one does not here."""


class Effects:
    """Numbers the places of one process; `lasting` has those at which something lasting changed.

    A crash before the first of them, and one right after each, leaves all that any crash can leave.
    """

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at = crash_at
        self.places = 0
        self.dead = False
        self.lasting: set[int] = {0}

    def place(self) -> None:
        if self.dead or self.places == self.crash_at:
            self.dead = True
            raise Crash
        self.places += 1

    @contextmanager
    def effect(self) -> Iterator[None]:
        self.place()
        yield
        self.place()

    def lasts(self) -> None:
        """What comes next is the place right after something that lasts."""
        self.lasting.add(self.places)


# ---------------------------------------------------------------------------------- disk


class Disk:
    """One database; `image` is what the last commit left, and all that a new process finds."""

    def __init__(self) -> None:
        self.image: bytes | None = None

    def open(self, effects: Effects) -> Engine:
        """For one process at a time."""
        connection = sqlite3.connect(":memory:", factory=_Connection, check_same_thread=False)
        if self.image is not None:
            connection.deserialize(self.image)
        connection.disk, connection.effects = self, effects
        engine, opened = _engine()
        engine.dispose()
        opened[:] = [connection]
        return engine

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is on the disk, read past the process."""
        connection = sqlite3.connect(":memory:")
        if self.image is not None:
            connection.deserialize(self.image)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@cache
def _engine() -> tuple[Engine, list[sqlite3.Connection]]:
    """One for all processes, because it compiles SQL; and the list with the connection it uses."""
    opened = [sqlite3.connect(":memory:")]
    engine = create_engine("sqlite://", creator=lambda: opened[0], poolclass=StaticPool)
    configure_sqlite(engine)
    engine.connect().close()  # the first connection asks the database what it is
    return engine, opened


class _Connection(sqlite3.Connection):
    disk: Disk
    effects: Effects

    def cursor(self, factory: type[sqlite3.Cursor] | None = None) -> sqlite3.Cursor:
        return super().cursor(factory or _Cursor)

    def commit(self) -> None:
        with self.effects.effect():
            super().commit()
            image = self.serialize()
            if image != self.disk.image:
                self.disk.image = image
                self.effects.lasts()


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        with self.connection.effects.effect():
            return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        with self.connection.effects.effect():
            return super().executemany(*arguments)


# ---------------------------------------------------------------------------------- receivers


@dataclass(frozen=True, slots=True)
class Message:
    """A try to send; `answer` is the word of the plan for it."""

    destination: str
    id: str
    body: bytes
    recipients: tuple[str, ...]
    answer: str


_NOT_ANSWERED = {"lost": Reason.NETWORK, "timeout": Reason.TIMEOUT, "down": Reason.NETWORK}


class Receivers:
    """Answer the n-th try of a message with the n-th word of their plan, or the last one.

    A status; `lost` or `timeout`: taken, but nobody hears of it; `down`: not taken; for mail also
    `CODE WHO`: that recipient is refused with the code.
    """

    def __init__(self, plans: Mapping[str, Sequence[str]]) -> None:
        self.messages: list[Message] = []
        self._plans = plans
        self._tries: Counter[tuple[str, str]] = Counter()

    def take(self, destination: str, id_: str, body: bytes, recipients: Sequence[str] = ()) -> str:
        plan = self._plans.get(destination, ("200",))
        number = self._tries[destination, id_]
        self._tries[destination, id_] += 1
        answer = plan[min(number, len(plan) - 1)]
        self.messages.append(Message(destination, id_, body, tuple(recipients), answer))
        return answer


@dataclass(slots=True)
class SimulatedHttpSender:
    receivers: Receivers
    effects: Effects

    async def post(
        self,
        name: str,
        destination: WebhookDestination,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer:
        with self.effects.effect():
            answer = self.receivers.take(name, headers["webhook-id"], body)
            self.effects.lasts()
        with self.effects.effect():
            await asyncio.sleep(ANSWER_TAKES_SECONDS)
        if answer in _NOT_ANSWERED:
            raise SendError(_NOT_ANSWERED[answer], answer)
        return HttpAnswer(int(answer), {"retry-after": "7"} if answer == "429" else {}, b"")

    async def aclose(self) -> None:
        return None


@dataclass(slots=True)
class SimulatedSmtpSender:
    receivers: Receivers
    effects: Effects

    async def send(
        self,
        destination: SmtpDestination,
        password: str | None,
        recipients: Sequence[str],
        message: bytes,
    ) -> SmtpAnswer:
        id_ = str(message_from_bytes(message)["Message-ID"])
        with self.effects.effect():
            answer = self.receivers.take(destination.host, id_, message, recipients)
            self.effects.lasts()
        with self.effects.effect():
            await asyncio.sleep(ANSWER_TAKES_SECONDS)
        if answer in _NOT_ANSWERED:
            raise SendError(_NOT_ANSWERED[answer], answer)
        code, _, who = answer.partition(" ")
        return SmtpAnswer("queued", {who: (int(code), "no")} if who in recipients else {})


# ---------------------------------------------------------------------------------- world


class World:
    """`done` steps of the scenario are over; `rules` and `rows` are the files that lie there."""

    def __init__(self, seed: int, rules: str, plans: Mapping[str, Sequence[str]]) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock(START_MS)
        self.disk = Disk()
        self.receivers = Receivers(plans)
        self.rules = rules
        self.rows: dict[str, list[Any]] = {}
        self.done = 0
