"""Moves windows forward: events in, rows out that say what each window held when it was looked at.

    rows = take(events) ++ close_due(watermark)

The rows of a key stand together, in order.  Each holds the cells of its window, so that a rule's
condition is tested on columns, for all rows at once; `rises` then finds where it became true.
A row without entries stands for a window that is surely false.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.compiled import inlined, kernel
from matcher.runs import NONE, SLOT_HEAD, key_slot
from matcher.window_layout import (
    AFTER,
    BEFORE,
    CELL_OP,
    CLOSE,
    CLOSED,
    COUNTED,
    DUE,
    DUE_KEPT,
    DUE_KEYS,
    EACH,
    EDGE,
    ENTERS,
    ENTRIES,
    ENTRY_POSITION,
    ENTRY_TS,
    ENTRY_VALUES,
    HOPPING,
    KEYS_USED,
    LEFT_BEHIND,
    LOADED,
    MAX_FLOAT,
    MIN_INT,
    NEVER,
    NEXT_DUE_MS,
    OPTION_CAP_MS,
    OPTION_COUNT,
    OPTION_DONE_MS,
    OPTION_EVERY,
    OPTION_KIND,
    OPTION_LEAST,
    OPTION_LEAVING,
    OPTION_LOOK,
    OPTION_ROW,
    OPTION_SIZE_MS,
    READ,
    READS,
    SESSION,
    SLIDING,
    SLOT_COUNT,
    SLOT_FLAGS,
    SLOT_LAST_MS,
    SLOT_NUMBER,
    SLOT_TAIL,
    TAKEN,
    TUMBLING,
    VALUES_USED,
    WARM,
)
from matcher.window_leaving import leave
from matcher.window_rare import fetch_ahead, needed_since, pass_over
from matcher.window_store import (
    WindowMemory,
    add_entry,
    count_in,
    counts_distinct,
    drop_key,
    drop_oldest,
    forget_key,
    new_key,
)
from matcher.window_write import Rows, session_end, write, write_false
from matcher.words import trailing_zeros

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@kernel
def take(
    begin: int, events: Ints, watermark_ms: int, memory: WindowMemory, options: Ints, out: Rows
) -> int:
    """Take in events, from `begin` on; returns where it stopped for want of room."""
    entries, keys, totals = memory.entries, memory.keys, memory.totals
    kind, look, least = options[OPTION_KIND], options[OPTION_LOOK], options[OPTION_LEAST]
    size_ms, every, cap_ms = options[OPTION_SIZE_MS], options[OPTION_EVERY], options[OPTION_CAP_MS]
    leaving = options[OPTION_LEAVING] != 0 and look != CLOSE and kind != LOADED
    places = memory.entries.shape[1]
    distinct = counts_distinct(memory)
    for cell in range(memory.cells.shape[0]):
        if MIN_INT <= memory.cells[cell, CELL_OP] <= MAX_FLOAT:
            places -= 2
    rows_most = 2 + (size_ms // every + 2 if kind == HOPPING else 0)
    since_ms = needed_since(options, watermark_ms)
    first, pane_end = begin, np.int64(NEVER)
    for place in range(begin, events.shape[0]):
        fetch_ahead(place, events, memory)
        if place < first:
            continue
        ts, key = events[place, EVENT_TS], events[place, EVENT_KEY]
        if place == begin or key != events[place - 1, EVENT_KEY]:
            pane_end = np.int64(NEVER)
            if least > 1:
                first = pass_over(place, events, since_ms, memory, options)
                if place < first:
                    continue
        if (
            totals[ENTRIES] >= entries.shape[0]
            or 2 * (totals[KEYS_USED] + 1) > keys.shape[0]
            or 2 * (totals[VALUES_USED] + distinct) > memory.values.shape[0]
            or totals[DUE_KEYS] >= memory.due.shape[0]
            or out.counts[0] + rows_most > out.rows.shape[0]
        ):
            return place
        slot = key_slot(keys, key)
        if ts < pane_end:
            pass  # nothing has ended since the key's last event, and nothing left
        elif keys[slot, SLOT_HEAD] != NONE:
            if leaving and not leave(memory, slot, options, ts, out):
                return place
            until = np.int64(NEVER)
            if kind == SLIDING:
                until = ts - size_ms
            elif kind == COUNTED:
                until = ts - cap_ms
            elif kind == TUMBLING:
                until = ts - ts % size_ms - 1
                pane_end = until + size_ms + 1
            elif kind == SESSION and keys[slot, SLOT_HEAD] != NONE:
                end = session_end(memory, slot, size_ms, cap_ms)
                if ts > end:
                    until = ts - 1
                    if look == CLOSE and keys[slot, SLOT_COUNT] >= least:
                        write(out, memory, slot, CLOSED, end, 0)
            elif kind == HOPPING:
                if keys[slot, SLOT_COUNT] >= least:
                    _close(memory, slot, options, ts, out)
                pane_end = ts - (ts - size_ms) % every + every
                until = pane_end - size_ms - 1
            shrunk = False
            while keys[slot, SLOT_HEAD] != NONE and (
                entries[keys[slot, SLOT_HEAD], ENTRY_TS] <= until
            ):
                drop_oldest(memory, slot)
                shrunk = True
            if keys[slot, SLOT_HEAD] == NONE:
                keys[slot, SLOT_NUMBER] = 0
            if leaving and kind == SLIDING:
                shrunk = True  # it may have, long before
            if look == EDGE and shrunk and keys[slot, SLOT_FLAGS] & WARM:
                write(out, memory, slot, BEFORE, ts, events[place, EVENT_POSITION])
                if kind == COUNTED or keys[slot, SLOT_COUNT] < least:
                    write_false(out, memory, slot)
        elif look != READ or events[place, EVENT_MASK] & ENTERS:
            new_key(memory, slot, key)
        else:
            continue
        if look == READ:
            if events[place, EVENT_MASK] & READS and keys[slot, SLOT_HEAD] != NONE:
                write(out, memory, slot, AFTER, ts, events[place, options[OPTION_ROW]])
            if not events[place, EVENT_MASK] & ENTERS:
                if keys[slot, SLOT_HEAD] == NONE:
                    forget_key(memory, slot)
                continue
        step = trailing_zeros(np.uint64(events[place, EVENT_MASK]))
        entry = add_entry(memory, slot, ts, events[place, EVENT_POSITION], step)
        for value in range(ENTRY_VALUES, places):
            entries[entry, value] = events[place, EVENT_VALUES + value - ENTRY_VALUES]
        count_in(memory, slot, entry)
        if kind != LOADED:
            totals[TAKEN] += 1
            out.taken[out.counts[1]] = place
            out.counts[1] += 1
        keys[slot, SLOT_NUMBER] += 1
        looks = look in (EACH, EDGE) and kind != LOADED
        if kind == COUNTED:
            if keys[slot, SLOT_COUNT] > options[OPTION_COUNT]:
                drop_oldest(memory, slot)
            number = keys[slot, SLOT_NUMBER] - options[OPTION_COUNT]
            full = keys[slot, SLOT_COUNT] == options[OPTION_COUNT]
            looks = looks and full and number % every == 0
        enough = keys[slot, SLOT_COUNT] >= least
        if looks and (enough or keys[slot, SLOT_FLAGS] & WARM):
            write(out, memory, slot, AFTER, ts, events[place, EVENT_POSITION])
            if enough:
                keys[slot, SLOT_FLAGS] |= WARM
            else:
                write_false(out, memory, slot)
        if look == CLOSE and enough:
            if not keys[slot, SLOT_FLAGS] & DUE:
                keys[slot, SLOT_FLAGS] |= DUE
                memory.due[totals[DUE_KEYS]] = key
                totals[DUE_KEYS] += 1
            if kind == SESSION:
                end = session_end(memory, slot, size_ms, cap_ms)
                totals[NEXT_DUE_MS] = min(totals[NEXT_DUE_MS], end)
    return int(events.shape[0])


@kernel
def close_due(begin: int, watermark_ms: int, memory: WindowMemory, options: Ints, out: Rows) -> int:
    """Close what time has ended of the keys listed as due; returns where it stopped for room."""
    keys, totals = memory.keys, memory.totals
    size_ms, cap_ms, least = (
        options[OPTION_SIZE_MS],
        options[OPTION_CAP_MS],
        options[OPTION_LEAST],
    )
    session = options[OPTION_KIND] == SESSION
    rows_most = 1 if session else size_ms // options[OPTION_EVERY] + 2
    if begin == 0:
        totals[DUE_KEPT] = 0
        totals[NEXT_DUE_MS] = -NEVER
    for place in range(begin, totals[DUE_KEYS]):
        if out.counts[0] + rows_most > out.rows.shape[0]:
            return place
        key = memory.due[place]
        slot = key_slot(keys, key)
        if keys[slot, SLOT_HEAD] == NONE:
            continue
        if session:
            end = session_end(memory, slot, size_ms, cap_ms)
            if end < watermark_ms:
                if keys[slot, SLOT_COUNT] >= least:
                    write(out, memory, slot, CLOSED, end, 0)
                while keys[slot, SLOT_HEAD] != NONE:
                    drop_oldest(memory, slot)
            else:
                totals[NEXT_DUE_MS] = min(totals[NEXT_DUE_MS], end)
        else:
            _close(memory, slot, options, watermark_ms, out)
        if keys[slot, SLOT_HEAD] == NONE:
            forget_key(memory, slot)
        elif keys[slot, SLOT_COUNT] < least:
            keys[slot, SLOT_FLAGS] &= ~DUE
        else:
            memory.due[totals[DUE_KEPT]] = key
            totals[DUE_KEPT] += 1
    kept = totals[DUE_KEPT]
    stopped = totals[DUE_KEYS]
    totals[DUE_KEYS] = kept
    return int(stopped)


@kernel
def collect(watermark_ms: int, memory: WindowMemory, options: Ints) -> None:
    """Forget keys whose windows time has emptied; it bounds memory, not meaning."""
    keys = memory.keys
    kind, size_ms = options[OPTION_KIND], options[OPTION_SIZE_MS]
    slot = 0
    while slot < keys.shape[0]:
        if keys[slot, SLOT_HEAD] != NONE and not keys[slot, SLOT_FLAGS] & DUE:
            last_ms = keys[slot, SLOT_LAST_MS]
            if kind == SLIDING:
                empty = last_ms <= watermark_ms - size_ms
            elif kind == COUNTED:
                empty = last_ms <= watermark_ms - options[OPTION_CAP_MS]
            elif kind == SESSION:
                end = session_end(memory, slot, size_ms, options[OPTION_CAP_MS])
                empty = end < watermark_ms
            else:
                empty = last_ms < watermark_ms - size_ms
            if empty:
                drop_key(memory, slot)
                continue  # another key may stand here now
        slot += 1


@inlined
def _close(memory: WindowMemory, slot: int, options: Ints, time_ms: int, out: Rows) -> None:
    """Look at the key's windows that end by `time_ms`, in order, and drop what no later one has."""
    entries, keys = memory.entries, memory.keys
    size_ms, every = options[OPTION_SIZE_MS], options[OPTION_EVERY]
    closed = max(entries[keys[slot, SLOT_TAIL], ENTRY_TS], options[OPTION_DONE_MS])
    end = closed - (closed - size_ms) % every + every
    newest = entries[keys[slot, SLOT_TAIL], ENTRY_POSITION]
    while end <= time_ms and keys[slot, SLOT_HEAD] != NONE:
        while keys[slot, SLOT_HEAD] != NONE and (
            entries[keys[slot, SLOT_HEAD], ENTRY_TS] < end - size_ms
        ):
            drop_oldest(memory, slot)
        if keys[slot, SLOT_COUNT] >= options[OPTION_LEAST]:
            write(out, memory, slot, CLOSED, end, 0)
        elif keys[slot, SLOT_COUNT] == 0 and options[OPTION_LEAVING]:
            write(out, memory, slot, LEFT_BEHIND, end, newest)
        end += every
