"""A job folded in this process and thread, all partitions in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cep.engine import Summary, run_in_turns
from cep.intake import Intake
from cep.ports import Log, SystemClock
from cep.store.store import SqlStore
from cep.workers.job import Job, Listener


class Here:
    """`stop` and `reload_tables` may be called from a signal handler or thread."""

    def __init__(self, job: Job, log: Log, store: SqlStore | None, listener: Listener) -> None:
        self._engines = job.engines(log.partitions, log, store, listener)

    def run(self) -> Sequence[Summary]:
        return run_in_turns(self._engines, SystemClock())

    def stop(self) -> None:
        for engine in self._engines:
            engine.stop()

    def reload_tables(self) -> None:
        for engine in self._engines:
            engine.reload_tables()

    def trouble(self) -> str | None:
        """Why something is not read at the moment."""
        started = all(engine.fold is not None for engine in self._engines)
        return None if started else "the engine is starting"

    def intake(self) -> Mapping[str, Intake]:
        return {engine.partition: engine.intake for engine in self._engines}
