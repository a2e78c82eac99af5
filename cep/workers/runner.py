"""What runs a job, here or in worker processes, and the choice between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cep.engine import Summary
from cep.errors import UsageError
from cep.idle import check_idle
from cep.intake import Intake
from cep.partitioning import check_log
from cep.ports import Log
from cep.store.store import SqlStore
from cep.workers.here import Here
from cep.workers.job import Job, Listener
from cep.workers.supervisor import Supervisor


class Runner(Protocol):
    """`stop` and `reload_tables` may be called from a signal handler or thread."""

    def run(self) -> Sequence[Summary]: ...

    def stop(self) -> None: ...

    def reload_tables(self) -> None: ...

    def trouble(self) -> str | None:
        """Why something is not read at the moment."""
        ...

    def intake(self) -> Mapping[str, Intake]: ...


def running(job: Job, log: Log, store: SqlStore | None, workers: int, listener: Listener) -> Runner:
    """`log` and `store` are those of the job, opened here.

    Raises UsageError for rules that cannot be run on the log's partitions, for more workers than
    those, and for ticks that the log cannot take.
    """
    check_log(job.rules, log)
    check_idle(log, job.idle_ms)
    if workers > len(log.partitions):
        count = "one partition" if len(log.partitions) == 1 else f"{len(log.partitions)} partitions"
        raise UsageError(f"{job.log} has {count}: at most so many workers (--workers {workers})")
    if workers == 1:
        return Here(job, log, store, listener)
    return Supervisor(job, log.partitions, workers, listener)
