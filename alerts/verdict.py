"""What follows from an attempt: the table of treatments applied to a reason and a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alerts.limits import REFUSED_ATTEMPTS_MAX
from alerts.reasons import TREATMENT, Reason, State, Treatment
from alerts.schedule import retry_delay_ms


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an attempt; `next_attempt_ms` is None once the delivery is over."""

    state: State
    reason: Reason
    next_attempt_ms: int | None = None
    disable: bool = False


def judge(
    reason: Reason,
    failures: int,
    now_ms: int,
    jitter: Callable[[], float],
    asked_delay_ms: int | None = None,
) -> Verdict:
    """`failures` counts the attempts of this schedule, the present one included."""
    treatment = TREATMENT[reason]
    if treatment is Treatment.DONE:
        return Verdict(State.DELIVERED, reason)
    if treatment in (Treatment.DIE, Treatment.DISABLE):
        return Verdict(State.DEAD, reason, disable=treatment is Treatment.DISABLE)
    if treatment is Treatment.RETRY_ONCE and failures >= REFUSED_ATTEMPTS_MAX:
        return Verdict(State.DEAD, reason)
    delay_ms = retry_delay_ms(failures, jitter)
    if delay_ms is None:
        return Verdict(State.DEAD, Reason.EXHAUSTED)
    return Verdict(State.PENDING, reason, now_ms + max(delay_ms, asked_delay_ms or 0))
