"""Calendar parts: equal to those of Python's datetime, at every change of clock too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.batch import NULL
from matcher.dates import PARTS, day_text, local_ms, part, part_of_column, zone_of
from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
moments = st.integers(TIMESTAMP_MS_MIN, TIMESTAMP_MS_MAX) | st.integers(0, 4 * 10**12)


def expected(moment: datetime) -> dict[str, int]:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return {
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "week": moment.isocalendar().week,
        "weekday": moment.isoweekday(),
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
        "time_of_day": (moment.replace(tzinfo=None) - midnight) // MS,
        "local_day": moment.toordinal() - EPOCH.toordinal(),
    }


@given(moments, st.sampled_from(ZONES))
def test_parts_are_those_of_datetime(ms: int, zone: str) -> None:
    try:
        moment = (EPOCH + ms * MS).astimezone(zone_of(zone))
    except OverflowError:
        assert part("year", ms, zone) is None
        return
    assert {op: part(op, ms, zone) for op in PARTS} == expected(moment)


@given(st.lists(moments | st.just(NULL), max_size=20), st.sampled_from(ZONES))
def test_columns_equal_single_timestamps(column: list[int], zone: str) -> None:
    for op in PARTS:
        found = part_of_column(op, np.array(column, np.int64), zone).tolist()
        one_by_one = [None if ms == NULL else part(op, ms, zone) for ms in column]
        assert [None if each == NULL else each for each in found] == one_by_one


@pytest.mark.parametrize(
    ("text", "zone", "hour"),
    [
        ("2024-03-31T00:59:59.999+00:00", "Europe/Paris", 1),
        ("2024-03-31T01:00:00+00:00", "Europe/Paris", 3),
        ("2024-10-27T00:59:59+00:00", "Europe/Paris", 2),
        ("2024-10-27T01:00:00+00:00", "Europe/Paris", 2),
        ("2024-04-06T14:59:59+00:00", "Australia/Lord_Howe", 1),
        ("2024-04-06T15:00:00+00:00", "Australia/Lord_Howe", 1),
    ],
)
def test_clocks_change_at_their_moment(text: str, zone: str, hour: int) -> None:
    ms = (datetime.fromisoformat(text) - EPOCH) // MS
    assert part("hour", ms, zone) == hour
    assert part_of_column("hour", np.array([ms - 1, ms, ms + 1]), zone).tolist()[1] == hour


def test_what_has_no_date_is_null() -> None:
    assert local_ms(TIMESTAMP_MS_MAX + 1, "UTC") is None
    assert local_ms(TIMESTAMP_MS_MIN, "America/New_York") is None
    assert day_text(10**7) is None
    assert day_text(0) == "1970-01-01"
