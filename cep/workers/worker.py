"""The worker process: its partitions in turns, orders and messages over one pipe.

Ctrl-C goes to all processes of a terminal and is left to the supervisor.  When the pipe is closed
the supervisor is gone, and the worker commits and ends as if told to stop.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from cep import limits
from cep.cli.memory import tune_garbage_collection
from cep.engine import Engine, run_in_turns
from cep.errors import CepError
from cep.ports import DeadLetterRow, SystemClock
from cep.workers.job import Job, Listener
from cep.workers.messages import Dead, Ended, Failed, Order, Reading, Said, Shown


def work(pipe: Connection, job: Job, partitions: Sequence[str]) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            _Worker(pipe).run(job, partitions)
        except CepError as error:
            pipe.send(Failed(str(error), error.exit_code))


class _Worker:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._engines: list[Engine] = []
        self._records = 0
        self._reported = Reading(-1, 0, {})
        self._reported_at = float("-inf")

    def run(self, job: Job, partitions: Sequence[str]) -> None:
        log, store = job.open_log(self._say_when_open), job.open_store(self._say_when_open)
        listener = Listener(self._show, self._say, self._tell_dead_letters, self._progress)
        self._engines = job.engines(partitions, log, store, listener)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        tune_garbage_collection()
        try:
            summaries = run_in_turns(self._engines, SystemClock(), self._between_rounds)
        finally:
            log.close()
            if store is not None:
                store.close()
        self._pipe.send(Ended(summaries))

    def _between_rounds(self) -> None:
        try:
            while self._pipe.poll():
                order = self._pipe.recv()
                if order is Order.STOP:
                    self._stop()
                elif order is Order.RELOAD_TABLES:
                    for engine in self._engines:
                        engine.reload_tables()
        except (EOFError, OSError):
            self._stop()
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if (now - self._reported_at) * 1000 < limits.WORKER_REPORT_MS:
            return
        self._reported_at = now
        report = Reading(
            self._records,
            sum(engine.records_committed for engine in self._engines),
            {engine.partition: engine.intake for engine in self._engines},
        )
        if report != self._reported:
            self._reported = report
            self._pipe.send(report)

    def _stop(self) -> None:
        for engine in self._engines:
            engine.stop()

    def _show(self, lines: bytes) -> None:
        self._pipe.send(Shown(lines))

    def _say(self, sentence: str) -> None:
        self._pipe.send(Said(sentence))

    def _say_when_open(self, sentence: str) -> None:
        """What a log says of itself at its opening the supervisor's has said."""
        if self._engines:
            self._say(sentence)

    def _tell_dead_letters(self, partition: str, letters: Sequence[DeadLetterRow]) -> None:
        self._pipe.send(Dead(partition, letters[: limits.DEAD_LETTERS_TOLD_MAX]))

    def _progress(self, records: int) -> None:
        self._records = records
