"""Places in the order of the stream, after which the state of rules is measured (a census)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Moment(NamedTuple):
    """The place of an event in the order of the stream."""

    ts: int
    position: int

    def reached(self, ts: Ints, positions: Ints) -> NDArray[np.bool_]:
        """Which of these events come no later."""
        reached: NDArray[np.bool_] = (ts < self.ts) | (
            (ts == self.ts) & (positions <= self.position)
        )
        return reached
