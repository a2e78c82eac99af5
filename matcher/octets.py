"""Many byte strings behind one another: how saved pages hold texts and the lines of events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import kernel

Ints = NDArray[np.int64]
Octets = NDArray[np.uint8]


@kernel
def gather(data: Octets, starts: Ints, ends: Ints, places: Ints, out: Octets) -> None:
    """out[places[i]:] = data[starts[i]:ends[i]], for every i."""
    for part in range(starts.shape[0]):
        place, start = places[part], starts[part]
        for octet in range(ends[part] - start):
            out[place + octet] = data[start + octet]


def bounds_of(lengths: NDArray[np.integer]) -> Ints:
    """Where each of the strings begins, and where the last one ends."""
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds
