"""Counts as a small line of bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 120, 22


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def sparkline(counts: Sequence[int]) -> list[Bar]:
    """One bar for each count that is not 0; the largest is as high as the drawing."""
    largest, width = max(counts, default=0), WIDTH / max(1, len(counts))
    return [
        Bar(
            round(index * width, 1),
            round(HEIGHT - (height := max(2.0, HEIGHT * count / largest)), 1),
            round(max(1.0, width - 1), 1),
            round(height, 1),
        )
        for index, count in enumerate(counts)
        if count
    ]
