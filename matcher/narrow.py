"""Columns of ints in pages, in as few bytes as their range needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Narrow = tuple[int, int, bytes]
"""(the least value, bytes of each, what each is above the least); in eight bytes, the values."""

_TYPES: dict[int, np.dtype[Any]] = {size: np.dtype(f"u{size}") for size in (1, 2, 4)}

VALUES_MIN = 256
"""Fewer are not worth looking at."""


def narrowed(column: Ints) -> Narrow:
    """A column, or an array of any shape."""
    if column.size < VALUES_MIN:
        return 0, 8, column.tobytes()
    least = int(column.min())
    return _above(column, least, int(column.max()) - least)


def _above(column: Ints, least: int, spread: int) -> Narrow:
    for size, type_ in _TYPES.items():
        if spread < 1 << 8 * size:
            return least, size, (column - least).astype(type_).tobytes()
    return 0, 8, column.tobytes()


def widened(narrow: Sequence[Any]) -> Ints:
    """The inverse of `narrowed`, in one dimension."""
    least, size, data = narrow
    if size == 8:
        return np.frombuffer(data, np.int64)
    wide: Ints = np.frombuffer(data, _TYPES[size]).astype(np.int64)
    wide += least
    return wide


def narrowed_table(rows: Ints) -> list[Narrow]:
    """The columns of a table."""
    if rows.size < VALUES_MIN:
        return [(0, 8, rows.tobytes())]
    least, most = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
    return [
        _above(np.ascontiguousarray(rows[:, place]), low, high - low)
        for place, (low, high) in enumerate(zip(least, most, strict=True))
    ]


def widened_table(columns: Sequence[Any], width: int) -> Ints:
    """The inverse of `narrowed_table`, whose table had so many columns."""
    if len(columns) == 1:
        return widened(columns[0]).reshape(-1, width).copy()
    return np.stack([widened(column) for column in columns], axis=1)
