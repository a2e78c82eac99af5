"""One POST of an attempt: what the receiver answered goes into the attempt, its status decides."""

from __future__ import annotations

from collections.abc import Mapping

from alerts.attempt import Attempt, Surroundings
from alerts.ports import HttpSettings
from alerts.reasons import Reason, reason_of_status
from alerts.schedule import retry_after_ms

_HEADERS = {"user-agent": "cep", "accept-encoding": "identity"}


async def post(
    attempt: Attempt,
    settings: HttpSettings,
    around: Surroundings,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Reason:
    """Raises `SendError`."""
    name = attempt.delivery.destination
    answer = await around.http.post(name, settings, url, {**headers, **_HEADERS}, body)
    attempt.status, attempt.answer = answer.status, answer.body
    attempt.retry_after_ms = retry_after_ms(
        answer.headers.get("retry-after"), around.clock.now_ms()
    )
    return reason_of_status(answer.status)
