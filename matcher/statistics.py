"""Statistics over the values of a list, null left out beforehand: the one implementation.

Sums add in the order of the list, so the same events give the same bits wherever this is called.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def stddev(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1); null of fewer than two values."""
    if len(values) < 2:
        return None
    mean = _sum(values) / len(values)
    return _finite(math.sqrt(_sum([(x - mean) * (x - mean) for x in values]) / (len(values) - 1)))


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of the values lie, interpolated between neighbours."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return _finite(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


def top(values: Sequence[object], count: int) -> tuple[object, ...]:
    """The `count` most frequent values, most frequent first; the one seen first wins a tie."""
    return tuple(value for value, _ in Counter(values).most_common(count))


def _sum(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
