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

from matcher.compiled import inlined, kernel, outlined
from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.strings import NULL
from matcher.words import load_word

Octets = NDArray[np.uint8]

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
    octets = np.frombuffer(joined.encode("ascii"), np.uint8)
    _parse_column(octets, lengths, new_memo(), found)
    return found


@kernel
def _parse_column(
    text: Octets, lengths: NDArray[np.int64], memo: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    """found[i] = ms of the i-th of the texts that lie one after another in `text` (uint8)."""
    start = 0
    for i in range(len(lengths)):
        end = start + lengths[i]
        found[i] = parse_timestamp(text, start, end, memo)
        start = end


def new_memo() -> NDArray[np.int64]:
    """Where `parse_timestamp` remembers a date: the words of its ten bytes, and its first ms."""
    date = b"1970-01-01"
    words = [int.from_bytes(part, "little") for part in (date[:8], date[2:])]
    return np.array([*words, 0], np.int64)


@inlined
def parse_timestamp(text: Octets, start: int, end: int, memo: NDArray[np.int64]) -> int:
    """ms of the timestamp in text[start:end], or BAD_TIMESTAMP; equals `timestamp_ms`."""
    if end - start < 19:
        return BAD_TIMESTAMP
    head, tail = load_word(text, start), load_word(text, start + 2)
    if memo[0] != np.int64(head) or memo[1] != np.int64(tail):
        date_ms = _date_ms(text, start)
        if date_ms == BAD_TIMESTAMP:
            return BAD_TIMESTAMP
        memo[0], memo[1], memo[2] = np.int64(head), np.int64(tail), date_ms
    between = text[start + 10]
    if between != 84 and between != 116 and between != 32:  # T t space
        return BAD_TIMESTAMP
    clock_ms = _clock_ms(load_word(text, start + 11))
    if clock_ms < 0:
        return BAD_TIMESTAMP
    ms = memo[2] + clock_ms
    if end - start == 20 and text[start + 19] == 90:  # Z
        return ms  # type: ignore[no-any-return]  # an int64
    if end - start == 24:
        fraction = _fraction_ms(load_word(text, start + 16))
        if fraction >= 0:
            return ms + fraction  # type: ignore[no-any-return]  # an int64
    return _with_rest(text, start + 19, end, ms)


@outlined
def _date_ms(text: Octets, start: int) -> int:
    """The first ms of the day that is written in ten bytes."""
    year = _digits(text, start, 4)
    month = _digits(text, start + 5, 2)
    day = _digits(text, start + 8, 2)
    # a field that is not digits is -1, which makes the bitwise or negative
    if (year | month | day) < 0 or text[start + 4] != 45 or text[start + 7] != 45:  # -
        return BAD_TIMESTAMP
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _days_in_month(year, month):
        return BAD_TIMESTAMP
    return _days(year, month, day) * 86_400_000


@inlined
def _clock_ms(word: Any) -> Any:
    """The ms of the eight bytes hh:mm:ss, -1 if they are not that."""
    digits = word ^ _CLOCK  # digits become their values, colons zero
    if (digits | (digits + _CLOCK_ROOM)) & _HIGH_BITS:
        return np.int64(-1)
    values = np.int64(digits)
    hour = (values & 15) * 10 + (values >> 8 & 15)
    minute = (values >> 24 & 15) * 10 + (values >> 32 & 15)
    second = (values >> 48 & 15) * 10 + (values >> 56)
    if hour > 23 or minute > 59 or second > 59:
        return np.int64(-1)
    return (hour * 3_600 + minute * 60 + second) * 1_000


@inlined
def _fraction_ms(word: Any) -> Any:
    """The ms of .mmmZ, which the last five of eight bytes have to be; -1 if they are not."""
    digits = (word >> _FRACTION_SHIFT) ^ _FRACTION
    if (digits | (digits + _FRACTION_ROOM)) & _HIGH_BITS:
        return np.int64(-1)
    values = np.int64(digits)
    return (values >> 8 & 15) * 100 + (values >> 16 & 15) * 10 + (values >> 24 & 15)


_FRACTION_SHIFT = np.uint64(24)
_FRACTION = np.uint64(int.from_bytes(b".000Z", "little"))
_FRACTION_ROOM = np.uint64(int.from_bytes(bytes([127, 118, 118, 118, 127]), "little"))

_CLOCK = np.uint64(int.from_bytes(b"00:00:00", "little"))
# What takes a byte that is more than 9, or more than 0 in place of a colon, to its high bit.
_CLOCK_ROOM = np.uint64(int.from_bytes(bytes([118, 118, 127, 118, 118, 127, 118, 118]), "little"))
_HIGH_BITS = np.uint64(0x8080808080808080)


@outlined
def _with_rest(text: Octets, at: int, end: int, ms: Any) -> int:
    """`ms` with the fraction and the offset in text[at:end]."""
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


@outlined
def _offset_ms(text: Octets, at: int, end: int) -> int:
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


@outlined
def _digits(text: Octets, start: int, count: int) -> int:
    """The number in `count` digits, -1 if one is not a digit."""
    value: Any = 0
    for i in range(start, start + count):
        digit = np.int64(text[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value  # type: ignore[no-any-return]  # an int64


@outlined
def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    return 30 if month in (4, 6, 9, 11) else 31


@outlined
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, days_from_civil)."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
