"""When a rule must look for what the passing of time has decided, as `matcher.motion` is told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.motion import UNKNOWN_MS
from matcher.tables import (
    FIRE,
    FIRE_CLOSE,
    NO_LIMIT_MS,
    PURE_SILENCE,
    TIMED,
    TIMERS,
    WITHIN_MS,
    Tables,
)

Ints = NDArray[np.int64]

SWEEPS_PER_WINDOW = 8
"""How often expired runs of silent keys are collected; it bounds memory, not meaning."""


def times_of(tables: Tables) -> Ints:
    """The times of a rule before anything has happened."""
    every_ms = _lasting_ms(tables) // SWEEPS_PER_WINDOW
    return np.array([-NO_LIMIT_MS, -NO_LIMIT_MS, _least_wait_ms(tables), every_ms, 0])


def _least_wait_ms(tables: Tables) -> int:
    """The least time from an event to a deadline that it brings about, or UNKNOWN_MS."""
    options = tables.options
    if options[PURE_SILENCE]:
        return UNKNOWN_MS
    if not options[TIMERS]:
        return NO_LIMIT_MS
    waits = tables.end_for_ms[tables.end_kind == TIMED]
    known = options[FIRE] != FIRE_CLOSE and (waits >= 0).all()
    return int(waits.min()) if known else UNKNOWN_MS


def _lasting_ms(tables: Tables) -> int:
    """How long a run can stay as it is, at most; for rules that wait for nothing, `within`."""
    longest_ms = int(tables.gap_max_ms[1:].max(initial=0))
    within_ms = min(int(tables.options[WITHIN_MS]), 2**40)
    return min(within_ms, longest_ms) if tables.options[TIMERS] else within_ms
