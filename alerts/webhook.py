"""The webhook channel: a CloudEvents 1.0 envelope, signed the Standard Webhooks way.

The body is rendered once and kept.  Each attempt signs the same id and bytes anew, with the time of
the attempt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from alerts.attempt import Attempt, Surroundings
from alerts.credentials import SecretReference, readable, signing_key
from alerts.destinations import WebhookDestination
from alerts.envelope import envelope
from alerts.errors import SecretError, SendError
from alerts.message import Notice
from alerts.network import check_url
from alerts.posting import post
from alerts.reasons import Reason

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def render(notice: Notice, destination: WebhookDestination) -> bytes:
    return envelope(notice, destination.link)


async def send(attempt: Attempt, destination: WebhookDestination, around: Surroundings) -> Reason:
    keys = [signing_key(reference) for reference in destination.secrets]
    try:
        url = destination.address()
    except ValueError as error:
        raise SendError(Reason.BLOCKED, str(error)) from None
    headers = signed_headers(attempt.delivery.id, attempt.body, keys, around.clock.now_ms())
    return await post(attempt, destination, around, url, headers, attempt.body)


def secrets(destination: WebhookDestination) -> list[str]:
    """The keys; of a secret URL its path alone too."""
    values = readable(*destination.secrets)
    if isinstance(destination.url, SecretReference):
        with contextlib.suppress(SecretError, ValueError):
            url = check_url(destination.address())
            values += [str(url), url.raw_path.decode("ascii").lstrip("/")]
    return values


def signed_headers(
    message_id: str, body: bytes, keys: Sequence[bytes], now_ms: int
) -> dict[str, str]:
    """The headers of one attempt; one signature per key, in the order of the keys."""
    at = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
    text = body.decode("utf-8")
    return {
        "content-type": CONTENT_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, text) for key in keys),
    }
