"""Calendar parts of timestamps in a time zone: of one timestamp, and of a whole column.

    part(op, ms, zone) = PARTS[op](local_ms(ms, zone))

Zones come from the package `tzdata` and not from the machine, so the same log and the same
installation give the same local times everywhere.  `PARTS` is integer arithmetic that does for
Python's ints and for NumPy's arrays alike.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.strings import NULL

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
DAY_MS = 86_400_000
STRETCH_MS = 900_000
"""Clocks change at most once in a stretch of this length, and rarely in one at all."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; the checker of rules has made sure that there is one."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def local_ms(ms: int, zone: str) -> int | None:
    """`ms` since the epoch as the clocks of `zone` show it; null beyond the years 1 to 9999."""
    if not TIMESTAMP_MS_MIN <= ms <= TIMESTAMP_MS_MAX:
        return None
    try:
        offset = (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone_of(zone)).utcoffset()
    except OverflowError:
        return None
    assert offset is not None, "an aware datetime has an offset"
    return ms + offset // _MILLISECOND


def local_column(ms: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """`local_ms` of a column in storage form: one look at the zone per stretch of time."""
    stretches, inverse = np.unique(ms // STRETCH_MS, return_inverse=True)
    begins = stretches * STRETCH_MS
    offsets = np.full(len(begins), NULL, np.int64)
    for place, begin in enumerate(begins.tolist()):
        first, last = local_ms(begin, zone), local_ms(begin + STRETCH_MS - 1, zone)
        if first is not None and last == first + STRETCH_MS - 1:
            offsets[place] = first - begin
    found = offsets[inverse.reshape(-1)].reshape(ms.shape)
    local = np.where(found == NULL, NULL, ms + found)
    for place in np.flatnonzero((found == NULL) & (ms != NULL)).tolist():  # a clock changes here
        exact = local_ms(int(ms.flat[place]), zone)
        local.flat[place] = NULL if exact is None else exact
    return local


def part(op: str, ms: int, zone: str) -> int | None:
    local = local_ms(ms, zone)
    return None if local is None else int(PARTS[op](local))


def part_of_column(op: str, ms: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    local = local_column(np.asarray(ms), zone)
    known = local != NULL
    return np.where(known, PARTS[op](np.where(known, local, 0)), NULL)


def day_text(day: int) -> str | None:
    """`2024-12-10` for a number of days since the epoch."""
    try:
        return date.fromordinal(day + date(1970, 1, 1).toordinal()).isoformat()
    except (ValueError, OverflowError):
        return None


# ---------------------------------------------------------------------------- integer arithmetic


def _weekday(ms: Any) -> Any:
    """1 is Monday, 7 Sunday; the epoch was a Thursday."""
    return (ms // DAY_MS + 3) % 7 + 1


def _civil(days: Any) -> tuple[Any, Any, Any]:
    """(year, month, day) of days since the epoch, in the proleptic Gregorian calendar.

    Howard Hinnant's `civil_from_days`: years begin in March, so the leap day comes last.
    """
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    late = month // 10  # January and February belong to the next year
    return era * 400 + year + late, month + 3 - 12 * late, day


def _days_before(year: Any) -> Any:
    """Days from the epoch to the first of January."""
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400 - 719_162


def _week(ms: Any) -> Any:
    """ISO 8601: a week belongs to the year of its Thursday."""
    thursday = ms // DAY_MS - _weekday(ms) + 4
    return (thursday - _days_before(_civil(thursday)[0])) // 7 + 1


PARTS: dict[str, Callable[[Any], Any]] = {
    "year": lambda ms: _civil(ms // DAY_MS)[0],
    "month": lambda ms: _civil(ms // DAY_MS)[1],
    "day": lambda ms: _civil(ms // DAY_MS)[2],
    "week": _week,
    "weekday": _weekday,
    "hour": lambda ms: ms // 3_600_000 % 24,
    "minute": lambda ms: ms // 60_000 % 60,
    "second": lambda ms: ms // 1_000 % 60,
    "time_of_day": lambda ms: ms % DAY_MS,
    "local_day": lambda ms: ms // DAY_MS,
}
