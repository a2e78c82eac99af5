"""Blocking calls of channels, each in a thread of its own and waited for only so long.

A call that is late goes on behind our back: threads cannot be stopped.  So they are counted, and
the program does not wait for them at its end.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from alerts import limits
from alerts.errors import SendError
from alerts.reasons import Reason

T = TypeVar("T")

_running: Counter[str] = Counter()
_lock = threading.Lock()


async def in_thread(name: str, timeout_ms: int, function: Callable[[], T]) -> T:
    """What `function` returns or raises; `SendError` (TIMEOUT) when it is late.

    At most limits.THREADS_MAX calls run under one `name`.
    """
    with _lock:
        if _running[name] >= limits.THREADS_MAX:
            raise SendError(Reason.TIMEOUT, "too many earlier messages are still under way")
        _running[name] += 1
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # whoever gives up waiting does not cancel it
    run = threading.Thread(
        target=_run, args=(name, function, future), name=f"send to {name}", daemon=True
    )
    run.start()
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=timeout_ms / 1000)
    if not done:
        raise SendError(Reason.TIMEOUT, f"not done in {timeout_ms} ms")
    return done.pop().result()


def _run(name: str, function: Callable[[], T], future: Future[T]) -> None:
    try:
        result = function()
    except BaseException as error:
        _over(name)
        future.set_exception(error)
    else:
        _over(name)
        future.set_result(result)


def _over(name: str) -> None:
    with _lock:
        _running[name] -= 1
