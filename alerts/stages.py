"""One attempt as a list of small stages.

Each stage looks at the attempt, may add to it, and returns None to go on or the named reason the
attempt ends with.  `alerts.verdict` says what follows from the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from alerts.config import Destination, Destinations, SmtpDestination, WebhookDestination
from alerts.credentials import signing_key
from alerts.deliveries import Delivery
from alerts.email import render_email
from alerts.errors import SecretError, SendError
from alerts.message import Subject
from alerts.ports import Clock, HttpSender, SmtpSender
from alerts.reasons import Reason, reason_of_status
from alerts.schedule import retry_after_ms
from alerts.webhook import render_webhook, signed_headers


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every attempt may use; `save` keeps a body rendered late, before it is sent."""

    destinations: Destinations
    disabled: Collection[str]
    clock: Clock
    http: HttpSender
    smtp: SmtpSender
    load_subject: Callable[[str], Awaitable[Subject]]
    save_body: Callable[[str, str, bytes], Awaitable[None]]


@dataclass(slots=True)
class Attempt:
    """What is known of one attempt so far; the last four are what the receiver said."""

    delivery: Delivery
    destination: Destination | None = None
    body: bytes = b""
    recipients: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    answer: bytes = b""
    error: str | None = None
    retry_after_ms: int | None = None


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
    # The destination was unknown, or of another kind, when the outbox row was taken.
    subject = await around.load_subject(delivery.detection_id)
    try:
        attempt.body = render(subject, destination, delivery.created_ms)
    except SendError as error:
        attempt.error = error.detail
        return error.reason
    await around.save_body(delivery.id, destination.type, attempt.body)
    return None


async def sent(attempt: Attempt, around: Surroundings) -> Reason | None:
    """The receiver has answered."""
    try:
        if isinstance(attempt.destination, SmtpDestination):
            return await _mail(attempt, attempt.destination, around)
        assert isinstance(attempt.destination, WebhookDestination)
        return await _post(attempt, attempt.destination, around)
    except SecretError as error:
        attempt.error = str(error)
        return Reason.SECRET_UNAVAILABLE
    except SendError as error:
        attempt.error, attempt.status = error.detail, error.status
        return error.reason


STAGES: tuple[Stage, ...] = (known, enabled, rendered, sent)


def render(subject: Subject, destination: Destination, created_ms: int) -> bytes:
    """The message for a destination; raises `SendError` (UNSENDABLE)."""
    if isinstance(destination, SmtpDestination):
        return render_email(subject, destination, created_ms)
    return render_webhook(subject)


async def _post(attempt: Attempt, destination: WebhookDestination, around: Surroundings) -> Reason:
    delivery = attempt.delivery
    keys = [signing_key(reference) for reference in destination.secrets]
    try:
        url = destination.address()
    except ValueError as error:
        raise SendError(Reason.BLOCKED, str(error)) from None
    headers = signed_headers(delivery.id, attempt.body, keys, around.clock.now_ms())
    answer = await around.http.post(delivery.destination, destination, url, headers, attempt.body)
    attempt.status, attempt.answer = answer.status, answer.body
    attempt.retry_after_ms = retry_after_ms(
        answer.headers.get("retry-after"), around.clock.now_ms()
    )
    return reason_of_status(answer.status)


async def _mail(attempt: Attempt, destination: SmtpDestination, around: Surroundings) -> Reason:
    attempt.recipients = dict(attempt.delivery.recipients)
    waiting = [who for who in destination.to if who not in attempt.recipients]
    if not waiting:
        return _reason_of_recipients(destination, attempt.recipients)
    password = None if destination.password is None else destination.password.read()
    answer = await around.smtp.send(destination, password, waiting, attempt.body)
    attempt.answer = answer.text.encode()
    for who in waiting:
        code, text = answer.refused.get(who, (250, ""))
        if code < 400:
            attempt.recipients[who] = "accepted"
        else:
            attempt.status = code
            attempt.error = f"{who}: {code} {text}"
            if code >= 500:
                attempt.recipients[who] = f"refused: {code}"
    return _reason_of_recipients(destination, attempt.recipients)


def _reason_of_recipients(destination: SmtpDestination, recipients: dict[str, str]) -> Reason:
    accepted = sum(recipients.get(who) == "accepted" for who in destination.to)
    refused = sum(recipients.get(who, "").startswith("refused") for who in destination.to)
    if accepted + refused < len(destination.to):
        return Reason.RECIPIENTS_DEFERRED
    if accepted == 0:
        return Reason.RECIPIENTS_REFUSED
    return Reason.DELIVERED if refused == 0 else Reason.PARTLY_DELIVERED
