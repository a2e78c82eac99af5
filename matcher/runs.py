"""Where partial matches live: runs, their evidence, and the keys that have any.

A run is (key, state, start, last event, registers, evidence); runs of one key form a linked list in
order of (start, preference).  Evidence is a chain of nodes, newest first, shared between the runs
that forked from one another and counted by reference.  A key without runs occupies nothing.

All arrays belong to one rule.  Kernels never grow them: they stop and ask, and `Store.reserve`
doubles what is short.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.words import prefetch

Ints = NDArray[np.int64]

# Places in `Store.totals`.
FREE_RUN, RUNS, FREE_NODE, NODES, KEYS, OPEN, CLOCKS = range(7)
STARTED, MATCHED, EXPIRED, CAPPED, CANCELLED, SKIPS_MISSED, FORGOTTEN = range(7, 14)
FULL = 14  # whether the rule has too many runs
CHANGED = 15  # how many of `Memory.changed` are in use
TOTALS = 16

NONE = -1

EVERY_KEY = -1
"""In place of a number of changed keys: too many to list, all have to be looked at."""


# Columns of `Memory.runs`, one row a run; the registers (ints or the bits of floats) come last.
# `next` links the runs of a key, or the free rows.  Bit t of `blocked`: transition t is blocked.
(
    RUN_KEY,
    RUN_START_TS,
    RUN_START_POSITION,
    RUN_LAST_TS,
    RUN_BLOCKED,
    RUN_STATE,
    RUN_NODE,
    RUN_NEXT,
    RUN_REGISTERS,
) = range(9)

# Columns of `Memory.nodes`, one row a bound event; `previous` links to the event bound before, or
# the free rows; `mark` is for whoever walks over all.  The values that aggregates over all bound
# events need come last.
NODE_POSITION, NODE_STEP, NODE_PREVIOUS, NODE_REFERENCES, NODE_MARK, NODE_VALUES = range(6)

# Columns of `Memory.keys`, an open-addressing table of the keys that have runs; the head of an
# empty slot is NONE.
SLOT_KEY, SLOT_HEAD, SLOT_RUNS = range(3)
SLOT_COLUMNS = 3

# Columns of `Memory.open`, such a table of the keys for which something was detected that has not
# been resolved since; the head of a slot in use is 0.
OPEN_AT_MS = 2
OPEN_COLUMNS = 3

# Columns of `Memory.clocks`, such a table too: since when a key has been silent, by event time and
# by position (NONE: by no event).  State: NONE is an empty slot.
CLOCK_KEY, CLOCK_STATE, CLOCK_TS, CLOCK_POSITION = range(4)
CLOCK_COLUMNS = 4
RINGING, RUNG = range(2)  # will ring at its deadline, has rung


CHANGED_SPARE = 65_536
"""So many keys may be listed as changed in any case."""


class Memory(NamedTuple):
    """All of a rule's state; `totals` holds free-list heads, sizes and counters (see above).

    `changed` lists the keys whose state has changed since the last checkpoint, some repeatedly.
    """

    runs: Ints
    nodes: Ints
    keys: Ints
    open: Ints
    clocks: Ints
    changed: Ints
    totals: Ints


@inlined
def _home(key: int, mask: int) -> int:
    """Fibonacci hashing: neighbouring keys land far apart."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))  # type: ignore[return-value]  # int64


@inlined
def key_slot(keys: Ints, key: int) -> int:
    """The slot that holds `key`, or the empty slot where it belongs."""
    mask = keys.shape[0] - 1
    slot = _home(key, mask)
    while keys[slot, SLOT_HEAD] != NONE and keys[slot, SLOT_KEY] != key:
        slot = (slot + 1) & mask
    return slot


@inlined
def home_slot(keys: Ints, key: int) -> int:
    """The slot where a look-up of the key begins, and mostly ends."""
    return _home(key, keys.shape[0] - 1)


@inlined
def prefetch_slot(keys: Ints, key: int) -> None:
    """Begin to fetch the slot where a look-up of the key will begin."""
    prefetch(keys, _home(key, keys.shape[0] - 1))


@inlined
def mark_changed(key: int, changed: Ints, totals: Ints, place: int) -> None:
    """List a key as changed; `totals[place]` says how many are listed."""
    count = totals[place]
    if count == EVERY_KEY or (count > 0 and changed[count - 1] == key):
        return
    if count == changed.shape[0]:
        totals[place] = EVERY_KEY
    else:
        changed[count] = key
        totals[place] = count + 1


@inlined
def touch(memory: Memory, key: int) -> None:
    """The state of the key has changed."""
    mark_changed(key, memory.changed, memory.totals, CHANGED)


@inlined
def remove_key(memory: Memory, slot: int) -> None:
    """Empty `slot` and close the gap, so that probing never crosses a tombstone."""
    remove_slot(memory.keys, slot)
    memory.totals[KEYS] -= 1


@inlined
def remove_slot(keys: Ints, slot: int) -> None:
    """`remove_key` for any table of keys whose first columns are SLOT_KEY and SLOT_HEAD."""
    mask = keys.shape[0] - 1
    keys[slot, SLOT_HEAD] = NONE
    gap = slot
    probe = (slot + 1) & mask
    while keys[probe, SLOT_HEAD] != NONE:
        home = _home(keys[probe, SLOT_KEY], mask)
        if ((probe - home) & mask) >= ((probe - gap) & mask):
            for column in range(keys.shape[1]):
                keys[gap, column] = keys[probe, column]
            keys[probe, SLOT_HEAD] = NONE
            gap = probe
        probe = (probe + 1) & mask


@inlined
def is_open(memory: Memory, key: int) -> bool:
    """Whether something was detected for the key and not resolved since."""
    return bool(memory.open[key_slot(memory.open, key), SLOT_HEAD] != NONE)


@inlined
def open_key(memory: Memory, key: int, at_ms: int) -> None:
    """Remember that something was detected for the key."""
    slot = key_slot(memory.open, key)
    if memory.open[slot, SLOT_HEAD] == NONE:
        memory.open[slot, SLOT_KEY] = key
        memory.open[slot, SLOT_HEAD] = 0
        memory.totals[OPEN] += 1
    memory.open[slot, OPEN_AT_MS] = at_ms
    touch(memory, key)


@kernel
def rehash(old: Ints, new: Ints) -> None:
    """Move the keys of a table to a larger, empty one."""
    for slot in range(old.shape[0]):
        if old[slot, SLOT_HEAD] != NONE:
            place = key_slot(new, old[slot, SLOT_KEY])
            for column in range(old.shape[1]):
                new[place, column] = old[slot, column]


def grown_keys(keys: Ints, used: int, more: int) -> Ints:
    """`keys`, or a larger table of the same keys when `more` might fill over half of it."""
    slots = len(keys)
    while 2 * (used + more) > slots:
        slots *= 2
    if slots == len(keys):
        return keys
    larger = new_keys(slots, keys.shape[1])
    rehash(keys, larger)
    return larger


def new_keys(slots: int, columns: int) -> Ints:
    return np.full((slots, columns), NONE, np.int64)


@inlined
def new_run(memory: Memory) -> int:
    runs, totals = memory.runs, memory.totals
    run = totals[FREE_RUN]
    totals[FREE_RUN] = runs[run, RUN_NEXT]
    totals[RUNS] += 1
    return int(run)


@inlined
def new_node(memory: Memory, position: int, step: int, previous: int) -> int:
    """A node with one reference, which takes over the reference held on `previous`."""
    nodes, totals = memory.nodes, memory.totals
    node = totals[FREE_NODE]
    totals[FREE_NODE] = nodes[node, NODE_PREVIOUS]
    totals[NODES] += 1
    nodes[node, NODE_POSITION] = position
    nodes[node, NODE_STEP] = step
    nodes[node, NODE_PREVIOUS] = previous
    nodes[node, NODE_REFERENCES] = 1
    return int(node)


@inlined
def release_node(memory: Memory, node: int) -> None:
    nodes, totals = memory.nodes, memory.totals
    while node != NONE:
        nodes[node, NODE_REFERENCES] -= 1
        if nodes[node, NODE_REFERENCES] > 0:
            return
        previous = nodes[node, NODE_PREVIOUS]
        nodes[node, NODE_PREVIOUS] = totals[FREE_NODE]
        nodes[node, NODE_STEP] = NONE
        totals[FREE_NODE] = node
        totals[NODES] -= 1
        node = previous


@inlined
def free_run(memory: Memory, run: int) -> None:
    runs, totals = memory.runs, memory.totals
    release_node(memory, runs[run, RUN_NODE])
    runs[run, RUN_STATE] = NONE
    runs[run, RUN_NEXT] = totals[FREE_RUN]
    totals[FREE_RUN] = run
    totals[RUNS] -= 1
    touch(memory, runs[run, RUN_KEY])


@inlined
def copy_run(memory: Memory, run: int) -> int:
    """A second run with the same past, sharing its evidence."""
    runs, nodes = memory.runs, memory.nodes
    twin = new_run(memory)
    for column in range(runs.shape[1]):
        runs[twin, column] = runs[run, column]
    if runs[run, RUN_NODE] != NONE:
        nodes[runs[run, RUN_NODE], NODE_REFERENCES] += 1
    return twin


ROOM_RATIO, ROOM_MIN = 8, 16_384
"""Arrays with room for more than so many times the rows there are, a number of rows aside, are
exchanged for smaller ones."""


def is_roomy(room: int, rows: int) -> bool:
    return room > ROOM_RATIO * rows + ROOM_MIN


class Store:
    """The arrays of one rule and how they grow."""

    def __init__(self, registers: int, places: int) -> None:
        totals = np.zeros(TOTALS, np.int64)
        totals[FREE_RUN] = totals[FREE_NODE] = NONE
        runs = np.zeros((0, RUN_REGISTERS + registers), np.int64)
        nodes = np.zeros((0, NODE_VALUES + places), np.int64)
        widths = (SLOT_COLUMNS, OPEN_COLUMNS, CLOCK_COLUMNS)
        keys, open, clocks = (new_keys(16, columns) for columns in widths)
        changed = np.empty(16, np.int64)
        self.memory = Memory(runs, nodes, keys, open, clocks, changed, totals)
        self.reserve(16, 16, 8)

    def reserve(self, runs: int, nodes: int, keys: int, open: int = 0, clocks: int = 0) -> None:
        """Make room for that many more runs, nodes, keys, open keys and clocks."""
        memory = self.memory
        totals = memory.totals
        self.memory = memory._replace(
            runs=_grown(memory.runs, totals, RUNS, FREE_RUN, RUN_NEXT, RUN_STATE, runs),
            nodes=_grown(memory.nodes, totals, NODES, FREE_NODE, NODE_PREVIOUS, NODE_STEP, nodes),
            keys=grown_keys(memory.keys, int(totals[KEYS]), keys),
            open=grown_keys(memory.open, int(totals[OPEN]), open),
            clocks=grown_keys(memory.clocks, int(totals[CLOCKS]), clocks),
        )

    def forget_oldest(self, open: int, clocks: int) -> None:
        """Keep at most so many open keys and clocks; those of the same time go together."""
        memory = self.memory
        open_keys, gone = _newest(memory.open, memory.totals, OPEN, OPEN_AT_MS, open)
        known_keys, unknown = _newest(memory.clocks, memory.totals, CLOCKS, CLOCK_TS, clocks)
        self.memory = memory._replace(open=open_keys, clocks=known_keys)
        forgotten = np.concatenate([gone, unknown])
        if len(forgotten):
            self.will_change(len(forgotten))
            touch_all(forgotten, self.memory)

    def will_change(self, more: int) -> None:
        """Make room to list so many more keys as changed."""
        totals = self.memory.totals
        live = int(totals[KEYS] + totals[OPEN] + totals[CLOCKS])
        changed = room_for_changed(self.memory.changed, totals, CHANGED, more, live)
        self.memory = self.memory._replace(changed=changed)

    def take_changed(self) -> Ints | None:
        """The keys changed since the last call, perhaps repeatedly; None: perhaps any."""
        return take_changed(self.memory.changed, self.memory.totals, CHANGED)

    @property
    def is_roomy(self) -> bool:
        """Whether the arrays are much larger than what is in them."""
        totals = self.memory.totals
        rows = int(totals[[RUNS, NODES, KEYS, OPEN, CLOCKS]].sum() + max(totals[CHANGED], 0))
        return is_roomy(sum(map(len, self.memory)), rows)

    def go_on_from(self, other: Store) -> None:
        """Count on where `other` was, whose rows these are, too."""
        memory, before = self.memory, other.memory
        memory.totals[STARTED:] = before.totals[STARTED:]
        count = max(int(memory.totals[CHANGED]), 0)
        changed = np.empty(max(16, 2 * count), np.int64)
        changed[:count] = before.changed[:count]
        self.memory = memory._replace(changed=changed)

    @property
    def bytes(self) -> int:
        """Memory held by the arrays, live rows or not."""
        return sum(array.nbytes for array in self.memory)


def take_changed(changed: Ints, totals: Ints, place: int) -> Ints | None:
    """A copy of the keys listed, of which none is from now on; None: perhaps any has changed."""
    count = int(totals[place])
    totals[place] = 0
    return None if count == EVERY_KEY else changed[:count].copy()


def room_for_changed(
    changed: Ints, totals: Ints, place: int, more: int, live: int, distinct: bool = False
) -> Ints:
    """`changed`, or a larger array that has room for so many more keys.

    When nobody takes them, and they are many more than the `live` keys there are, they are given
    up: whoever takes them then has to look at every key.  `distinct`: hardly any is listed twice.
    """
    count = int(totals[place])
    if count == EVERY_KEY or count + more <= len(changed):
        return changed
    if count > CHANGED_SPARE + 2 * live:
        if distinct:
            totals[place] = EVERY_KEY
            return changed
        known = np.unique(changed[:count])
        if 2 * len(known) > count:
            totals[place] = EVERY_KEY
            return changed
        changed[: len(known)] = known
        totals[place] = count = len(known)
    larger = np.empty(2 * (count + more), np.int64)
    larger[:count] = changed[:count]
    return larger


@kernel
def touch_all(keys: Ints, memory: Memory) -> None:
    """The state of all these keys has changed."""
    for place in range(keys.shape[0]):
        touch(memory, keys[place])


def _newest(keys: Ints, totals: Ints, used: int, time: int, most: int) -> tuple[Ints, Ints]:
    """`keys`, or a table of the newest of them by their column `time`; and those left out.

    At most `most` are kept.
    """
    excess = int(totals[used]) - most
    if excess <= 0:
        return keys, np.empty(0, np.int64)
    rows = keys[keys[:, SLOT_HEAD] != NONE]
    newest_ms = np.partition(rows[:, time], excess - 1)[excess - 1]
    stays = rows[:, time] > newest_ms
    kept = np.ascontiguousarray(rows[stays])
    fewer = new_keys(len(keys), keys.shape[1])
    rehash(kept, fewer)
    totals[used] = len(kept)
    totals[FORGOTTEN] += len(rows) - len(kept)
    return fewer, rows[~stays, SLOT_KEY]


def _grown(rows: Ints, totals: Ints, used: int, free: int, link: int, mark: int, more: int) -> Ints:
    """`rows`, or a copy at least twice as long whose new rows head the list of free ones."""
    size = len(rows)
    if size - totals[used] >= more:
        return rows
    grown = np.zeros((max(2 * size, int(totals[used]) + more), rows.shape[1]), np.int64)
    grown[:size] = rows
    grown[size:, mark] = NONE
    grown[size:-1, link] = np.arange(size + 1, len(grown))
    grown[-1, link] = totals[free]
    totals[free] = size
    return grown
