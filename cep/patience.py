"""Waiting for a database that is gone for a while: restarted, or failing over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cep import limits
from cep.errors import Gone
from cep.ports import Clock

T = TypeVar("T")


class Patience:
    """Tries again what failed because the other side is gone, until it works or `stopping` says so.

    What is tried must leave nothing half done, and may have been done although it failed: a
    connection can be lost behind a commit.  `notify` is told once that it waits, and once that it
    goes on.
    """

    def __init__(
        self, clock: Clock, stopping: Callable[[], bool], notify: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._stopping = stopping
        self._notify = notify

    def __call__(self, action: Callable[[], T]) -> T:
        pause_ms = 0
        while True:
            try:
                result = action()
            except Gone as error:
                if self._stopping():
                    raise
                if not pause_ms:
                    self._notify(f"{error}; waiting until it is there again")
                pause_ms = min(2 * pause_ms + 50, limits.DATABASE_RETRY_INTERVAL_MS_MAX)
                self._clock.sleep_ms(pause_ms)
            else:
                if pause_ms:
                    self._notify("the database is there again")
                return result
