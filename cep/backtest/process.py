"""The process of one back-test: it says how far it is, and at the end what it found.

It gives way to the engine, and has a bound on memory, so whatever is asked hurts only itself.  When
its pipe is closed the server is gone, and it ends.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeAlias

from cep import limits
from cep.apart import give_way
from cep.backtest.history import open_history
from cep.backtest.request import Task
from cep.backtest.result import Progress
from cep.backtest.run import Run
from cep.cli.memory import tune_garbage_collection
from cep.errors import CepError


@dataclass(frozen=True, slots=True)
class Done:
    result: bytes  # JSON


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


Message: TypeAlias = Progress | Done | Failed


def work(pipe: Connection, task: Task) -> None:
    """The whole life of the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    give_way(limits.BACKTEST_MEMORY_BYTES_MAX)
    tune_garbage_collection()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(_outcome(pipe, task))


def _outcome(pipe: Connection, task: Task) -> Done | Failed:
    try:
        return Done(_run(pipe, task))
    except CepError as error:
        return Failed(str(error))
    except MemoryError:
        mib = limits.BACKTEST_MEMORY_BYTES_MAX >> 20
        return Failed(f"it needed more than {mib:,} MiB of memory: ask about a shorter time")


def _run(pipe: Connection, task: Task) -> bytes:
    history = open_history(task.log)
    try:
        run = Run(task.question(), history)
        said_at = float("-inf")
        for progress in run.steps():
            now = time.monotonic()
            if (now - said_at) * 1000 >= limits.BACKTEST_PROGRESS_MS:
                said_at = now
                pipe.send(progress)
        pipe.send(progress)
        return run.result().to_json()
    finally:
        history.close()
