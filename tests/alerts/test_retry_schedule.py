"""The retry policy as numbers: delays, jitter, `Retry-After`, and what each status means."""

from __future__ import annotations

import random

import pytest

from alerts import limits
from alerts.reasons import TREATMENT, Reason, State, Treatment, reason_of_status
from alerts.schedule import retry_after_ms, retry_delay_ms
from alerts.verdict import judge

SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
NOW_MS = 1_733_813_746_000  # Tue, 10 Dec 2024 06:55:46 GMT


def test_delays_are_the_documented_ones() -> None:
    assert [retry_delay_ms(failures, lambda: 0.5) for failures in range(1, 12)] == [
        5 * SECOND_MS,
        30 * SECOND_MS,
        2 * MINUTE_MS,
        10 * MINUTE_MS,
        30 * MINUTE_MS,
        2 * HOUR_MS,
        6 * HOUR_MS,
        12 * HOUR_MS,
        24 * HOUR_MS,
        24 * HOUR_MS,
        None,
    ]


def test_jitter_stays_within_a_fifth_and_uses_all_of_it() -> None:
    draw = random.Random(1).random
    delays = [retry_delay_ms(2, draw) for _ in range(2_000)]
    assert all(delay is not None and 24_000 <= delay <= 36_000 for delay in delays)
    assert min(delays) < 24_500 < 35_500 < max(delays)


@pytest.mark.parametrize(
    ("header", "expected_ms"),
    [
        (None, None),
        ("0", 0),
        ("7", 7_000),
        (" 7 ", 7_000),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("9" * 400, limits.RETRY_AFTER_MAX_MS),
        ("Tue, 10 Dec 2024 06:56:46 GMT", 60_000),
        ("Tue, 10 Dec 2024 06:54:46 GMT", 0),
        ("Tue, 10 Dec 2024 06:56:46 -0000", 60_000),
        ("Tue, 10 Dec 9999 06:56:46 GMT", limits.RETRY_AFTER_MAX_MS),
        ("Tue, 99 Dec 2024 06:56:46 GMT", None),
        ("Tue, 10 Dec 2024 06:56:46 +9999999", None),
    ],
)
def test_retry_after_forms(header: str | None, expected_ms: int | None) -> None:
    assert retry_after_ms(header, NOW_MS) == expected_ms


def test_retry_after_only_lengthens_the_wait() -> None:
    soon = judge(Reason.SERVER_ERROR, 3, NOW_MS, lambda: 0.5, 1_000)
    late = judge(Reason.SERVER_ERROR, 3, NOW_MS, lambda: 0.5, 5 * MINUTE_MS)
    assert soon.next_attempt_ms == NOW_MS + 2 * MINUTE_MS
    assert late.next_attempt_ms == NOW_MS + 5 * MINUTE_MS


@pytest.mark.parametrize(
    ("statuses", "treatment"),
    [
        ((200, 201, 202, 204, 299), Treatment.DONE),
        ((100, 199, 300, 301, 302, 303, 304, 307, 308), Treatment.RETRY),
        ((401, 403, 404, 405, 408, 409, 418, 425, 429, 451), Treatment.RETRY),
        ((500, 501, 502, 503, 504, 599, 600, 999), Treatment.RETRY),
        ((400, 413, 415, 422), Treatment.RETRY_ONCE),
        ((410,), Treatment.DISABLE),
    ],
)
def test_status_classes(statuses: tuple[int, ...], treatment: Treatment) -> None:
    assert {TREATMENT[reason_of_status(status)] for status in statuses} == {treatment}


def test_every_reason_ends_somewhere() -> None:
    for reason in Reason:
        verdicts = [judge(reason, failures, NOW_MS, lambda: 0.5) for failures in range(1, 20)]
        over = [verdict for verdict in verdicts if verdict.state is not State.PENDING]
        assert over, reason
        assert all(verdict.next_attempt_ms is None for verdict in over)
