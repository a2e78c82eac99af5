"""Back-pressure: whether a partition is read at the moment.

Messages that nobody takes from the outbox hold reading up, so that a log that comes faster than its
detections can be told fills the log and not the outbox.  A slow store needs no such gate: nothing
is read while it commits; that is only told.  Neither changes what is detected, nor moves time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from cep import limits
from cep.ports import Clock


class Intake(StrEnum):
    FLOWING = "flowing"
    HELD = "held"  # the outbox is full
    SLOW = "slow"  # the last commit took long


class Gate:
    """`full` says whether the outbox is; it is asked every `limits.INTAKE_LOOK_MS`."""

    def __init__(self, full: Callable[[], bool], clock: Clock) -> None:
        self.state = Intake.FLOWING
        self._full = full
        self._clock = clock
        self._looked_ms: int | None = None

    def held(self) -> bool:
        """Whether nothing may be read now."""
        now_ms = self._clock.now_ms()
        if self._looked_ms is None or not 0 <= now_ms - self._looked_ms < limits.INTAKE_LOOK_MS:
            self._looked_ms = now_ms
            if self._full():
                self.state = Intake.HELD
            elif self.state is Intake.HELD:
                self.state = Intake.FLOWING
        return self.state is Intake.HELD

    def committed(self, took_ms: int) -> None:
        if self.state is not Intake.HELD:
            self.state = Intake.SLOW if took_ms > limits.STORE_SLOW_MS else Intake.FLOWING

    def idle(self) -> None:
        """There was nothing to read: nothing is slow."""
        if self.state is Intake.SLOW:
            self.state = Intake.FLOWING
