"""Rows in order of their keys: as NumPy's stable sort has it, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matcher.batch import NULL
from matcher.ordering import DIGIT_BITS, PASSES_MAX, order_by

INT_MAX = np.iinfo(np.int64).max
EDGES = [
    *(2 ** (DIGIT_BITS * passes) + off for passes in (1, 2, PASSES_MAX) for off in (-2, -1, 0)),
    *(NULL, NULL + 1, -1, 0, 1, INT_MAX),
]
values = st.one_of(st.integers(-3, 3), st.sampled_from(EDGES), st.integers(NULL, INT_MAX))


@settings(max_examples=500, deadline=None)
@given(st.lists(values, max_size=40))
def test_order_is_that_of_a_stable_sort(keys: list[int]) -> None:
    column = np.array(keys, np.int64)
    assert order_by(column).tolist() == np.argsort(column, kind="stable").tolist()


@pytest.mark.parametrize("spread", [1, 2_000, 100_000, 5_000_000, 2**32, 2**40])
@pytest.mark.parametrize("least", [0, -50_000])
def test_many_rows_with_nulls_are_ordered_as_numpy_orders_them(spread: int, least: int) -> None:
    random = np.random.default_rng(spread)
    column = random.integers(least, least + spread, 20_000)
    column[random.random(20_000) < 0.2] = NULL
    assert (order_by(column) == np.argsort(column, kind="stable")).all()
