"""Kernels over the rows of windows and the lines of entries behind them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import kernel
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, key_slot
from matcher.window_layout import (
    BEFORE,
    DUE_KEYS,
    ENTRY_NEXT,
    ENTRY_POSITION,
    ENTRY_TS,
    ENTRY_VALUES,
    HOT,
    ROW_COUNT,
    ROW_HOT,
    ROW_KEY,
    ROW_KIND,
    ROW_OLDEST,
    SLOT_COUNT,
    SLOT_FLAGS,
    SLOT_NUMBER,
    SLOT_TAIL,
    WARM,
)
from matcher.window_store import WindowMemory

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@kernel
def rises(rows: Ints, is_true: Bools, memory: WindowMemory, fires: Bools) -> None:
    """Where a key's condition became true; each key's flag is left as the last event found it."""
    keys = memory.keys
    hot = False
    for row in range(rows.shape[0]):
        key = rows[row, ROW_KEY]
        if row == 0 or key != rows[row - 1, ROW_KEY]:
            hot = rows[row, ROW_HOT] != 0
        if rows[row, ROW_KIND] == BEFORE:
            hot = hot and is_true[row]
        else:
            fires[row] = is_true[row] and not hot
            hot = is_true[row]
        if row + 1 == rows.shape[0] or key != rows[row + 1, ROW_KEY]:
            slot = key_slot(keys, key)
            if keys[slot, SLOT_HEAD] != NONE:
                keys[slot, SLOT_FLAGS] &= ~(HOT | WARM)
                if hot:
                    keys[slot, SLOT_FLAGS] |= HOT | WARM


@kernel
def walk(rows: Ints, entries: Ints, begin: Ints, places: int, found: Ints) -> int:
    """Write the values of every entry of each row's window into `found`, oldest first.

    `begin` (rows + 1) delimits each window.  Returns the entries needed; when they do not fit,
    nothing more is written and the caller tries again with more room.
    """
    size = 0
    for row in range(rows.shape[0]):
        begin[row] = size
        size += rows[row, ROW_COUNT]
    begin[rows.shape[0]] = size
    if size > found.shape[0]:
        return size
    for row in range(rows.shape[0]):
        entry = rows[row, ROW_OLDEST]
        for place in range(begin[row], begin[row + 1]):
            for value in range(places):
                found[place, value] = entries[entry, ENTRY_VALUES + value]
            entry = entries[entry, ENTRY_NEXT]
    return size


@kernel
def newest_of_due(memory: WindowMemory, since_ms: int, positions: Ints) -> int:
    """The position of the newest event of each key that is due, if not before `since_ms`."""
    entries, found = memory.entries, 0
    for place in range(memory.totals[DUE_KEYS]):
        slot = key_slot(memory.keys, memory.due[place])
        tail = memory.keys[slot, SLOT_TAIL]
        if memory.keys[slot, SLOT_HEAD] != NONE and entries[tail, ENTRY_TS] >= since_ms:
            positions[found] = entries[tail, ENTRY_POSITION]
            found += 1
    return found


@kernel
def live_entries(memory: WindowMemory, found: Ints, order: Ints) -> None:
    """All entries, key by key and in order, and the key of each."""
    keys, entries = memory.keys, memory.entries
    size = 0
    for slot in range(keys.shape[0]):
        entry = keys[slot, SLOT_HEAD]
        while entry != NONE:
            found[size] = keys[slot, SLOT_KEY]
            order[size] = entry
            size += 1
            entry = entries[entry, ENTRY_NEXT]


@kernel
def lines_of(found: Ints, memory: WindowMemory, counts: Ints, numbers: Ints, hot: Bools) -> None:
    """Of keys: how many entries, the count of events, and whether the condition held."""
    for place in range(found.shape[0]):
        slot = key_slot(memory.keys, found[place])
        known = memory.keys[slot, SLOT_HEAD] != NONE
        counts[place] = memory.keys[slot, SLOT_COUNT] if known else 0
        numbers[place] = memory.keys[slot, SLOT_NUMBER] if known else 0
        hot[place] = known and memory.keys[slot, SLOT_FLAGS] & HOT != 0


@kernel
def set_flags(memory: WindowMemory, found: Ints, numbers: Ints, hot: Bools) -> None:
    """Give keys their count of events, and mark those whose condition held."""
    for place in range(found.shape[0]):
        slot = key_slot(memory.keys, found[place])
        memory.keys[slot, SLOT_NUMBER] = numbers[place]
        if hot[place]:
            memory.keys[slot, SLOT_FLAGS] |= HOT | WARM
