"""Event time against a twin that handles one record at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cep import limits
from cep.event_time import EventTime, Ordered
from matcher.batch import Batch, BytesChunk, RawLines


def batch_of(times: list[int], first_position: int) -> Batch:
    count = len(times)
    zeros = np.zeros(count, np.int64)
    return Batch(
        np.array(times, np.int64),
        np.arange(first_position, first_position + count, dtype=np.int64),
        np.zeros(count, np.int16),
        [],
        RawLines.of(BytesChunk(b""), zeros, zeros),
    )


def cut(times: list[int], cuts: list[int]) -> list[Batch]:
    bounds = [0, *sorted(c % (len(times) + 1) for c in cuts), len(times)]
    return [batch_of(times[a:b], a) for a, b in pairwise(bounds)]


def rows(batch: Batch | None) -> list[tuple[int, int]]:
    if batch is None:
        return []
    return list(zip(batch.ts.tolist(), batch.position.tolist(), strict=True))


def late_by_hand(times: list[int], lateness_ms: int) -> list[int]:
    late, newest = [], limits.BEGINNING_OF_TIME_MS
    for position, ts in enumerate(times):
        if ts < newest - lateness_ms:
            late.append(position)
        newest = max(newest, ts)
    return late


TIMES = st.lists(st.integers(0, 60), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)


@given(times=TIMES, cuts=CUTS, lateness_ms=st.integers(0, 30))
def test_rows_leave_sorted_and_complete_however_the_stream_is_cut(
    times: list[int], cuts: list[int], lateness_ms: int
) -> None:
    time = EventTime(lateness_ms)
    left: list[tuple[int, int]] = []
    late: list[int] = []
    accepted = 0

    def take(ordered: Ordered) -> None:
        nonlocal accepted
        released = rows(ordered.batch)
        assert all(ts <= ordered.watermark_ms for ts, _ in released)
        left.extend(released)
        late.extend(position for _, position in rows(ordered.late))
        accepted += ordered.accepted

    for batch in cut(times, cuts):
        take(time.push(batch))
        seen = times[: int(batch.position[-1]) + 1] if len(batch) else []
        if seen:
            assert time.watermark_ms == max(seen) - lateness_ms
    take(time.finish())
    assert late == late_by_hand(times, lateness_ms)
    on_time = [(ts, p) for p, ts in enumerate(times) if p not in set(late)]
    assert left == sorted(on_time)
    assert accepted == len(on_time)
    assert time.waiting == 0


@given(times=TIMES, cuts=CUTS, lateness_ms=st.integers(0, 60))
def test_rows_keep_their_raw_lines_and_no_others(
    times: list[int], cuts: list[int], lateness_ms: int
) -> None:
    time = EventTime(lateness_ms)
    for batch in [*cut(times, cuts), None]:
        if batch is None:
            ordered = time.finish()
        else:
            places = np.arange(len(batch), dtype=np.int64) * 4
            text = b"".join(b"%4d" % position for position in batch.position.tolist())
            batch.raw = RawLines.of(BytesChunk(text), places, places + 4)
            ordered = time.push(batch)
        for part in (ordered.batch, ordered.late):
            if part is not None:
                read = [int(part.raw.line(row)) for row in range(len(part))]
                assert read == part.position.tolist()
                assert {int(chunk) for chunk in part.raw.chunk} == set(range(len(part.raw.chunks)))


def test_rows_that_wait_for_long_are_in_few_parts() -> None:
    time = EventTime(1_000_000)
    for position in range(1_000):
        time.push(batch_of([position * 7 % 1_000], position))
    assert time.waiting == 1_000
    assert len(time._waiting) < 12
    assert time.oldest_waiting_position == 0
    assert [ts for ts, _ in rows(time.advance(899).batch)] == list(range(900))
    assert time.waiting == 100


@given(
    times=st.lists(st.integers(0, 500), max_size=40),
    delays=st.lists(st.integers(0, 30), min_size=40, max_size=40),
    cuts=CUTS,
)
def test_shuffle_within_lateness_gives_the_sorted_run(
    times: list[int], delays: list[int], cuts: list[int]
) -> None:
    by_arrival = sorted(range(len(times)), key=lambda i: times[i] + delays[i])
    arrived = [times[i] for i in by_arrival]
    time = EventTime(30)
    left: list[int] = []
    for batch in cut(arrived, cuts):
        ordered = time.push(batch)
        assert ordered.late is None
        left += [ts for ts, _ in rows(ordered.batch)]
    left += [ts for ts, _ in rows(time.finish().batch)]
    assert left == sorted(times)


@given(times=TIMES, stop=st.integers(0, 40), cuts=CUTS, lateness_ms=st.integers(0, 30))
def test_restart_from_a_checkpoint_goes_on_as_if_nothing_happened(
    times: list[int], stop: int, cuts: list[int], lateness_ms: int
) -> None:
    stop = min(stop, len(times))
    whole = EventTime(lateness_ms)
    before, after = rows(whole.push(batch_of(times[:stop], 0)).batch), []
    resume = whole.oldest_waiting_position
    resume = stop if resume is None else resume

    again = EventTime(lateness_ms, whole.watermark_ms)
    for batch in cut(times[resume:stop], cuts):
        batch.position += resume
        again.restore(batch)
    assert again.waiting == whole.waiting
    for time in (whole, again):
        rest = batch_of(times[stop:], stop)
        pushed = time.push(rest)
        after.append(
            (rows(pushed.batch), rows(pushed.late), time.watermark_ms, rows(time.finish().batch))
        )
    assert after[0] == after[1]
    assert len(before) <= stop


def test_event_at_the_watermark_is_not_late_and_one_below_it_is() -> None:
    time = EventTime(10)
    time.push(batch_of([100], 0))
    ordered = time.push(batch_of([90, 89], 1))
    assert rows(ordered.batch) == [(90, 1)]
    assert rows(ordered.late) == [(89, 2)]


def test_watermark_never_goes_back() -> None:
    time = EventTime(0)
    time.push(batch_of([50], 0))
    assert time.advance(20).watermark_ms == 50
    assert time.finish().watermark_ms == limits.END_OF_TIME_MS
    assert rows(time.push(batch_of([60], 1)).late) == [(60, 1)]
