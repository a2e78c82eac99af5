"""One attempt as a list of small stages.

Each stage looks at the attempt, may add to it, and returns None to go on or the named reason the
attempt ends with.  `alerts.verdict` says what follows from the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from alerts.attempt import Attempt, Surroundings
from alerts.channels import channel_of
from alerts.errors import SecretError, SendError
from alerts.reasons import Reason

Stage = Callable[[Attempt, Surroundings], Awaitable[Reason | None]]


async def run_stages(attempt: Attempt, around: Surroundings) -> Reason:
    for stage in STAGES:
        reason = await stage(attempt, around)
        if reason is not None:
            return reason
    return Reason.INTERNAL  # the last stage always has a reason


async def known(attempt: Attempt, around: Surroundings) -> Reason | None:
    """The destination is configured."""
    attempt.destination = around.destinations.destinations.get(attempt.delivery.destination)
    return Reason.DESTINATION_UNKNOWN if attempt.destination is None else None


async def enabled(attempt: Attempt, around: Surroundings) -> Reason | None:
    """The receiver has not said that it wants no more."""
    if attempt.delivery.destination in around.disabled:
        return Reason.DESTINATION_DISABLED
    return None


async def rendered(attempt: Attempt, around: Surroundings) -> Reason | None:
    """The message exists as bytes and is kept."""
    delivery, destination = attempt.delivery, attempt.destination
    assert destination is not None
    if delivery.body is not None and delivery.channel == destination.type:
        attempt.body = delivery.body
        return None
    # Not rendered yet, or the destination was unknown or of another kind then.
    notice = await around.load_notice(delivery)
    try:
        attempt.body = channel_of(destination).render(notice, destination)
    except SendError as error:
        attempt.error = error.detail
        return error.reason
    await around.save_body(delivery.id, destination.type, attempt.body)
    return None


async def sent(attempt: Attempt, around: Surroundings) -> Reason | None:
    """The receiver has answered."""
    destination = attempt.destination
    assert destination is not None
    try:
        return await channel_of(destination).send(attempt, destination, around)
    except SecretError as error:
        attempt.error = str(error)
        return Reason.SECRET_UNAVAILABLE
    except SendError as error:
        attempt.error, attempt.status = error.detail, error.status
        return error.reason


STAGES: tuple[Stage, ...] = (known, enabled, rendered, sent)
