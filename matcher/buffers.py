"""What the kernels of a lane pass around: the events offered, the matches found, working memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Shorts = NDArray[np.int32]
Floats = NDArray[np.float64]


# Columns of the events offered to a rule, one row an event that may matter, in order.  The mask's
# bit s says that the single-event condition of step s holds; what the byte code reads comes last.
EVENT_TS, EVENT_POSITION, EVENT_KEY, EVENT_MASK, EVENT_VALUES = range(5)


class Out(NamedTuple):
    """Matches found, and the evidence newly made.  `counts` holds how many of each."""

    at_ms: Ints
    timer: Ints
    key: Ints
    node: Ints  # one reference is held on each, until the caller has read the chain
    bound: Ints  # nodes, of which some may have been freed since
    counts: Ints  # (2,): matches, bound


class Scratch(NamedTuple):
    """Working memory: a key's new line of runs, transitions that fit, slots of byte code.

    `host` holds the address that the instruction HOST calls.
    """

    line: Shorts
    fits: Ints
    twins: Ints
    slots: Ints
    floats: Floats  # the same memory as `slots`
    host: Ints  # (1,)
