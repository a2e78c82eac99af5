"""An event loop that never waits: where it would, its clock moves on instead."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from alerts.ports import ManualClock


class SimulatedLoop(asyncio.SelectorEventLoop):
    """What would run in a thread runs in the loop, at its next turn."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self._start_ms = clock, clock.at_ms
        super().__init__(_Selector(clock))
        self.set_exception_handler(lambda loop, context: None)  # of tasks that died in a crash

    def time(self) -> float:
        # Small numbers: the loop adds nanoseconds to them.
        return (self._clock.at_ms - self._start_ms) / 1000

    def run_in_executor(  # type: ignore[override]
        self, executor: object, function: Callable[..., Any], *arguments: object
    ) -> asyncio.Future[Any]:
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        self.call_soon(run)
        return future

    def turn(self, seconds: float = 0.0) -> None:
        """Lets the tasks run until so much time has passed; 0: one turn."""
        self.run_until_complete(asyncio.sleep(seconds))

    def end(self) -> None:
        """Cancels what still runs and closes; no time passes by it."""
        at_ms = self._clock.at_ms
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.wait(tasks))
        self.close()
        self._clock.at_ms = at_ms


class _Selector(selectors.SelectSelector):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, selectors._EventMask]]:
        assert timeout is not None, "everything waits for something that will not happen"
        if timeout > 0:
            self._clock.advance(math.ceil(timeout * 1000))
        return super().select(0)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return super().get_map()
