"""Rows: what a window holds when it is looked at, from the key's cells and line of entries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import inlined, outlined
from matcher.exact_sums import (
    INFINITY_BITS,
    NAN_BITS,
    NARROW_LOW,
    NARROW_WORDS,
    SIGN_BIT,
    WIDE_LOW,
    WIDE_WORDS,
    add,
    rounded,
)
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY
from matcher.window_layout import (
    CELL_COLUMN,
    CELL_OP,
    CELL_PLACE,
    CLOSED,
    ENTRY_NEXT,
    ENTRY_POSITION,
    ENTRY_STEP,
    ENTRY_TS,
    ENTRY_VALUES,
    FIRST,
    HOT,
    LAST,
    MAX_FLOAT,
    MIN_FLOAT,
    MIN_INT,
    ROW_AT,
    ROW_BY,
    ROW_CELLS,
    ROW_COUNT,
    ROW_HOT,
    ROW_KEY,
    ROW_KIND,
    ROW_NEWEST,
    ROW_OLDEST,
    ROW_POSITION,
    ROW_STEP,
    SLOT_COUNT,
    SLOT_FLAGS,
    SLOT_TAIL,
    SUM_FLOAT,
    SUM_INT,
    WARM,
)
from matcher.window_store import WindowMemory

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Rows(NamedTuple):
    """`counts[0]` rows are written; `floats` is the same memory as `rows`.

    `taken` are the events that entered windows, `counts[1]` of them.
    """

    rows: Ints
    floats: Floats
    taken: Ints
    counts: Ints


@inlined
def session_end(memory: WindowMemory, slot: int, gap_ms: int, cap_ms: int) -> int:
    """The last ms at which an event still belongs to the key's session."""
    entries, keys = memory.entries, memory.keys
    first_ms = entries[keys[slot, SLOT_HEAD], ENTRY_TS]
    last_ms = entries[keys[slot, SLOT_TAIL], ENTRY_TS]
    return int(min(last_ms + gap_ms, first_ms + cap_ms))


@inlined
def write(out: Rows, memory: WindowMemory, slot: int, kind: int, at_ms: int, position: int) -> None:
    """A row for the key's window as it is; one that closes is named by its newest entry."""
    entries, keys, cells = memory.entries, memory.keys, memory.cells
    rows, row = out.rows, out.counts[0]
    out.counts[0] += 1
    head, tail = keys[slot, SLOT_HEAD], keys[slot, SLOT_TAIL]
    rows[row, ROW_KEY] = keys[slot, SLOT_KEY]
    rows[row, ROW_AT] = at_ms
    rows[row, ROW_KIND] = kind
    rows[row, ROW_POSITION] = position
    rows[row, ROW_BY] = position
    rows[row, ROW_OLDEST] = head
    rows[row, ROW_NEWEST] = tail
    rows[row, ROW_HOT] = keys[slot, SLOT_FLAGS] & HOT
    rows[row, ROW_COUNT] = keys[slot, SLOT_COUNT]
    if head == NONE:
        return
    rows[row, ROW_STEP] = entries[tail, ENTRY_STEP]
    if kind == CLOSED:
        rows[row, ROW_POSITION] = entries[tail, ENTRY_POSITION]
    for cell in range(cells.shape[0]):
        op = cells[cell, CELL_OP]
        place = ENTRY_VALUES + cells[cell, CELL_PLACE]
        column = cells[cell, CELL_COLUMN]
        result = keys[slot, column]
        if op == SUM_INT:
            low = keys[slot, column + 1]
            result = low if result == low >> 63 else np.int64(NULL)
        elif op == FIRST:
            result = entries[head, place]
        elif op == LAST:
            result = entries[tail, place]
        elif MIN_INT <= op <= MAX_FLOAT:
            float_ = op in (MIN_FLOAT, MAX_FLOAT)
            if result != NONE:
                result = entries[result, place]
            elif not float_:
                result = np.int64(NULL)
            else:
                out.floats[row, ROW_CELLS + cell] = np.nan
                continue
        elif op == SUM_FLOAT:
            if keys[slot, column + NARROW_WORDS] == 0:
                result = rounded(keys, slot, column, NARROW_WORDS, NARROW_LOW)
            else:
                result = _wide_sum(memory, head, tail, place)
        rows[row, ROW_CELLS + cell] = result


@inlined
def write_false(out: Rows, memory: WindowMemory, slot: int) -> None:
    """The row just written stands for a window that is surely false."""
    out.rows[out.counts[0] - 1, ROW_COUNT] = 0
    memory.keys[slot, SLOT_FLAGS] &= ~WARM


@outlined
def _wide_sum(memory: WindowMemory, head: int, tail: int, place: int) -> Any:
    """The bits of the sum of a window in which a value has no place in a narrow sum.

    Infinite values outdo all finite ones, and each other: then there is no sum.
    """
    entries, floats, wide, entry = memory.entries, memory.floats, memory.wide, head
    infinite = 0.0
    wide[:] = 0
    while True:
        value = floats[entry, place]
        if np.isinf(value):
            infinite += value
        elif not np.isnan(value):
            add(wide, 0, 0, WIDE_WORDS, WIDE_LOW, entries[entry, place], False)
        if entry == tail:
            break
        entry = entries[entry, ENTRY_NEXT]
    if infinite == 0.0:
        return rounded(wide, 0, 0, WIDE_WORDS, WIDE_LOW)
    if np.isnan(infinite):
        return np.int64(NAN_BITS)
    return np.int64(INFINITY_BITS) if infinite > 0.0 else np.int64(INFINITY_BITS) | SIGN_BIT
