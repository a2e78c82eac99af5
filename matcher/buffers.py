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

# Bits of the mask above those of the steps, only for rules with `cancel on`, `resolve on` or `fire
# once`: the event is in the alphabet, cancels, resolves.
SEEN_BIT, CANCEL_BIT, RESOLVE_BIT = 60, 61, 62


class Out(NamedTuple):
    """Matches found, evidence newly made, and resolutions.

    `counts` holds how many of each, and the position of the event that is being offered.
    A match without events has no node; `since` is the position it counts from.
    """

    at_ms: Ints
    timer: Ints
    by: Ints  # position of the event that decided the match, unless a timer did
    key: Ints
    node: Ints  # one reference is held on each, until the caller has read the chain
    since: Ints
    bound: Ints  # nodes, of which some may have been freed since
    resolved: Ints  # (…, 3): event time, position, key
    counts: Ints  # (4,): matches, bound, resolved, position


class Scratch(NamedTuple):
    """Working memory: a key's new line of runs, transitions that fit, slots of byte code.

    `host` holds the address that the instruction HOST calls.
    """

    line: Shorts
    fits: Ints
    room: Ints  # (1,): how many more runs the key may have
    slots: Ints
    floats: Floats  # the same memory as `slots`
    host: Ints  # (1,)
