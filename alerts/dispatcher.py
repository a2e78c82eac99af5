"""The dispatcher: takes rows from the outbox, sends what is due, records what came of it.

    outbox ──claim──► delivery (pending, bytes rendered) ──due──► attempt ──judge──► record
                           ▲                                                           │
                           └──────────────── next_attempt_ms ◄─────────────────────────┘

A crash between sending and recording sends the same id and bytes again: at least once.  A slow
destination holds up only itself: each has its own bound of messages under way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts import deliveries, limits
from alerts.attempt import Attempt, Surroundings
from alerts.channels import channel_of
from alerts.channels import secrets as secrets_of
from alerts.config import Destinations
from alerts.credentials import redact
from alerts.deliveries import AttemptRecord, Delivery, NewDelivery, OutboxRow
from alerts.errors import SendError
from alerts.http_sender import HttpxSender
from alerts.message import Kind, Notice, Subject
from alerts.ports import Clock, HttpSender, SmtpSender, SystemClock
from alerts.reasons import Reason, State
from alerts.smtp_sender import AiosmtplibSender
from alerts.stages import run_stages
from alerts.verdict import Verdict, judge
from cep.store.connect import open_database
from cep.store.schema import prepare

log = structlog.get_logger("alerts")
T = TypeVar("T")


class Dispatcher:
    """Delivers from the outbox of one store until it is told to stop.

    `store` is an engine (as `cep.store.connect.open_database` makes it) or a store URL.  Only one
    dispatcher may work on a store.
    """

    def __init__(
        self,
        store: Engine | str,
        destinations: Destinations,
        *,
        clock: Clock | None = None,
        http: HttpSender | None = None,
        smtp: SmtpSender | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.engine = open_database(store) if isinstance(store, str) else store
        self.destinations = destinations
        self._clock = clock or SystemClock()
        self._http = http or HttpxSender(destinations.network.policy())
        self._smtp = smtp or AiosmtplibSender()
        self._jitter = jitter
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._load: Counter[str] = Counter()  # messages under way to each destination
        self._disabled: dict[str, str] = {}
        self._unknown: set[str] = set()  # told once each
        prepare(self.engine)

    # ------------------------------------------------------------------------------ the loop

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set; then waits a moment for what is under way.

        A store that cannot be used is logged and waited for: it must not stop the deliveries.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    busy = await self.start_due() > 0
                except SQLAlchemyError as error:
                    log.warning("store_unavailable", error=type(error).__name__)
                    busy = False
                wait_ms = 0 if busy and not self._under_way else limits.POLL_INTERVAL_MS
                await asyncio.wait(
                    {stopping, *self._under_way.values()},
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
        total = 0
        while (started := await self.start_due()) or self._under_way:
            total += started
            if self._under_way:
                await asyncio.wait(set(self._under_way.values()))
        return total

    async def start_due(self) -> int:
        """One turn: outbox rows become deliveries, free places get what is due.

        The number of attempts started.
        """
        while await self._claim() == limits.CLAIM_ROWS_MAX:
            pass
        now_ms = self._clock.now_ms()
        self._disabled = await self._db(deliveries.disabled_destinations, self.engine)
        started = 0
        for name in await self._db(deliveries.due_destinations, self.engine, now_ms):
            free = self._places(name) - self._load[name]
            if free <= 0:
                continue
            under_way = list(self._under_way)
            due = await self._db(
                deliveries.due_deliveries, self.engine, name, now_ms, under_way, free
            )
            for delivery in due:
                self._start(delivery)
            started += len(due)
        return started

    def _places(self, name: str) -> int:
        destination = self.destinations.destinations.get(name)
        return limits.CONCURRENCY_DEFAULT if destination is None else destination.concurrency

    def _start(self, delivery: Delivery) -> None:
        self._load[delivery.destination] += 1
        task = asyncio.create_task(self._attempt(delivery))
        self._under_way[delivery.id] = task

        def finished(task: asyncio.Task[None]) -> None:
            del self._under_way[delivery.id]
            self._load[delivery.destination] -= 1
            if not task.cancelled() and (error := task.exception()) is not None:
                # A fault of ours.  It was not recorded, so it is due and will be sent again.
                log.error("attempt_lost", delivery=delivery.id, error=type(error).__name__)

        task.add_done_callback(finished)

    async def _finish(self) -> None:
        if not self._under_way:
            return
        tasks = set(self._under_way.values())
        _, late = await asyncio.wait(tasks, timeout=limits.SHUTDOWN_GRACE_MS / 1000)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # ------------------------------------------------------------------------------ claim

    async def _claim(self) -> int:
        rows = await self._db(deliveries.read_outbox, self.engine)
        if rows:
            fresh = [one for row in rows for one in self._deliveries_of(row)]
            if not fresh:
                log.info("no_default_destination", detections=len(rows))
            await self._db(deliveries.move_from_outbox, self.engine, rows, fresh)
        return len(rows)

    def _deliveries_of(self, row: OutboxRow) -> list[NewDelivery]:
        return [self._new_delivery(row, name) for name in self.destinations.route(row.destination)]

    def _new_delivery(self, row: OutboxRow, name: str) -> NewDelivery:
        created_ms = self._clock.now_ms()
        destination = self.destinations.destinations.get(name)
        common = (row.subject.detection_id, name, row.sequence, created_ms)
        if destination is None:
            if name not in self._unknown:
                self._unknown.add(name)
                log.warning("destination_unknown", destination=name, rule=row.subject.rule)
            return NewDelivery(*common, state=State.DEAD, reason=Reason.DESTINATION_UNKNOWN)
        try:
            notice = _notice(row.subject, name, created_ms)
            body = channel_of(destination).render(notice, destination)
        except SendError as error:
            log.warning("unsendable", destination=name, rule=row.subject.rule)
            return NewDelivery(*common, state=State.DEAD, reason=error.reason)
        return NewDelivery(*common, channel=destination.type, body=body)

    # ------------------------------------------------------------------------------ attempt

    async def _attempt(self, delivery: Delivery) -> None:
        started_ms, started = self._clock.now_ms(), time.monotonic()
        attempt = Attempt(delivery)
        try:
            reason = await run_stages(attempt, self._surroundings())
        except Exception as error:
            log.exception("attempt_failed", delivery=delivery.id, exc_info=False)
            reason, attempt.error = Reason.INTERNAL, type(error).__name__
        secrets = secrets_of(attempt.destination)
        failures = delivery.attempts - delivery.attempts_forgiven + 1
        now_ms = self._clock.now_ms()
        verdict = judge(reason, failures, now_ms, self._jitter, attempt.retry_after_ms)
        record = AttemptRecord(
            started_ms=started_ms,
            duration_ms=round((time.monotonic() - started) * 1000),
            reason=reason,
            recipients=attempt.recipients,
            status=attempt.status,
            answer=_cut_answer(attempt, secrets),
            error=_cut_error(attempt, secrets),
        )
        await self._record(delivery, record, verdict)
        log.info(
            "attempt",
            delivery=delivery.id,
            destination=delivery.destination,
            number=delivery.attempts + 1,
            reason=str(reason),
            state=str(verdict.state),
        )

    def _surroundings(self) -> Surroundings:
        async def load_notice(one: Delivery) -> Notice:
            subject = await self._db(deliveries.load_subject, self.engine, one.detection_id)
            return _notice(subject, one.destination, one.created_ms)

        async def save_body(id_: str, channel: str, body: bytes) -> None:
            await self._db(deliveries.save_body, self.engine, id_, channel, body)

        return Surroundings(
            destinations=self.destinations,
            disabled=self._disabled,
            clock=self._clock,
            http=self._http,
            smtp=self._smtp,
            load_notice=load_notice,
            save_body=save_body,
        )

    async def _record(self, delivery: Delivery, record: AttemptRecord, verdict: Verdict) -> None:
        """Writes until the store takes it: what was sent and not recorded is sent twice."""
        while True:
            try:
                await self._db(deliveries.record_attempt, self.engine, delivery, record, verdict)
            except SQLAlchemyError as error:
                log.warning("store_unavailable", error=type(error).__name__)
                await asyncio.sleep(limits.STORE_RETRY_INTERVAL_MS / 1000)
            else:
                return

    @staticmethod
    async def _db(function: Callable[..., T], *arguments: object) -> T:
        """Calls the database in a thread: a locked store must not stop the event loop."""
        return await asyncio.to_thread(function, *arguments)


def _notice(subject: Subject, destination: str, created_ms: int) -> Notice:
    id_ = deliveries.delivery_id(subject.detection_id, destination)
    return Notice(id_, Kind.DETECTION, destination, created_ms, (subject,))


def _cut_answer(attempt: Attempt, secrets: list[str]) -> bytes:
    text = attempt.answer.decode("utf-8", "replace")
    return redact(text, secrets).encode()[: limits.ANSWER_KEPT_BYTES]


def _cut_error(attempt: Attempt, secrets: list[str]) -> str | None:
    if attempt.error is None:
        return None
    # PostgreSQL has no NUL in text, and a terminal should show none of the others.
    text = "".join(char if char.isprintable() else " " for char in attempt.error)
    return redact(text, secrets)[: limits.ERROR_KEPT_CHARACTERS]
