"""The breaker of a destination: after failures in a row it is left alone for a while.

    closed ──5 failures in a row──► open ──its pause is over──► one probe ──taken──► closed
                                      ▲                            │
                                      └──────── failed: twice the pause, up to a bound

While it is open, deliveries wait without using up their attempts; once it closes, those that had
failed are due at once.  A receiver that says when to
come back (429, 503 with `Retry-After`) is left alone until then at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts import limits
from alerts.reasons import TREATMENT, Reason, Treatment

_OF_ONE_MESSAGE = frozenset({Reason.RECIPIENTS_DEFERRED, Reason.INTERNAL})

OF_DESTINATION = (
    frozenset(reason for reason, treatment in TREATMENT.items() if treatment is Treatment.RETRY)
    - _OF_ONE_MESSAGE
)
"""Failures that say something of the destination, whatever the message was."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row since `since_ms`; nothing is sent before `probe_ms`."""

    failures: int
    since_ms: int
    probe_ms: int

    def is_open(self) -> bool:
        return self.failures >= limits.BREAKER_FAILURES

    def places(self, places: int, now_ms: int) -> int:
        """How many messages may be under way, of `places` otherwise."""
        if now_ms < self.probe_ms:
            return 0
        return 1 if self.is_open() else places


def after_attempt(
    before: Breaker | None, reason: Reason, now_ms: int, asked_delay_ms: int | None = None
) -> Breaker | None:
    """The breaker after an attempt that ended so; None when nothing is wrong."""
    if reason in _OF_ONE_MESSAGE:
        return before
    if reason not in OF_DESTINATION:  # whatever it says of the message, the receiver was there
        return None
    if before is None:
        before = Breaker(0, now_ms, 0)
    failures = before.failures + 1
    pause_ms = asked_delay_ms or 0
    if failures >= limits.BREAKER_FAILURES:
        doubled = limits.BREAKER_PAUSE_MS << min(failures - limits.BREAKER_FAILURES, 20)
        pause_ms = max(pause_ms, min(doubled, limits.BREAKER_PAUSE_MAX_MS))
    return Breaker(failures, before.since_ms, max(before.probe_ms, now_ms + pause_ms))
