"""Scalars as text: what `string(x)` gives in a rule, and what messages show.

A timestamp is ISO 8601 in UTC with milliseconds, a duration `1m30s`, a decimal its exact digits.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from dsl.model import Kind, Type

_EPOCH = datetime(1970, 1, 1)
_SECONDS = [f":{second:02d}" for second in range(60)]
_THOUSANDTHS = [f".{ms:03d}Z" for ms in range(1000)]
_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def iso_time(at_ms: int) -> str:
    """UTC with milliseconds and `Z`; years outside 1..9999 as numpy writes them."""
    return _minute(at_ms // 60_000) + _SECONDS[at_ms // 1000 % 60] + _THOUSANDTHS[at_ms % 1000]


@lru_cache(maxsize=4096)
def _minute(minute: int) -> str:
    """The minute that begins so many minutes after 1970-01-01T00:00Z."""
    try:
        return (_EPOCH + timedelta(minutes=minute)).isoformat(timespec="minutes")
    except OverflowError:
        return str(np.datetime64(minute, "m"))


def duration_text(duration_ms: int) -> str:
    """`1d2h`, `1m30s`, `250ms`, `0s`; a minus sign in front of negative ones."""
    if duration_ms == 0:
        return "0s"
    rest = abs(duration_ms)
    parts = ["-"] if duration_ms < 0 else []
    for unit, size_ms in _UNITS_MS:
        count, rest = divmod(rest, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def decimal_text(scaled: int, scale: int) -> str:
    """The digits of scaled / 10**scale, without trailing zeros after the point."""
    whole, part = divmod(abs(scaled), 10**scale)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{part:0{scale}d}".rstrip("0") if part else f"{sign}{whole}"


def shown(type: Type, value: object) -> str:
    """`value` of `type` as text; null is the text `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        item = type.item or Type(Kind.STRING)
        return ", ".join(shown(item, one) for one in value)
    if isinstance(value, int):
        match type.kind:
            case Kind.DURATION:
                return duration_text(value)
            case Kind.TIMESTAMP:
                return iso_time(value)
            case Kind.DECIMAL:
                return decimal_text(value, type.scale)
    return str(value)
