"""Blocking calls of channels: bounded in time and number, and nobody waits for what hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from alerts import limits
from alerts.errors import SendError
from alerts.reasons import Reason
from alerts.threads import in_thread


def test_result_and_error_come_back() -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    assert asyncio.run(in_thread("a", 10_000, lambda: threading.current_thread().daemon))
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(in_thread("a", 10_000, fail))


def test_calls_that_hang_are_counted_until_they_end() -> None:
    let_go = threading.Event()

    async def call(name: str, function: Callable[[], object], timeout_ms: int) -> Reason | None:
        try:
            await in_thread(name, timeout_ms, function)
        except SendError as error:
            return error.reason
        return None

    async def hang() -> list[Reason | None]:
        calls = [call("b", let_go.wait, 10) for _ in range(limits.THREADS_MAX)]
        return await asyncio.gather(*calls)

    assert set(asyncio.run(hang())) == {Reason.TIMEOUT}
    assert asyncio.run(call("b", lambda: None, 60_000)) is Reason.TIMEOUT  # at once
    assert asyncio.run(call("c", lambda: None, 60_000)) is None
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "send to b":
            thread.join()
    assert asyncio.run(call("b", lambda: None, 60_000)) is None


def test_program_ends_while_a_call_hangs() -> None:
    program = (
        "import asyncio, threading\n"
        "from alerts.errors import SendError\n"
        "from alerts.threads import in_thread\n"
        "try:\n"
        "    asyncio.run(in_thread('a', 100, threading.Event().wait))\n"
        "except SendError as error:\n"
        "    print(error.detail)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.stdout == b"not done in 100 ms\n"
    assert done.returncode == 0
