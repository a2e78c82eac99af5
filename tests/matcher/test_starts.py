"""Starts of two-step rules: segments, the limit per key, and the order of a batch's rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matcher import starts as starts_module
from matcher.batch import NULL, Batch, BytesChunk, RawLines
from matcher.selection import BatchKeys
from matcher.starts import START_POSITION, START_TS, START_VALUES, Starts

WINDOW_MS = 10

batches = st.lists(st.lists(st.tuples(st.integers(-2, 6), st.integers(0, 3)), max_size=12))


def fed(starts: Starts, batches: list[list[tuple[int, int]]]) -> list[tuple[int, int, int]]:
    """Feeds (key, time passed) in batches; returns (key, ts, position) of all, in order."""
    ts = position = 0
    everything = []
    for batch in batches:
        rows = []
        for key, passed in batch:
            ts += passed
            rows.append((key, ts, position))
            position += 1
        everything += rows
        if rows:
            keys, times, positions = np.array(sorted(rows), np.int64).T
            oldest_ms = rows[0][1] - WINDOW_MS
            starts.append(keys, times, positions, positions[None] * 2, oldest_ms)
    return everything


@settings(max_examples=300, deadline=None)
@given(batches)
def test_segments_hold_what_lies_in_the_window_sorted_and_older_ones_first(
    batches: list[list[tuple[int, int]]],
) -> None:
    starts = Starts(1, WINDOW_MS)
    everything = fed(starts, batches)
    keys, rows = starts.live()
    held = list(zip(keys.tolist(), rows[START_TS].tolist(), rows[START_POSITION], strict=True))
    now_ms = everything[-1][1] if everything else 0
    wanted = {start for start in everything if start[1] >= now_ms - WINDOW_MS}
    assert wanted <= set(held) <= set(everything)
    assert len(held) == len(set(held)) == starts.entries
    assert (rows[START_VALUES] == 2 * rows[START_POSITION]).all()
    bounds = starts.buffer.bounds[: starts.buffer.segments[0] + 1].tolist()
    newest = -1
    for begin, end in pairwise(bounds):
        assert held[begin:end] == sorted(held[begin:end])
        positions = [position for _, _, position in held[begin:end]]
        assert min(positions, default=newest + 1) > newest
        newest = max(positions, default=newest)
    starts.sweep(now_ms - WINDOW_MS)
    assert (
        set(zip(starts.live()[0].tolist(), *starts.live()[1][:2].tolist(), strict=True)) == wanted
    )


@settings(max_examples=300, deadline=None)
@given(batches)
def test_a_start_is_refused_when_its_key_has_enough_in_the_window(
    batches: list[list[tuple[int, int]]],
) -> None:
    most = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts_module, "RUNS_PER_KEY_MAX", most)
        starts = Starts(1, WINDOW_MS)
        everything = fed(starts, batches)
    accepted: list[tuple[int, int, int]] = []
    for key, ts, position in everything:
        before = [s for s in accepted if s[0] == key and s[1] >= ts - WINDOW_MS]
        if len(before) < most:
            accepted.append((key, ts, position))
    assert (starts.appended, starts.refused) == (len(accepted), len(everything) - len(accepted))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.just(NULL), st.integers(-3, 5), st.integers(-(2**40), 2**62))))
def test_rows_come_in_order_of_key_and_row(values: list[int]) -> None:
    count = len(values)
    nothing = np.zeros(count, np.int64)
    raw = RawLines.of(BytesChunk(b""), nothing, nothing)
    column = np.array(values, np.int64)
    batch = Batch(nothing, nothing, nothing.astype(np.int16), [column], raw)
    order = BatchKeys(batch).order(0)
    assert order.tolist() == sorted(range(count), key=lambda row: (values[row], row))
