"""Timestamps as text → ms since the epoch, one at a time and for a whole column.

The format is RFC 3339 with three liberties: a space may stand for the T, the offset may be written
±hh or ±hhmm, and without an offset the time is UTC.  A fraction of 1 to 9 digits is cut (not
rounded) to ms.  Leap seconds (:60), 24:00 and years outside 0001–9999 are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import kernel
from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.strings import NULL

BAD_TIMESTAMP = NULL + 1
"""What the column parser gives for a text that is no timestamp."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORMAT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


def timestamp_ms(text: str) -> int | None:
    """`text` in ms since the epoch, or None if it is no timestamp."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    if sign and not (int(hours) <= 23 and int(minutes or 0) <= 59):
        return None
    try:
        local = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc, arg-type]  # 6 ints
    except ValueError:
        return None
    ms = datetime_ms(local) + int(((fraction or "") + "000")[:3])
    if sign:
        offset_ms = (int(hours) * 60 + int(minutes or 0)) * 60_000
        ms += -offset_ms if sign == "+" else offset_ms
    return ms if TIMESTAMP_MS_MIN <= ms <= TIMESTAMP_MS_MAX else None


def datetime_ms(value: datetime) -> int:
    """ms since the epoch, cut; a datetime without a zone is UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return (value - _EPOCH) // _MILLISECOND


def timestamps_ms(texts: Sequence[str | None]) -> NDArray[np.int64]:
    """int64 ms for each text: NULL for None, BAD_TIMESTAMP for what is no timestamp."""
    try:
        found = _parse_all(texts)  # type: ignore[arg-type]  # None raises TypeError, and is rare
    except TypeError:
        found = _parse_all(["" if text is None else text for text in texts])
        found[np.fromiter((text is None for text in texts), np.bool_, len(texts))] = NULL
    return found


def _parse_all(texts: Sequence[str]) -> NDArray[np.int64]:
    joined = "".join(texts)
    if not joined.isascii():
        texts = [text if text.isascii() else "" for text in texts]
        joined = "".join(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    found = np.empty(len(texts), np.int64)
    _parse_column(np.frombuffer(joined.encode("ascii"), np.uint8), lengths, found)
    return found


@kernel
def _parse_column(
    text: NDArray[np.uint8], lengths: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    """found[i] = ms of the i-th of the texts that lie one after another in `text` (uint8)."""
    start = 0
    for i in range(len(lengths)):
        end = start + lengths[i]
        found[i] = parse_timestamp(text, start, end)
        start = end


@kernel
def parse_timestamp(text: NDArray[np.uint8], start: int, end: int) -> int:
    """ms of the timestamp in text[start:end], or BAD_TIMESTAMP; equals `timestamp_ms`."""
    if end - start < 19:
        return BAD_TIMESTAMP
    year = _digits(text, start, 4)
    month = _digits(text, start + 5, 2)
    day = _digits(text, start + 8, 2)
    hour = _digits(text, start + 11, 2)
    minute = _digits(text, start + 14, 2)
    second = _digits(text, start + 17, 2)
    # a field that is not digits is -1, which makes the bitwise or negative
    if (year | month | day | hour | minute | second) < 0:
        return BAD_TIMESTAMP
    if text[start + 4] != 45 or text[start + 7] != 45:  # -
        return BAD_TIMESTAMP
    between = text[start + 10]
    if between != 84 and between != 116 and between != 32:  # T t space
        return BAD_TIMESTAMP
    if text[start + 13] != 58 or text[start + 16] != 58:  # :
        return BAD_TIMESTAMP
    if year < 1 or month < 1 or month > 12 or hour > 23 or minute > 59 or second > 59:
        return BAD_TIMESTAMP
    if day < 1 or day > _days_in_month(year, month):
        return BAD_TIMESTAMP
    ms: Any = (_days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000
    at = start + 19
    if at < end and text[at] == 46:  # .
        at += 1
        first = at
        unit = 100
        while at < end and 48 <= text[at] <= 57:
            ms += (np.int64(text[at]) - 48) * unit
            unit //= 10
            at += 1
        if at == first or at - first > 9:
            return BAD_TIMESTAMP
    if at < end:
        offset_ms = _offset_ms(text, at, end)
        if offset_ms == BAD_TIMESTAMP:
            return BAD_TIMESTAMP
        ms -= offset_ms
    return ms if TIMESTAMP_MS_MIN <= ms <= TIMESTAMP_MS_MAX else BAD_TIMESTAMP


@kernel
def _offset_ms(text: NDArray[np.uint8], at: int, end: int) -> int:
    """The offset from UTC in text[at:end]: Z, ±hh, ±hhmm or ±hh:mm."""
    sign = text[at]
    if sign == 90 or sign == 122:  # Z z
        return 0 if end - at == 1 else BAD_TIMESTAMP
    length = end - at
    if (sign != 43 and sign != 45) or (length != 3 and length != 5 and length != 6):  # + -
        return BAD_TIMESTAMP
    hours = _digits(text, at + 1, 2)
    minutes = 0
    if length == 5:
        minutes = _digits(text, at + 3, 2)
    elif length == 6:
        minutes = _digits(text, at + 4, 2) if text[at + 3] == 58 else -1
    if hours < 0 or minutes < 0 or hours > 23 or minutes > 59:
        return BAD_TIMESTAMP
    offset = (hours * 60 + minutes) * 60_000
    return offset if sign == 43 else -offset


@kernel
def _digits(text: NDArray[np.uint8], start: int, count: int) -> int:
    """The number in `count` digits, -1 if one is not a digit."""
    value: Any = 0
    for i in range(start, start + count):
        digit = np.int64(text[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value  # type: ignore[no-any-return]  # an int64


@kernel
def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    return 30 if month in (4, 6, 9, 11) else 31


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, days_from_civil)."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
