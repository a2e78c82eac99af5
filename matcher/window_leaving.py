"""Events leave windows as time passes: a row for each instant at which a key's window changes so.

Only for rules that want to know (OPTION_LEAVING) and windows that are looked at by event: those
that are looked at when they end are looked at often enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.runs import NONE, SLOT_HEAD, key_slot
from matcher.window_layout import (
    COUNTED,
    ENTRY_POSITION,
    ENTRY_TS,
    LEFT_BEHIND,
    OPTION_CAP_MS,
    OPTION_KIND,
    OPTION_SIZE_MS,
    ROW_COUNT,
    SESSION,
    SLOT_TAIL,
    TUMBLING,
)
from matcher.window_store import WindowMemory, drop_oldest, forget_key
from matcher.window_write import Rows, session_end, write

Ints = NDArray[np.int64]


@kernel
def leave_all(
    begin: int, of: Ints, time_ms: int, memory: WindowMemory, options: Ints, out: Rows
) -> int:
    """Let events leave the windows of these keys; returns where it stopped for want of room."""
    for place in range(begin, of.shape[0]):
        slot = key_slot(memory.keys, of[place])
        if memory.keys[slot, SLOT_HEAD] == NONE:
            continue
        if not leave(memory, slot, options, time_ms, out):
            return place
        if memory.keys[slot, SLOT_HEAD] == NONE:
            forget_key(memory, slot)
    return int(of.shape[0])


@inlined
def leave(memory: WindowMemory, slot: int, options: Ints, time_ms: int, out: Rows) -> bool:
    """Let what has left the key's window by `time_ms` go, with a row for each such instant.

    Returns whether there was room.  A session or tumbling window ends as a whole; a window of a
    number of events that has lost one is none, so its row has no entries either.
    """
    entries, keys = memory.entries, memory.keys
    kind, size_ms, cap_ms = options[OPTION_KIND], options[OPTION_SIZE_MS], options[OPTION_CAP_MS]
    while keys[slot, SLOT_HEAD] != NONE:
        oldest_ms = entries[keys[slot, SLOT_HEAD], ENTRY_TS]
        newest = keys[slot, SLOT_TAIL]
        position, until = entries[newest, ENTRY_POSITION], entries[newest, ENTRY_TS]
        if kind == SESSION:
            at = session_end(memory, slot, size_ms, cap_ms)
            if at >= time_ms:
                return True
        elif kind == TUMBLING:
            at = oldest_ms - oldest_ms % size_ms + size_ms
        else:
            at = oldest_ms + (cap_ms if kind == COUNTED else size_ms)
            until = oldest_ms
        if at > time_ms:
            return True
        if out.counts[0] + 3 > out.rows.shape[0]:
            return False
        while keys[slot, SLOT_HEAD] != NONE and entries[keys[slot, SLOT_HEAD], ENTRY_TS] <= until:
            drop_oldest(memory, slot)
        write(out, memory, slot, LEFT_BEHIND, at, position)
        if kind == COUNTED:
            out.rows[out.counts[0] - 1, ROW_COUNT] = 0
    return True
