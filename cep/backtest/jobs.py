"""Back-tests that somebody asked a server for: a few at once, each in a process of its own.

    submit ──► waiting ──► running ──► done | failed
                  └───────────┴──────► cancelled          kept by `cep.store.backtests`

`run` is for a thread of its own; it starts processes, hears from them, and kills those that were
cancelled, take too long, or are there when it is told to stop.  Processes are spawned, never
forked: the server has threads.  One that ran when the server ended has failed, and says so; those
that waited are run by the next server.
"""

from __future__ import annotations

import multiprocessing
import pickle
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from sqlalchemy import Engine

from cep import limits
from cep.backtest.process import Done, Failed, Message, work
from cep.backtest.request import Request, Task, task_of
from cep.backtest.result import Progress
from cep.errors import CepError, StoreError
from cep.ports import Clock, SystemClock
from cep.store import backtests
from cep.store.backtests import BacktestRow, State
from cep.store.deployments import SqlDeployments
from cep.tables.reading import Source

_SPAWN = multiprocessing.get_context("spawn")
_ENDING_SECONDS = 5.0  # for a process whose pipe is closed
_ENDED_WITH_SERVER = "the server ended while it ran: ask again"


class BackTests:
    """Those of one topic; `log` is its URL, `tables` are the sources the server was started with.

    `at_once` processes run, the rest waits.  `say` takes sentences for the operator.  All methods
    may be called from any thread.
    """

    def __init__(
        self,
        engine: Engine,
        deployments: SqlDeployments,
        log: str,
        tables: Mapping[str, Source] | None = None,
        at_once: int = limits.BACKTESTS_AT_ONCE,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        assert 0 < at_once <= limits.BACKTESTS_AT_ONCE_MAX
        self.topic = deployments.topic
        self._engine = engine
        self._deployments = deployments
        self._log = log
        self._tables = tables or {}
        self._at_once = at_once
        self._clock = clock or SystemClock()
        self._say = say
        self._running: dict[str, _Running] = {}
        self._news = threading.Event()  # something waits, or was cancelled
        self._stopping = False

    # ---------------------------------------------------------------------------------- requests

    def submit(self, request: Request, actor: str) -> str:
        """The id of the new back-test; raises UsageError for what cannot be run, and Busy."""
        assert request.topic == self.topic
        self._task(request)
        id_ = secrets.token_hex(16)
        backtests.add(self._engine, id_, request.to_json(), actor, self._clock.now_ms())
        self._news.set()
        return id_

    def cancel(self, id_: str) -> bool:
        """False when it is over already.  Its process is killed at once."""
        done = backtests.cancel(self._engine, id_, self._clock.now_ms())
        running = self._running.get(id_)
        if done and running is not None:
            running.cancelled = True
        self._news.set()
        return done

    def get(self, id_: str) -> BacktestRow | None:
        found = backtests.get(self._engine, id_)
        return None if found is None else self._up_to_date(found)

    def listed(self, after: int, limit: int, *, newest_first: bool = False) -> list[BacktestRow]:
        """See `cep.store.backtests.listed`."""
        rows = backtests.listed(self._engine, after, limit, newest_first=newest_first)
        return [self._up_to_date(row) for row in rows]

    def result(self, id_: str) -> bytes | None:
        return backtests.result(self._engine, id_)

    def _up_to_date(self, row: BacktestRow) -> BacktestRow:
        running = self._running.get(row.id)
        return row if running is None else running.told(row)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes that there are."""
        return [one.pid for one in list(self._running.values()) if not one.over]

    # -------------------------------------------------------------------------------------- loop

    def run(self) -> None:
        """Until `stop`.  While the store cannot be used it is tried again."""
        troubled, begun = False, False
        while not self._stopping:
            self._news.clear()
            try:
                if not begun:
                    self._take_over()
                    begun = True
                self._turn()
                troubled = False
            except CepError as error:
                if not troubled:
                    self._say(f"back-tests wait: {error}")
                troubled = True
            self._listen()
        for running in self._running.values():
            running.end(_ENDED_WITH_SERVER)
        with suppress(CepError):  # then the next server says so
            self._settle()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()

    def _take_over(self) -> None:
        """What ran in a server that is gone."""
        for row in backtests.in_state(self._engine, State.RUNNING):
            if Request.of_json(row.request).topic == self.topic:
                backtests.fail(self._engine, row.id, self._clock.now_ms(), _ENDED_WITH_SERVER)

    def _turn(self) -> None:
        for id_, running in self._running.items():
            if running.cancelled:
                running.end()
            elif running.seconds > limits.BACKTEST_SECONDS_MAX:
                running.end(f"it took more than {limits.BACKTEST_SECONDS_MAX:,} s")
            elif running.is_to_be_stored():
                said = running.progress
                backtests.progress(self._engine, id_, said.records_read, said.records_all)
        self._settle()
        if len(self._running) < self._at_once:
            self._start_next(self._at_once - len(self._running))

    def _settle(self) -> None:
        """Writes down what became of those that are over."""
        for id_, running in list(self._running.items()):
            if not running.over:
                continue
            said, now_ms = running.progress, self._clock.now_ms()
            backtests.progress(self._engine, id_, said.records_read, said.records_all)
            if running.result is not None:
                backtests.finish(self._engine, id_, now_ms, running.result)
            elif running.reason is not None:
                backtests.fail(self._engine, id_, now_ms, running.reason)
            backtests.forget_old(self._engine)
            del self._running[id_]

    def _start_next(self, room: int) -> None:
        for row in backtests.in_state(self._engine, State.WAITING):
            request = Request.of_json(row.request)
            if request.topic != self.topic:
                continue
            now_ms = self._clock.now_ms()
            try:
                task = self._task(request)
            except StoreError:
                raise
            except CepError as error:
                backtests.fail(self._engine, row.id, now_ms, str(error))
                continue
            if backtests.start(self._engine, row.id, now_ms):
                self._running[row.id] = _Running(task)
                room -= 1
            if not room:
                break

    def _task(self, request: Request) -> Task:
        return task_of(request, self._deployments, self._log, self._tables)

    def _listen(self) -> None:
        by_pipe = {one.pipe: one for one in self._running.values() if not one.over}
        if not by_pipe:
            self._news.wait(limits.BACKTEST_LOOK_SECONDS)
        for pipe in wait(list(by_pipe), limits.BACKTEST_LOOK_SECONDS if by_pipe else 0):
            by_pipe[pipe].hear()  # type: ignore[index]  # only pipes were waited for


class _Running:
    """One process, and what it said last.  Once it is `over`, it has a result or a reason, or was
    cancelled."""

    def __init__(self, task: Task) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.progress = Progress(0, None)
        self.result: bytes | None = None
        self.reason: str | None = None
        self.over = False
        self.cancelled = False
        self._stored_at = self._started_at = time.monotonic()
        self._process: SpawnProcess = _SPAWN.Process(
            target=work, args=(theirs, task), name="back-test", daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        theirs.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started_at

    def is_to_be_stored(self) -> bool:
        """Whether it is time again to write down how far it is."""
        now = time.monotonic()
        if (now - self._stored_at) * 1000 < limits.BACKTEST_PROGRESS_STORED_MS:
            return False
        self._stored_at = now
        return True

    def told(self, row: BacktestRow) -> BacktestRow:
        """The row with the progress that is not stored yet."""
        if row.state is not State.RUNNING:
            return row
        said = self.progress
        return replace(row, records_read=said.records_read, records_all=said.records_all)

    def hear(self) -> None:
        """Takes the next message, or notices that there will be none."""
        message: Message | None = None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            message = self.pipe.recv()
        match message:
            case Progress():
                self.progress = message
            case Done(result):
                self.result = result
                self.end()
            case Failed(reason):
                self.end(reason)
            case None:
                self.end(self._how_it_ended())

    def end(self, reason: str | None = None) -> None:
        """The process is killed, if it is there; `reason` is why the back-test failed."""
        if self.over:
            return
        self.over = True
        if reason is not None:
            self.reason = reason[: limits.BACKTEST_REASON_CHARACTERS_MAX]
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()

    def _how_it_ended(self) -> str:
        self._process.join(_ENDING_SECONDS)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with {code}: a fault of the program, see the server's output"
