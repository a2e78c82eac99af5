"""The innermost loop of two-step rules: for each second step, the first start that it fits.

    matches', used' = find(second steps, starts, used)

A start can be matched while it lies in the window and comes after what is *used up*: with
`skip past last`, a match uses up every start of the key up to and including its last event.  So a
rule remembers one place per key, and only for keys that had a match within the window.

`find` allocates nothing: when a table might overflow it returns the number of the row it did not
start, the caller makes room and calls again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.bytecode import Compare
from matcher.compiled import inlined, kernel
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, key_slot, remove_slot
from matcher.starts import (
    START_POSITION,
    START_TS,
    START_VALUES,
    Buffer,
    first_after,
    key_range,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of `Used.keys`: a table of keys as in `matcher.runs`, and the last place used up.
USED_TS, USED_POSITION = 2, 3
USED_COLUMNS = 4

# Places in `Used.totals`.  A used start is PRUNED when another start's match used it up, UNSTARTED
# when it is itself the last event of a match and so never began.
USED_KEYS, MATCHED, PRUNED, UNSTARTED, USED_STARTS = range(5)
USED_TOTALS = 5

# Columns of the working memory of `find`, a row for each segment: the key's starts that may still
# be matched, those of them before the row at hand, and where later keys are looked for.
LOW, HIGH, END, NEXT_KEY = range(4)
PLACES = 4

# Columns of the matches found.
FOUND_KEY, FOUND_TS, FOUND_START, FOUND_POSITION = range(4)
FOUND_COLUMNS = 4

EQUAL, NOT_EQUAL, BELOW, NOT_ABOVE, ABOVE, NOT_BELOW = (int(op) for op in list(Compare)[:6])
FIRST_FLOAT = int(Compare.EQ_FLOAT)


class Used(NamedTuple):
    """What a rule has used up, by key."""

    keys: Ints
    totals: Ints


class Seconds(NamedTuple):
    """Events that fit the second step, key by key, each key's in order.

    `values` has a row for each test: what the event brings to it.  `tests` are rows of (compare,
    column of the block), `factors` what a float of the start is multiplied with; an event fits a
    start when all hold.
    """

    keys: Ints
    ts: Ints
    positions: Ints
    values: Ints
    floats: Floats  # the same memory as `values`
    tests: Ints
    factors: Floats


@kernel
def find(
    begin: int,
    seconds: Seconds,
    gap_from_ms: int,
    window_ms: int,
    buffer: Buffer,
    used: Used,
    out: Ints,
    found: int,
    place: Ints,
) -> tuple[int, int]:
    """(first row not processed, number of matches in `out`), from row `begin` on.

    `place` is working memory: where we are in each segment.
    """
    totals = used.totals
    rewind(buffer, place)
    reachable = False
    for row in range(begin, seconds.keys.shape[0]):
        if found == out.shape[0] or 2 * (totals[USED_KEYS] + 1) > used.keys.shape[0]:
            return row, found
        key = seconds.keys[row]
        if row == begin or key != seconds.keys[row - 1]:
            reachable = seek(key, buffer, place) and _pass_used(key, buffer, used, place)
        if not reachable:
            continue
        ts, position = seconds.ts[row], seconds.positions[row]
        fit = NONE
        live = 0
        for segment in range(buffer.segments[0]):
            low, high = narrow(segment, ts, position, window_ms, buffer, place)
            live += high - low
            if fit == NONE:
                while high > low and ts - buffer.rows[START_TS, high - 1] < gap_from_ms:
                    high -= 1
                fit = first_fit(row, low, high, seconds, buffer)
        if fit == NONE:
            continue
        out[found, FOUND_KEY] = key
        out[found, FOUND_TS] = ts
        out[found, FOUND_START] = buffer.rows[START_POSITION, fit]
        out[found, FOUND_POSITION] = position
        found += 1
        totals[MATCHED] += 1
        totals[PRUNED] += live - 1
        totals[UNSTARTED] += _use_up(ts, position, buffer, place)
        _use(key, ts, position, used)
    return int(seconds.keys.shape[0]), found


@inlined
def rewind(buffer: Buffer, place: Ints) -> None:
    """Look for the next key from the beginning of each segment on."""
    for segment in range(buffer.segments[0]):
        place[segment, NEXT_KEY] = buffer.bounds[segment]


@inlined
def seek(key: int, buffer: Buffer, place: Ints) -> bool:
    """Find the starts of the key; False when there are none."""
    some = False
    for segment in range(buffer.segments[0]):
        low, end = key_range(buffer.keys, key, place[segment, NEXT_KEY], buffer.bounds[segment + 1])
        place[segment, NEXT_KEY] = end
        place[segment, LOW] = place[segment, HIGH] = low
        place[segment, END] = end
        some = some or low < end
    return some


@inlined
def _pass_used(key: int, buffer: Buffer, used: Used, place: Ints) -> bool:
    """Pass by the starts of the key that are used up; False when there are no others."""
    slot = key_slot(used.keys, key)
    if used.keys[slot, SLOT_HEAD] == NONE:
        return True
    some = False
    for segment in range(buffer.segments[0]):
        low, end = place[segment, LOW], place[segment, END]
        ts, position = used.keys[slot, USED_TS], used.keys[slot, USED_POSITION]
        low = first_after(buffer.rows, low, end, ts, position)
        place[segment, LOW] = place[segment, HIGH] = low
        some = some or low < end
    return some


@inlined
def narrow(
    segment: int, ts: int, position: int, window_ms: int, buffer: Buffer, place: Ints
) -> tuple[int, int]:
    """The key's starts in this segment that lie in the window before (ts, position)."""
    rows = buffer.rows
    low, high, end = place[segment, LOW], place[segment, HIGH], place[segment, END]
    while low < end and ts - rows[START_TS, low] > window_ms:
        low += 1
    high = max(low, high)
    while high < end and (
        rows[START_TS, high] < ts
        or (rows[START_TS, high] == ts and rows[START_POSITION, high] < position)
    ):
        high += 1
    place[segment, LOW] = low
    place[segment, HIGH] = high
    return low, high


@inlined
def _use_up(ts: int, position: int, buffer: Buffer, place: Ints) -> int:
    """Pass by all starts up to (ts, position); returns 1 if one begins right there, else 0."""
    rows = buffer.rows
    unstarted = 0
    for segment in range(buffer.segments[0]):
        low = place[segment, HIGH]
        if (
            low < place[segment, END]
            and rows[START_TS, low] == ts
            and rows[START_POSITION, low] == position
        ):
            unstarted = 1
            low += 1
        place[segment, LOW] = place[segment, HIGH] = low
    return unstarted


@inlined
def _use(key: int, ts: int, position: int, used: Used) -> None:
    """Remember up to where the key's starts are used up."""
    slot = key_slot(used.keys, key)
    if used.keys[slot, SLOT_HEAD] == NONE:
        used.keys[slot, SLOT_KEY] = key
        used.keys[slot, SLOT_HEAD] = 0
        used.totals[USED_KEYS] += 1
    used.keys[slot, USED_TS] = ts
    used.keys[slot, USED_POSITION] = position


@kernel
def mark_used(keys: Ints, ts: Ints, positions: Ints, used: Used) -> None:
    for row in range(keys.shape[0]):
        _use(keys[row], ts[row], positions[row], used)


@inlined
def first_fit(row: int, low: int, high: int, seconds: Seconds, buffer: Buffer) -> int:
    """The first of the starts low:high that passes all tests, or NONE."""
    if low == high:
        return NONE
    if seconds.tests.shape[0] == 0:
        return low
    column = START_VALUES + seconds.tests[0, 1]
    start = low
    while start < high:
        start = _next_fit(
            seconds.tests[0, 0],
            seconds.values[0, row],
            seconds.floats[0, row],
            seconds.factors[0],
            buffer.rows[column],
            buffer.floats[column],
            start,
            high,
        )
        if start < high and _rest_holds(row, start, seconds, buffer):
            return start
        start += 1
    return NONE


@inlined
def _next_fit(
    compare: int,
    own: int,
    own_float: float,
    factor: float,
    values: Ints,
    floats: Floats,
    low: int,
    high: int,
) -> int:
    """The first of low:high that passes one test, else `high`: a tight loop for each kind."""
    if compare >= FIRST_FLOAT:
        for start in range(low, high):
            if _holds_float(compare - FIRST_FLOAT, own_float, factor * floats[start]):
                return start
        return high
    if own == NULL:
        return high
    if compare == ABOVE:
        for start in range(low, high):
            if values[start] < own and values[start] != NULL:
                return start
    elif compare == NOT_BELOW:
        for start in range(low, high):
            if values[start] <= own and values[start] != NULL:
                return start
    elif compare == BELOW:  # null is the smallest int64
        for start in range(low, high):
            if values[start] > own:
                return start
    elif compare == NOT_ABOVE:
        for start in range(low, high):
            if values[start] >= own:
                return start
    else:
        for start in range(low, high):
            if (values[start] == own) == (compare == EQUAL) and (values[start] != NULL):
                return start
    return high


@inlined
def _rest_holds(row: int, start: int, seconds: Seconds, buffer: Buffer) -> bool:
    """Whether the start passes all tests but the first."""
    for test in range(1, seconds.tests.shape[0]):
        compare = seconds.tests[test, 0]
        column = START_VALUES + seconds.tests[test, 1]
        if compare >= FIRST_FLOAT:
            value = seconds.factors[test] * buffer.floats[column, start]
            holds = _holds_float(compare - FIRST_FLOAT, seconds.floats[test, row], value)
        else:
            holds = _holds(compare, seconds.values[test, row], buffer.rows[column, start])
        if not holds:
            return False
    return True


@inlined
def _holds(compare: int, own: int, bound: int) -> bool:
    """False when either side is null."""
    if own == NULL or bound == NULL:
        return False
    if compare == EQUAL:
        return own == bound
    if compare == NOT_EQUAL:
        return own != bound
    if compare == BELOW:
        return own < bound
    if compare == NOT_ABOVE:
        return own <= bound
    if compare == ABOVE:
        return own > bound
    return own >= bound


@inlined
def _holds_float(compare: int, own: float, bound: float) -> bool:
    """False when either side is NaN."""
    if compare == EQUAL:
        return own == bound
    if compare == NOT_EQUAL:
        return own < bound or own > bound
    if compare == BELOW:
        return own < bound
    if compare == NOT_ABOVE:
        return own <= bound
    if compare == ABOVE:
        return own > bound
    return own >= bound


@kernel
def count_used(buffer: Buffer, used: Used) -> None:
    """Count the starts used up but not yet let go of; forget keys that have none."""
    totals = used.totals
    totals[USED_STARTS] = 0
    slot = 0
    while slot < used.keys.shape[0]:
        if used.keys[slot, SLOT_HEAD] != NONE:
            count = 0
            for segment in range(buffer.segments[0]):
                low, end = key_range(
                    buffer.keys,
                    used.keys[slot, SLOT_KEY],
                    buffer.bounds[segment],
                    buffer.bounds[segment + 1],
                )
                ts, position = used.keys[slot, USED_TS], used.keys[slot, USED_POSITION]
                count += first_after(buffer.rows, low, end, ts, position) - low
            if count == 0:
                remove_slot(used.keys, slot)
                totals[USED_KEYS] -= 1
                continue  # another key may have moved here
            totals[USED_STARTS] += count
        slot += 1
