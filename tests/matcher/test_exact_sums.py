"""Sums of doubles over windows are exact, rounded once: what has left a window leaves no trace."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsl.model import WindowKind, WindowShape
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.compiled import kernel
from matcher.exact_sums import (
    NARROW_LOW,
    NARROW_WORDS,
    WIDE_LOW,
    WIDE_WORDS,
    add,
    is_narrow,
    rounded,
)
from matcher.window_layout import EACH, ROW_CELLS, SUM_FLOAT
from matcher.window_plan import window_options
from matcher.window_state import WindowState

Ints = NDArray[np.int64]
SIZE_MS = 5


@kernel
def total_of(bits: Ints, gone: int, words: int, low: int, sums: Ints) -> int:
    """Of all but the first `gone`, which come and go."""
    sums[:] = 0
    for value in bits:
        add(sums, 0, 1, words, low, value, False)
    for value in bits[:gone]:
        add(sums, 0, 1, words, low, value, True)
    return int(rounded(sums, 0, 1, words, low))


@kernel
def all_narrow(bits: Ints) -> bool:
    narrow = True
    for value in bits:
        narrow &= is_narrow(value)
    return narrow


def exact(values: list[float]) -> float:
    total = sum(map(Fraction, values))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def double(bits: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", bits))
    assert isinstance(value, float)
    return value


finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
usual = st.one_of(st.floats(-1e9, 1e9, width=32), st.integers(-(2**53), 2**53).map(float), finite)
edges = st.sampled_from([1e16, 1.0, -1e16, 2**-53, 1 + 2**-52, 5e-324, 2.2250738585072014e-308])
great = st.sampled_from([1.7976931348623157e308, -1.7976931348623157e308, 1e308, 9.9e291])
doubles = st.one_of(usual, edges, edges.map(lambda x: -x), great)


@settings(max_examples=1000, deadline=None)
@given(st.lists(doubles, max_size=12), st.integers(0, 12))
def test_a_sum_is_the_double_nearest_to_the_exact_one(values: list[float], gone: int) -> None:
    bits = np.array(values, np.float64).view(np.int64)
    expected = exact(values[gone:])
    wide = total_of(bits, gone, WIDE_WORDS, WIDE_LOW, np.zeros((1, 1 + WIDE_WORDS), np.int64))
    assert double(wide) == expected
    if all_narrow(bits):
        sums = np.zeros((1, 1 + NARROW_WORDS), np.int64)
        assert double(total_of(bits, gone, NARROW_WORDS, NARROW_LOW, sums)) == expected


def test_usual_values_have_a_place_in_narrow_sums() -> None:
    usual = [0.0, 1e-14, 0.1, -3.5, 1e15, 2e15]
    rare = [1e-15, 4.6e15, 5e-324, 1e300, math.inf]
    for value in usual + rare:
        assert all_narrow(np.array([value]).view(np.int64)) == (value in usual), value


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.one_of(doubles, st.sampled_from([np.inf, -np.inf])))),
    st.integers(1, 4),
)
def test_windows_sum_what_is_in_them(events: list[tuple[int, float]], batch: int) -> None:
    shape = WindowShape(WindowKind.SLIDING, size_ms=SIZE_MS)
    state = WindowState(1, [(SUM_FLOAT, 0)], False, window_options(shape, EACH))
    rows = np.zeros((len(events), EVENT_VALUES + 1), np.int64)
    times = np.cumsum([passed for passed, _ in events], dtype=np.int64)
    values = np.array([value for _, value in events], np.float64)
    rows[:, EVENT_TS], rows[:, EVENT_POSITION] = times, np.arange(len(events))
    rows[:, EVENT_KEY], rows[:, EVENT_MASK] = 7, 1
    rows[:, EVENT_VALUES] = values.view(np.int64)
    found: list[int] = []
    for begin in range(0, len(rows), batch):
        found += state.take(rows[begin : begin + batch])[:, ROW_CELLS].tolist()
    for number, bits in enumerate(found):
        inside = values[: number + 1][times[: number + 1] > times[number] - SIZE_MS]
        infinite = inside[np.isinf(inside)]
        with np.errstate(invalid="ignore"):
            expected = float(infinite.sum()) if len(infinite) else exact(inside.tolist())
        assert np.array_equal(double(bits), expected, equal_nan=True)
