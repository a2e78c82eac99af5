"""Where the events of windows live: entries in a line per key, and what is kept running over them.

A key is a row (key, oldest entry, newest entry, number of entries, …) that ends with its *cells*:
sums, counts and extremes, adjusted as entries come and go.  An entry is an event as far as its
window reads it.  Where windows are walked, entries that leave are linked up and freed only when
the batch is done, so that the windows found in it are still whole.  A key without entries occupies
nothing.

Kernels never grow the arrays: they stop and ask, and `WindowStore.reserve` doubles what is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import inlined, kernel
from matcher.exact_sums import NARROW_LOW, NARROW_WORDS, WIDE_WORDS, add, is_narrow
from matcher.runs import (
    NONE,
    SLOT_HEAD,
    SLOT_KEY,
    grown_keys,
    is_roomy,
    mark_changed,
    new_keys,
    remove_slot,
    room_for_changed,
    take_changed,
)
from matcher.window_layout import (
    CELL_COLUMN,
    CELL_LINK,
    CELL_OP,
    CELL_PLACE,
    CHECKPOINT,
    DISTINCT_FLOAT,
    DISTINCT_INT,
    DUE_KEYS,
    ENTRIES,
    ENTRY_LEFT,
    ENTRY_NEXT,
    ENTRY_POSITION,
    ENTRY_STEP,
    ENTRY_TS,
    ENTRY_VALUES,
    FREE_ENTRY,
    KEYS_USED,
    LEFT,
    LISTED_BITS,
    MAX_FLOAT,
    MAX_INT,
    MIN_FLOAT,
    MIN_INT,
    NEXT_DUE_MS,
    SLOT_CELLS,
    SLOT_COUNT,
    SLOT_FLAGS,
    SLOT_LAST_MS,
    SLOT_TAIL,
    SUM_FLOAT,
    SUM_INT,
    VALUE,
    VALUE_CELL,
    VALUE_COUNT,
    VALUE_KEY,
    VALUES_FLOAT,
    VALUES_INT,
    VALUES_USED,
    WALKED,
    WIDTHS,
    WINDOW_CHANGED,
    WINDOW_TOTALS,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class WindowMemory(NamedTuple):
    """`floats` is the same memory as `entries`; `due` lists keys; `wide` is room for a wide sum.

    `changed` lists the keys whose state has changed since the last checkpoint, some repeatedly.
    """

    entries: Ints
    floats: Floats
    keys: Ints
    values: Ints
    due: Ints
    cells: Ints
    changed: Ints
    wide: Ints
    totals: Ints


@inlined
def touch(memory: WindowMemory, slot: int) -> None:
    """The state of the key in this slot has changed; it is listed once between checkpoints."""
    keys, checkpoint = memory.keys, memory.totals[CHECKPOINT]
    flags = keys[slot, SLOT_FLAGS]
    if flags >> LISTED_BITS != checkpoint:
        keys[slot, SLOT_FLAGS] = flags & ~(-1 << LISTED_BITS) | checkpoint << LISTED_BITS
        mark_changed(keys[slot, SLOT_KEY], memory.changed, memory.totals, WINDOW_CHANGED)


@inlined
def add_entry(memory: WindowMemory, slot: int, ts: int, position: int, step: int) -> int:
    """Append an entry whose values are still to be written."""
    entries, keys, totals = memory.entries, memory.keys, memory.totals
    entry = totals[FREE_ENTRY]
    totals[FREE_ENTRY] = entries[entry, ENTRY_NEXT]
    totals[ENTRIES] += 1
    entries[entry, ENTRY_TS] = ts
    entries[entry, ENTRY_POSITION] = position
    entries[entry, ENTRY_STEP] = step
    entries[entry, ENTRY_NEXT] = NONE
    if keys[slot, SLOT_HEAD] == NONE:
        keys[slot, SLOT_HEAD] = entry
    else:
        entries[keys[slot, SLOT_TAIL], ENTRY_NEXT] = entry
    keys[slot, SLOT_TAIL] = entry
    keys[slot, SLOT_LAST_MS] = ts
    keys[slot, SLOT_COUNT] += 1
    touch(memory, slot)
    return int(entry)


@inlined
def count_in(memory: WindowMemory, slot: int, entry: int) -> None:
    """Adjust the key's cells to its new newest entry."""
    entries, floats, keys, cells = memory.entries, memory.floats, memory.keys, memory.cells
    for cell in range(cells.shape[0]):
        op = cells[cell, CELL_OP]
        place = ENTRY_VALUES + cells[cell, CELL_PLACE]
        column = cells[cell, CELL_COLUMN]
        value = entries[entry, place]
        if op == VALUES_INT:
            keys[slot, column] += value != NULL
        elif op == VALUES_FLOAT:
            keys[slot, column] += not np.isnan(floats[entry, place])
        elif op == SUM_INT:
            if value != NULL:
                low = np.uint64(keys[slot, column + 1]) + np.uint64(value)
                carry = np.int64(low < np.uint64(value))
                keys[slot, column] += (value >> 63) + carry
                keys[slot, column + 1] = np.int64(low)
        elif op == SUM_FLOAT:
            if not np.isnan(floats[entry, place]):
                if is_narrow(value):
                    add(keys, slot, column, NARROW_WORDS, NARROW_LOW, value, False)
                else:
                    keys[slot, column + NARROW_WORDS] += 1
        elif MIN_INT <= op <= MAX_FLOAT:
            float_ = op in (MIN_FLOAT, MAX_FLOAT)
            if (float_ and not np.isnan(floats[entry, place])) or (not float_ and value != NULL):
                _line_up(memory, slot, entry, cell)
        elif op in (DISTINCT_INT, DISTINCT_FLOAT):
            null = value == NULL if op == DISTINCT_INT else np.isnan(floats[entry, place])
            if not null:
                found = value_slot(memory.values, keys[slot, SLOT_KEY], value, cell)
                if memory.values[found, VALUE_COUNT] == 0:
                    memory.values[found, VALUE_KEY] = keys[slot, SLOT_KEY]
                    memory.values[found, VALUE] = value
                    memory.values[found, VALUE_CELL] = cell
                    memory.totals[VALUES_USED] += 1
                    keys[slot, column] += 1
                memory.values[found, VALUE_COUNT] += 1


@inlined
def counts_distinct(memory: WindowMemory) -> int:
    """How many cells count values."""
    cells = 0
    for cell in range(memory.cells.shape[0]):
        cells += memory.cells[cell, CELL_OP] in (DISTINCT_INT, DISTINCT_FLOAT)
    return cells


@inlined
def _line_up(memory: WindowMemory, slot: int, entry: int, cell: int) -> None:
    """Put an entry at the end of an extreme's list; those it outdoes can never be the extreme."""
    entries, floats, keys, cells = memory.entries, memory.floats, memory.keys, memory.cells
    op, link = cells[cell, CELL_OP], cells[cell, CELL_LINK]
    place = ENTRY_VALUES + cells[cell, CELL_PLACE]
    column = cells[cell, CELL_COLUMN]
    last = keys[slot, column + 1]
    while last != NONE:
        if op == MIN_INT:
            stays = entries[last, place] < entries[entry, place]
        elif op == MAX_INT:
            stays = entries[last, place] > entries[entry, place]
        elif op == MIN_FLOAT:
            stays = floats[last, place] < floats[entry, place]
        else:
            stays = floats[last, place] > floats[entry, place]
        if stays:
            break
        last = entries[last, link]
    entries[entry, link] = last
    entries[entry, link + 1] = NONE
    if last == NONE:
        keys[slot, column] = entry
    else:
        entries[last, link + 1] = entry
    keys[slot, column + 1] = entry


@inlined
def drop_oldest(memory: WindowMemory, slot: int) -> None:
    """Take the oldest entry out of its window."""
    entries, floats, keys, cells = memory.entries, memory.floats, memory.keys, memory.cells
    totals = memory.totals
    entry = keys[slot, SLOT_HEAD]
    for cell in range(cells.shape[0]):
        op = cells[cell, CELL_OP]
        place = ENTRY_VALUES + cells[cell, CELL_PLACE]
        column = cells[cell, CELL_COLUMN]
        value = entries[entry, place]
        if op == VALUES_INT:
            keys[slot, column] -= value != NULL
        elif op == VALUES_FLOAT:
            keys[slot, column] -= not np.isnan(floats[entry, place])
        elif op == SUM_INT:
            if value != NULL:
                before = np.uint64(keys[slot, column + 1])
                borrow = np.int64(before < np.uint64(value))
                keys[slot, column] -= (value >> 63) + borrow
                keys[slot, column + 1] = np.int64(before - np.uint64(value))
        elif op == SUM_FLOAT:
            if not np.isnan(floats[entry, place]):
                if is_narrow(value):
                    add(keys, slot, column, NARROW_WORDS, NARROW_LOW, value, True)
                else:
                    keys[slot, column + NARROW_WORDS] -= 1
        elif MIN_INT <= op <= MAX_FLOAT:
            if keys[slot, column] == entry:
                following = entries[entry, cells[cell, CELL_LINK] + 1]
                keys[slot, column] = following
                if following == NONE:
                    keys[slot, column + 1] = NONE
                else:
                    entries[following, cells[cell, CELL_LINK]] = NONE
        elif op in (DISTINCT_INT, DISTINCT_FLOAT):
            null = value == NULL if op == DISTINCT_INT else np.isnan(floats[entry, place])
            if not null:
                found = value_slot(memory.values, keys[slot, SLOT_KEY], value, cell)
                memory.values[found, VALUE_COUNT] -= 1
                if memory.values[found, VALUE_COUNT] == 0:
                    keys[slot, column] -= 1
                    _remove_value(memory, found)
    keys[slot, SLOT_HEAD] = entries[entry, ENTRY_NEXT]
    keys[slot, SLOT_COUNT] -= 1
    if totals[WALKED]:
        entries[entry, ENTRY_LEFT] = totals[LEFT]
        totals[LEFT] = entry
    else:
        entries[entry, ENTRY_NEXT] = totals[FREE_ENTRY]
        totals[FREE_ENTRY] = entry
        totals[ENTRIES] -= 1
    touch(memory, slot)


@kernel
def free_left(memory: WindowMemory) -> None:
    """Free the entries that left their windows."""
    entries, totals = memory.entries, memory.totals
    entry = totals[LEFT]
    while entry != NONE:
        following = entries[entry, ENTRY_LEFT]
        entries[entry, ENTRY_NEXT] = totals[FREE_ENTRY]
        totals[FREE_ENTRY] = entry
        totals[ENTRIES] -= 1
        entry = following
    totals[LEFT] = NONE


@kernel
def mark_all(keys: Ints, memory: WindowMemory) -> None:
    for place in range(keys.shape[0]):
        mark_changed(keys[place], memory.changed, memory.totals, WINDOW_CHANGED)


# ------------------------------------------------------------------------------------ key table


@inlined
def new_key(memory: WindowMemory, slot: int, key: int) -> None:
    """Fill an empty slot; its line is still empty."""
    keys, cells = memory.keys, memory.cells
    memory.totals[KEYS_USED] += 1
    keys[slot, SLOT_KEY] = key
    keys[slot, SLOT_TAIL] = NONE
    for column in range(SLOT_COUNT, keys.shape[1]):
        keys[slot, column] = 0
    for cell in range(cells.shape[0]):
        if MIN_INT <= cells[cell, CELL_OP] <= MAX_FLOAT:
            keys[slot, cells[cell, CELL_COLUMN]] = NONE
            keys[slot, cells[cell, CELL_COLUMN] + 1] = NONE


@inlined
def forget_key(memory: WindowMemory, slot: int) -> None:
    """Empty `slot` and close the gap, so that probing never crosses a tombstone."""
    remove_slot(memory.keys, slot)
    memory.totals[KEYS_USED] -= 1


@inlined
def drop_key(memory: WindowMemory, slot: int) -> None:
    """Forget a key and all its entries."""
    entries, keys, totals = memory.entries, memory.keys, memory.totals
    if totals[WALKED] or counts_distinct(memory):
        while keys[slot, SLOT_HEAD] != NONE:
            drop_oldest(memory, slot)
    else:  # the whole line becomes the beginning of that of free entries
        entries[keys[slot, SLOT_TAIL], ENTRY_NEXT] = totals[FREE_ENTRY]
        totals[FREE_ENTRY] = keys[slot, SLOT_HEAD]
        totals[ENTRIES] -= keys[slot, SLOT_COUNT]
        touch(memory, slot)
    forget_key(memory, slot)


# ---------------------------------------------------------------------------------- value table


@inlined
def _value_home(key: int, value: int, cell: int, mask: int) -> int:
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(value)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93) + np.uint64(cell)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))  # type: ignore[return-value]  # int64


@inlined
def value_slot(values: Ints, key: int, value: int, cell: int) -> int:
    """The slot of a value of a key's window, or the empty slot where it belongs."""
    mask = values.shape[0] - 1
    slot = _value_home(key, value, cell, mask)
    while values[slot, VALUE_COUNT] != 0 and not (
        values[slot, VALUE_KEY] == key
        and values[slot, VALUE] == value
        and values[slot, VALUE_CELL] == cell
    ):
        slot = (slot + 1) & mask
    return slot


@inlined
def _remove_value(memory: WindowMemory, slot: int) -> None:
    values = memory.values
    mask = values.shape[0] - 1
    memory.totals[VALUES_USED] -= 1
    gap = slot
    probe = (slot + 1) & mask
    while values[probe, VALUE_COUNT] != 0:
        at = _value_home(
            values[probe, VALUE_KEY], values[probe, VALUE], values[probe, VALUE_CELL], mask
        )
        if ((probe - at) & mask) >= ((probe - gap) & mask):
            for column in range(values.shape[1]):
                values[gap, column] = values[probe, column]
            values[probe, VALUE_COUNT] = 0
            gap = probe
        probe = (probe + 1) & mask


@kernel
def _rehash_values(old: Ints, new: Ints) -> None:
    for slot in range(old.shape[0]):
        if old[slot, VALUE_COUNT] != 0:
            place = value_slot(new, old[slot, VALUE_KEY], old[slot, VALUE], old[slot, VALUE_CELL])
            for column in range(old.shape[1]):
                new[place, column] = old[slot, column]


# --------------------------------------------------------------------------------------- growth


class WindowStore:
    """The arrays of one rule's windows, or of one derived field, and how they grow."""

    def __init__(self, places: int, ops: Sequence[tuple[int, int]], walked: bool) -> None:
        """`places` values are kept of each event; `ops` are (what, place) of each cell."""
        totals = np.zeros(WINDOW_TOTALS, np.int64)
        totals[[FREE_ENTRY, LEFT]] = NONE
        totals[NEXT_DUE_MS] = 2**62
        totals[WALKED], totals[CHECKPOINT] = walked, 1
        cells = np.zeros((len(ops), 4), np.int64)
        column, link = SLOT_CELLS, ENTRY_VALUES + places
        for number, (op, place) in enumerate(ops):
            cells[number] = op, place, column, link
            column += WIDTHS.get(op, 1)
            link += 2 if MIN_INT <= op <= MAX_FLOAT else 0
        self.distinct = sum(op in (DISTINCT_INT, DISTINCT_FLOAT) for op, _ in ops)
        entries = np.zeros((0, link), np.int64)
        values = np.zeros((16, 4), np.int64)
        self.memory = WindowMemory(
            entries,
            entries.view(np.float64),
            new_keys(16, column),
            values,
            np.zeros(16, np.int64),
            cells,
            np.empty(16, np.int64),
            np.zeros((1, WIDE_WORDS), np.int64),
            totals,
        )
        self.reserve(16)

    def reserve(self, more: int) -> None:
        """Make room for `more` entries, each perhaps of a new key."""
        memory, totals = self.memory, self.memory.totals
        entries = memory.entries
        if len(entries) - totals[ENTRIES] < more:
            entries = _grown(entries, totals, more)
        keys = grown_keys(memory.keys, int(totals[KEYS_USED]), more)
        values = memory.values
        slots = len(values)
        while slots < 2 * (int(totals[VALUES_USED]) + self.distinct * more):
            slots *= 2
        if slots > len(values):
            values = np.zeros((slots, values.shape[1]), np.int64)
            _rehash_values(memory.values, values)
        due = memory.due
        if len(due) - totals[DUE_KEYS] < more:
            due = np.zeros(2 * (int(totals[DUE_KEYS]) + more), np.int64)
            due[: len(memory.due)] = memory.due
        self.memory = memory._replace(
            entries=entries, floats=entries.view(np.float64), keys=keys, values=values, due=due
        )

    def give_back(self) -> None:
        """Exchange large arrays with nothing in them for small ones."""
        memory, totals = self.memory, self.memory.totals
        if totals[[ENTRIES, KEYS_USED, VALUES_USED, DUE_KEYS]].any() or totals[LEFT] != NONE:
            return
        if is_roomy(len(memory.entries) + len(memory.keys) + len(memory.values), 0):
            totals[FREE_ENTRY] = NONE
            entries = np.zeros((0, memory.entries.shape[1]), np.int64)
            listed = int(totals[WINDOW_CHANGED])
            self.memory = memory._replace(
                changed=memory.changed if listed else np.empty(16, np.int64),
                entries=entries,
                keys=new_keys(16, memory.keys.shape[1]),
                values=np.zeros((16, memory.values.shape[1]), np.int64),
                due=np.zeros(16, np.int64),
            )
            self.reserve(16)

    def will_change(self, more: int) -> None:
        """Make room to list so many more keys as changed."""
        memory, totals = self.memory, self.memory.totals
        live = int(totals[KEYS_USED])
        changed = room_for_changed(memory.changed, totals, WINDOW_CHANGED, more, live, True)
        self.memory = memory._replace(changed=changed)

    def touch(self, keys: Ints) -> None:
        """The state of these keys has changed."""
        self.will_change(len(keys))
        mark_all(keys, self.memory)

    def take_changed(self) -> Ints | None:
        """The keys changed since the last call, perhaps repeatedly; None: perhaps any."""
        self.memory.totals[CHECKPOINT] += 1
        return take_changed(self.memory.changed, self.memory.totals, WINDOW_CHANGED)

    @property
    def bytes(self) -> int:
        """Memory held by the arrays, live rows or not."""
        memory = self.memory
        return sum(each.nbytes for each in memory) - memory.floats.nbytes


def _grown(entries: Ints, totals: Ints, more: int) -> Ints:
    size = len(entries)
    grown = np.zeros((max(2 * size, int(totals[ENTRIES]) + more), entries.shape[1]), np.int64)
    grown[:size] = entries
    grown[size:-1, ENTRY_NEXT] = np.arange(size + 1, len(grown))
    grown[-1, ENTRY_NEXT] = totals[FREE_ENTRY]
    totals[FREE_ENTRY] = size
    return grown
