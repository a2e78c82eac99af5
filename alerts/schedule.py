"""When the next attempt is made: the retry schedule, its jitter, and `Retry-After`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from alerts import limits


def retry_delay_ms(failures: int, jitter: Callable[[], float]) -> int | None:
    """How long to wait after the `failures`-th failed attempt; None when none is left.

    `jitter()` is uniform in [0, 1).
    """
    if failures > len(limits.RETRY_DELAYS_MS):
        return None
    spread = 1 + limits.RETRY_JITTER * (2 * jitter() - 1)
    return round(limits.RETRY_DELAYS_MS[failures - 1] * spread)


def retry_after_ms(header: str | None, now_ms: int) -> int | None:
    """The delay a `Retry-After` header asks for (RFC 9110, 10.2.3): seconds or an HTTP date.

    A header that is neither is ignored; a delay beyond the bound is cut to it.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        delay_ms = int(text[:12]) * 1000
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        delay_ms = round(date.timestamp() * 1000) - now_ms
    return max(0, min(delay_ms, limits.RETRY_AFTER_MAX_MS))
