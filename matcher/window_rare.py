"""Keys whose windows surely stay below the least count that a rule asks for: most of them.

The events that a batch has of a key, and those that the key's windows hold, are fewer than `least`
together: no window with any of them fires.  Only what later windows may still have is taken in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.buffers import EVENT_KEY, EVENT_TS
from matcher.compiled import inlined
from matcher.runs import NONE, SLOT_HEAD, home_slot, key_slot, prefetch_slot
from matcher.window_layout import (
    DUE,
    HOPPING,
    NEVER,
    OPTION_EVERY,
    OPTION_KIND,
    OPTION_LEAST,
    OPTION_SIZE_MS,
    SLIDING,
    SLOT_COUNT,
    SLOT_FLAGS,
    TAKEN,
    TUMBLING,
    WARM,
)
from matcher.window_store import WindowMemory, drop_key
from matcher.words import prefetch

Ints = NDArray[np.int64]

SLOTS_AHEAD, ENTRIES_AHEAD = 16, 8
"""How many events ahead of the one at hand."""


@inlined
def fetch_ahead(place: int, events: Ints, memory: WindowMemory) -> None:
    """Begin to fetch what the keys of later events will ask for: a slot, then its oldest entry.

    Without branches, which would be mispredicted: where keys change is random.
    """
    last = events.shape[0] - 1
    far, near = min(place + SLOTS_AHEAD, last), min(place + ENTRIES_AHEAD, last)
    prefetch_slot(memory.keys, events[far, EVENT_KEY])
    slot = home_slot(memory.keys, events[near, EVENT_KEY])
    prefetch(memory.entries, memory.keys[slot, SLOT_HEAD])


@inlined
def needed_since(options: Ints, watermark_ms: int) -> int:
    """No window that is looked at after the watermark has an event from before this time."""
    kind, size_ms, every = options[OPTION_KIND], options[OPTION_SIZE_MS], options[OPTION_EVERY]
    if kind == SLIDING:
        return int(watermark_ms - size_ms + 1)
    if kind == TUMBLING:
        return int(watermark_ms - watermark_ms % size_ms)
    if kind == HOPPING:  # the first window that ends later
        return int(watermark_ms - (watermark_ms - size_ms) % every + every - size_ms)
    return NEVER


@inlined
def pass_over(place: int, events: Ints, since_ms: int, memory: WindowMemory, options: Ints) -> int:
    """The first event from `place` on, all of one key, that must be taken in.

    A key that somebody still waits for, because its condition may have held, is not passed over.
    """
    keys, totals = memory.keys, memory.totals
    least, key = options[OPTION_LEAST], events[place, EVENT_KEY]
    slot = key_slot(keys, key)
    known = keys[slot, SLOT_HEAD] != NONE
    if known:
        if keys[slot, SLOT_FLAGS] & (WARM | DUE):
            return place
        least -= keys[slot, SLOT_COUNT]
    end = place + 1
    while end < events.shape[0] and end - place < least and events[end, EVENT_KEY] == key:
        end += 1
    if end - place >= least:
        return place
    first = place
    while first < end and events[first, EVENT_TS] < since_ms:
        first += 1
    if first == place:
        return place
    totals[TAKEN] += first - place
    if known:
        drop_key(memory, slot)  # what it holds is older still
    return first
