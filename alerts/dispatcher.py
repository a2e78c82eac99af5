"""The dispatcher: takes rows from the outbox, sends what is due, records what came of it.

    outbox ──drain──► alert, delivery ──due──► bytes ──► attempt ──judge──► record
                           ▲                                                  │
                           └────────────── next_attempt_ms ◄──────────────────┘

Attempts that end at about the same time are recorded together.  A crash between sending and
recording sends the same id and bytes again: at least once.  A slow destination holds up only
itself: each has its own bound of messages under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts import deliveries, limits
from alerts.attempt import Attempt, Surroundings
from alerts.breaker import Breaker, after_attempt
from alerts.channels import channel_of
from alerts.channels import secrets as secrets_of
from alerts.claim import drain
from alerts.config import Destinations
from alerts.credentials import redact
from alerts.deliveries import AttemptRecord, Delivery, Finished
from alerts.destinations import Destination
from alerts.http_sender import HttpxSender
from alerts.matching import TagsOf
from alerts.message import Notice
from alerts.notices import load_notices
from alerts.policy import Policy, no_tags
from alerts.ports import Clock, HttpSender, SmtpSender, SystemClock
from alerts.reasons import Reason
from alerts.smtp_sender import AiosmtplibSender
from alerts.stages import run_stages
from alerts.timers import look_at_all, run_timers
from alerts.verdict import judge
from cep.errors import StoreError
from cep.store.connect import open_database
from cep.store.schema import prepare

log = structlog.get_logger("alerts")
T = TypeVar("T")


class _Now(NamedTuple):
    """The moment of one look at what is due."""

    ms: int
    under_way: dict[str, str]
    breakers: dict[str, Breaker]


class Dispatcher:
    """Delivers from the outbox of one store until it is told to stop.

    `store` is an engine (as `cep.store.connect.open_database` makes it) or a store URL; `tags_of`
    gives a rule's tags, which routes and silences may look at.  Only one dispatcher may work on a
    store.
    """

    def __init__(
        self,
        store: Engine | str,
        destinations: Destinations,
        *,
        tags_of: TagsOf = no_tags,
        clock: Clock | None = None,
        http: HttpSender | None = None,
        smtp: SmtpSender | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.engine = open_database(store) if isinstance(store, str) else store
        self.policy = Policy(destinations, tags_of)
        self._clock = clock or SystemClock()
        self._http = http or HttpxSender(destinations.network.policy())
        self._smtp = smtp or AiosmtplibSender()
        self._jitter = jitter
        self._attempts: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Semaphore] = {}  # by destination
        self._under_way: dict[str, str] = {}  # delivery → destination, until it is recorded
        self._finished: list[Finished] = []  # and not recorded yet
        self._breakers: dict[str, Breaker] = {}
        self._changed_breakers: set[str] = set()  # since they were written last
        self._recovered: dict[str, int] = {}  # since then, and when
        self._disabled: dict[str, str] = {}
        self._looked_at_all = False
        prepare(self.engine)

    # ------------------------------------------------------------------------------ the loop

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set; then waits a moment for what is under way.

        A store that cannot be used is logged and waited for: it must not stop the deliveries.
        """
        self._turns.clear()  # they belong to an event loop
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                wait_ms = limits.POLL_INTERVAL_MS
                try:
                    await self._record()
                    await self._start_due()
                except (SQLAlchemyError, StoreError) as error:
                    log.warning("store_unavailable", error=type(error).__name__)
                    wait_ms = limits.STORE_RETRY_INTERVAL_MS
                await asyncio.wait(
                    {stopping, *self._attempts},
                    timeout=wait_ms / 1000,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            stopping.cancel()
            await self._finish()
            await self._http.aclose()

    async def run_once(self) -> int:
        """Takes all of the outbox, makes every attempt that is due now, waits for the end of them.

        The number of attempts started.
        """
        self._turns.clear()  # they belong to an event loop
        total = 0
        while (started := await self._start_due()) or self._under_way:
            total += started
            if self._attempts:
                await asyncio.wait(self._attempts)
            await self._record()
        return total

    async def _finish(self) -> None:
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=limits.SHUTDOWN_GRACE_MS / 1000)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        try:
            await self._record()
        except SQLAlchemyError as error:
            log.warning("attempts_lost", attempts=len(self._finished), error=type(error).__name__)

    # ------------------------------------------------------------------------------ what is due

    async def _start_due(self) -> int:
        """Takes in what is new, and gives free places to what is due; how many attempts start."""
        breakers = await self._db(deliveries.read_breakers, self.engine)
        if not self._changed_breakers:  # else what is in the store is older
            self._breakers = breakers
        # Copies: attempts go on and end while the database is asked.
        now = _Now(self._clock.now_ms(), dict(self._under_way), dict(self._breakers))
        due = await self._db(self._due, now)
        for delivery in due:
            self._under_way[delivery.id] = delivery.destination
            task = asyncio.create_task(self._attempt_in_turn(delivery))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)
        return len(due)

    def _due(self, now: _Now) -> list[Delivery]:
        """What to send now, with bodies; all of it is work on the database."""
        if not self._looked_at_all:  # since the file with the routes was read
            look_at_all(self.engine, now.ms)
            self._looked_at_all = True
        drain(self.engine, self.policy, now.ms)
        run_timers(self.engine, self.policy, now.ms)
        deliveries.release_gathered(self.engine, now.ms)
        self._disabled = deliveries.disabled_destinations(self.engine)
        found = []
        for name in deliveries.due_destinations(self.engine, now.ms):
            under_way = [id_ for id_, to in now.under_way.items() if to == name]
            free = self._taken_at_once(name, now) - len(under_way)
            if free > 0:
                found += deliveries.due_deliveries(self.engine, name, now.ms, under_way, free)
        return self._rendered(found)

    def _taken_at_once(self, name: str, now: _Now) -> int:
        """How many messages may have left the store: those being sent, and some that are next, so
        that sending does not wait for the database."""
        places = self._places(name) * limits.ROUNDS_TAKEN
        breaker = now.breakers.get(name)
        return places if breaker is None else breaker.places(places, now.ms)

    def _places(self, name: str) -> int:
        destination = self.policy.destinations.destinations.get(name)
        return limits.CONCURRENCY_DEFAULT if destination is None else destination.concurrency

    def _rendered(self, due: list[Delivery]) -> list[Delivery]:
        """Renders what was not yet, and keeps the bytes; what cannot be rendered fails when it is
        tried, and only that."""
        fresh = [one for one in due if one.body is None and self._destination(one) is not None]
        if not fresh:
            return due
        bodies = {}
        for start in range(0, len(fresh), limits.RENDERED_AT_ONCE):
            part = fresh[start : start + limits.RENDERED_AT_ONCE]
            notices = load_notices(self.engine, part)
            for one in part:
                destination = self._destination(one)
                assert destination is not None
                with contextlib.suppress(Exception):
                    body = channel_of(destination).render(notices[one.id], destination)
                    bodies[one.id] = (str(destination.type), body)
        if bodies:
            deliveries.save_bodies(self.engine, bodies)
        return [
            replace(one, channel=bodies[one.id][0], body=bodies[one.id][1])
            if one.id in bodies
            else one
            for one in due
        ]

    def _destination(self, delivery: Delivery) -> Destination | None:
        return self.policy.destinations.destinations.get(delivery.destination)

    # ------------------------------------------------------------------------------ attempt

    async def _attempt_in_turn(self, delivery: Delivery) -> None:
        """Waits for a free place; gives up when the destination is left alone meanwhile."""
        name, concluded = delivery.destination, False
        if name not in self._turns:
            self._turns[name] = asyncio.Semaphore(self._places(name))
        try:
            async with self._turns[name]:
                breaker = self._breakers.get(name)
                if breaker is None or breaker.places(1, self._clock.now_ms()):
                    await self._attempt(delivery)
                    concluded = True
        except SQLAlchemyError as error:
            log.warning("store_unavailable", error=type(error).__name__)
        except Exception as error:
            log.error("attempt_lost", delivery=delivery.id, error=type(error).__name__)
        finally:
            if not concluded:  # nothing will be recorded: it is due and will be tried again
                del self._under_way[delivery.id]

    async def _attempt(self, delivery: Delivery) -> None:
        started_ms, started = self._clock.now_ms(), time.monotonic()
        attempt = Attempt(delivery)
        try:
            reason = await run_stages(attempt, self._surroundings())
        except SQLAlchemyError:
            raise  # nothing was sent yet
        except Exception as error:
            log.exception("attempt_failed", delivery=delivery.id, exc_info=False)
            reason, attempt.error = Reason.INTERNAL, type(error).__name__
        secrets = secrets_of(attempt.destination)
        record = AttemptRecord(
            started_ms=started_ms,
            duration_ms=round((time.monotonic() - started) * 1000),
            reason=reason,
            recipients=attempt.recipients,
            status=attempt.status,
            answer=_cut_answer(attempt, secrets),
            error=_cut_error(attempt, secrets),
        )
        self._conclude(delivery, record, attempt.retry_after_ms)

    def _conclude(self, delivery: Delivery, record: AttemptRecord, asked_ms: int | None) -> None:
        """What follows for the delivery and for its destination; written by `_record`."""
        failures = delivery.attempts - delivery.attempts_forgiven + 1
        now_ms, name = self._clock.now_ms(), delivery.destination
        verdict = judge(record.reason, failures, now_ms, self._jitter, asked_ms)
        self._finished.append(Finished(delivery, record, verdict))
        before = self._breakers.pop(name, None)
        after = after_attempt(before, record.reason, now_ms, asked_ms)
        if after is not None:
            self._breakers[name] = after
        if after != before:
            self._changed_breakers.add(name)
        if before is not None and before.is_open() and after is None:
            self._recovered[name] = now_ms
        log.info(
            "attempt",
            delivery=delivery.id,
            destination=name,
            number=delivery.attempts + 1,
            reason=str(record.reason),
            state=str(verdict.state),
        )

    def _surroundings(self) -> Surroundings:
        async def load_notice(one: Delivery) -> Notice:
            return (await self._db(load_notices, self.engine, [one]))[one.id]

        async def save_body(id_: str, channel: str, body: bytes) -> None:
            await self._db(deliveries.save_bodies, self.engine, {id_: (channel, body)})

        return Surroundings(
            destinations=self.policy.destinations,
            disabled=self._disabled,
            clock=self._clock,
            http=self._http,
            smtp=self._smtp,
            load_notice=load_notice,
            save_body=save_body,
        )

    async def _record(self) -> None:
        """Writes all that has finished in one transaction; what was sent and is not recorded, as
        after a crash, is sent twice."""
        if not self._finished:
            return
        finished, self._finished = self._finished, []
        changed, self._changed_breakers = self._changed_breakers, set()
        recovered, self._recovered = self._recovered, {}
        breakers = {name: self._breakers.get(name) for name in changed}
        try:
            await self._db(deliveries.record, self.engine, finished, breakers, recovered)
        except SQLAlchemyError:
            self._finished = finished + self._finished
            self._changed_breakers |= changed
            self._recovered = recovered | self._recovered
            raise
        for one in finished:
            del self._under_way[one.delivery.id]

    @staticmethod
    async def _db(function: Callable[..., T], *arguments: object) -> T:
        """Calls the database in a thread: a locked store must not stop the event loop."""
        return await asyncio.to_thread(function, *arguments)


def _cut_answer(attempt: Attempt, secrets: list[str]) -> bytes:
    text = attempt.answer.decode("utf-8", "replace")
    return redact(text, secrets).encode()[: limits.ANSWER_KEPT_BYTES]


def _cut_error(attempt: Attempt, secrets: list[str]) -> str | None:
    if attempt.error is None:
        return None
    # PostgreSQL has no NUL in text, and a terminal should show none of the others.
    text = "".join(char if char.isprintable() else " " for char in attempt.error)
    return redact(text, secrets)[: limits.ERROR_KEPT_CHARACTERS]
