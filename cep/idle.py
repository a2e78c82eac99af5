"""Ticks: how time goes on in a log that is silent, so that pending absences are decided.

A tick is written to the log before it is applied, so a replay applies it at the same place.  It
moves the watermark by as much as the log was silent: event time goes on at the pace of the clock,
and a log of old events is not dragged into the present.  Only silence at the end of the log counts;
an engine that is behind has records to read.  Before the first event there is no time to move.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from cep import limits
from cep.errors import UsageError
from cep.ports import Clock, Log
from dsl.strings import duration_text


@runtime_checkable
class TickLog(Protocol):
    """A log that can be told of silence; False: something else was appended at that moment."""

    def append_tick(self, partition: str, tick_ms: int) -> bool: ...


class Ticks:
    """Writes a tick to a partition of `log` after each `idle_ms` of its silence.

    A tick by somebody else who follows the partition has told of the silence before it: two that
    follow move time no faster than one.
    """

    def __init__(self, log: TickLog, partition: str, idle_ms: int) -> None:
        assert idle_ms >= limits.IDLE_MS_MIN
        self._log = log
        self._partition = partition
        self._idle_ms = idle_ms
        self._silent_since_ms: int | None = None
        self._looked_ms = 0

    def heard(self) -> None:
        """There was something to read, be it a tick."""
        self._silent_since_ms = None

    def tick(self, clock: Clock, watermark_ms: int) -> bool:
        """To be called when there is nothing to read; whether there is now."""
        now_ms = clock.now_ms()
        # A clock that was set, or a machine that slept, says nothing about the log.
        jumped = not 0 <= now_ms - self._looked_ms < self._idle_ms
        self._looked_ms = now_ms
        if self._silent_since_ms is None or jumped:
            self._silent_since_ms = now_ms
            return False
        silent_ms = now_ms - self._silent_since_ms
        if silent_ms < self._idle_ms:
            return False
        if not limits.BEGINNING_OF_TIME_MS < watermark_ms < limits.END_OF_TIME_MS:
            return False
        self._silent_since_ms = now_ms
        return self._log.append_tick(self._partition, watermark_ms + silent_ms)


def check_idle(log: Log, idle_ms: int | None) -> None:
    """What an operator asked for; None means what suits the log, 0 never.

    Raises UsageError for a log that cannot take ticks, or an idle time too short to mean anything.
    """
    if not idle_ms:
        return
    if not isinstance(log, TickLog):
        raise UsageError("--idle needs a log that ticks can be written to (app.db)")
    if idle_ms < limits.IDLE_MS_MIN:
        raise UsageError(f"--idle: at least {duration_text(limits.IDLE_MS_MIN)}")


def ticks_for(log: Log, partition: str, idle_ms: int | None, *, followed: bool) -> Ticks | None:
    """The ticks of one partition; `idle_ms` as for `check_idle`."""
    if idle_ms is None:
        idle_ms = limits.IDLE_MS if followed else 0
    return Ticks(log, partition, idle_ms) if idle_ms and isinstance(log, TickLog) else None
