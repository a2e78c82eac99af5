"""A function of rules from outside, run where it can hurt nobody: in a process of its own.

The process gives way to the engine, has a bound on memory and is killed when its time is up.  It is
spawned, never forked: the server has threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from cep import limits
from cep.errors import CepError, UsageError

Result = TypeVar("Result")
_SPAWN = multiprocessing.get_context("spawn")


def run_apart(
    function: Callable[..., Result], *args: object, seconds_max: float, bytes_max: int
) -> Result:
    """What `function(*args)` gives, or the `CepError` it raises; all of it has to be picklable.

    Raises `UsageError` when it takes longer, needs more memory, or dies.
    """
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_work, args=(theirs, bytes_max, function, args), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds_max):
            raise UsageError(f"it took longer than {seconds_max:g} s")
        outcome = ours.recv()
    except EOFError:
        raise UsageError("it needed too much memory, or crashed") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(outcome, CepError):
        raise outcome
    result: Result = outcome
    return result


def _work(
    pipe: Connection, bytes_max: int, function: Callable[..., object], args: tuple[object, ...]
) -> None:
    give_way(bytes_max)
    outcome: object
    try:
        outcome = function(*args)
    except CepError as error:
        outcome = error
    except MemoryError:
        return  # the pipe ends without an answer
    with contextlib.suppress(BrokenPipeError):
        pipe.send(outcome)


def give_way(bytes_max: int) -> None:
    """Puts this process behind the engine; memory it asks for beyond is refused (MemoryError)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    os.nice(limits.APART_NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or bytes_max <= hard:
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, hard))
