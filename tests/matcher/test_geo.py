"""Distances: near the textbook's formula, and the same bits interpreted and compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matcher.evaluate import STRICT
from matcher.geo import EARTH_RADIUS_KM, compiled_distance_km, distance_km

latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)
places = st.tuples(latitudes, longitudes, latitudes, longitudes)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def _compiled(rows: NDArray[np.float64], into: NDArray[np.float64]) -> None:
    for row in range(rows.shape[0]):
        into[row] = compiled_distance_km(rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3])


@settings(max_examples=200, deadline=None)
@given(st.lists(places, min_size=1, max_size=50))
def test_compiled_and_interpreted_give_the_same_bits(
    rows: list[tuple[float, float, float, float]],
) -> None:
    compiled = np.empty(len(rows))
    _compiled(np.array(rows), compiled)
    plain = np.array([distance_km(*row) for row in rows])
    assert compiled.view(np.int64).tolist() == plain.view(np.int64).tolist()


@given(places)
def test_distance_is_that_of_the_haversine_formula(row: tuple[float, float, float, float]) -> None:
    lat1, lon1, lat2, lon2 = map(math.radians, row)
    squared = math.sin((lat1 - lat2) / 2) ** 2
    squared += math.cos(lat1) * math.cos(lat2) * math.sin((lon1 - lon2) / 2) ** 2
    wanted = 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, squared)))
    assert distance_km(*row) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    ("row", "km"),
    [
        ((48.8566, 2.3522, 51.5074, -0.1278), 343.557),
        ((0.0, 179.9, 0.0, -179.9), 22.239),
        ((90.0, 0.0, -90.0, 77.0), math.pi * EARTH_RADIUS_KM),
        ((10.0, 20.0, 10.0, 20.0), 0.0),
    ],
)
def test_known_distances(row: tuple[float, float, float, float], km: float) -> None:
    assert distance_km(*row) == pytest.approx(km, abs=1e-3)


@pytest.mark.parametrize("row", [(90.1, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 181.0)])
def test_a_place_that_is_nowhere_has_no_distance(row: tuple[float, float, float, float]) -> None:
    assert STRICT["distance_km"](None, *row) is None
