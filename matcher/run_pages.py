"""Kernels between the tables of a rule's runs and the rows of pages: key by key, both ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import inlined, kernel
from matcher.runs import (
    CLOCK_KEY,
    CLOCK_STATE,
    CLOCKS,
    KEYS,
    NODE_MARK,
    NODE_PREVIOUS,
    NONE,
    OPEN_AT_MS,
    RUN_KEY,
    RUN_NEXT,
    RUN_NODE,
    SLOT_HEAD,
    SLOT_KEY,
    SLOT_RUNS,
    Memory,
    key_slot,
    new_node,
    new_run,
    open_key,
)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Columns of what is said of a key: how many runs and nodes it has, when it was opened (NULL: it is
# not open), and its clock, whose state is NONE when it has none.
KEY_RUNS, KEY_NODES, KEY_OPEN_MS, KEY_CLOCK = range(4)
KEY_COLUMNS = 6


@kernel
def find_live(keys: Ints, memory: Memory, lives: Bools) -> None:
    """Which keys have runs, are open, or have a clock."""
    for place in range(keys.shape[0]):
        key = keys[place]
        lives[place] = (
            memory.keys[key_slot(memory.keys, key), SLOT_HEAD] != NONE
            or memory.open[key_slot(memory.open, key), SLOT_HEAD] != NONE
            or memory.clocks[key_slot(memory.clocks, key), CLOCK_STATE] != NONE
        )


@kernel
def describe(keys: Ints, memory: Memory, said: Ints) -> int:
    """Write what is said of each key, but for its number of nodes; returns how many runs."""
    total = 0
    for place in range(keys.shape[0]):
        key = keys[place]
        slot = key_slot(memory.keys, key)
        runs = memory.keys[slot, SLOT_RUNS] if memory.keys[slot, SLOT_HEAD] != NONE else 0
        said[place, KEY_RUNS] = runs
        total += runs
        slot = key_slot(memory.open, key)
        is_open = memory.open[slot, SLOT_HEAD] != NONE
        said[place, KEY_OPEN_MS] = memory.open[slot, OPEN_AT_MS] if is_open else NULL
        slot = key_slot(memory.clocks, key)
        for column in range(CLOCK_STATE, memory.clocks.shape[1]):
            said[place, KEY_CLOCK + column - CLOCK_STATE] = memory.clocks[slot, column]
    return total


@kernel
def list_rows(keys: Ints, memory: Memory, said: Ints, runs: Ints, nodes: Ints) -> int:
    """List each key's runs in the order of its line, and the nodes behind them.

    NODE_MARK of a node is its place in `nodes`.  Returns how many nodes, or NONE when there is no
    room for all.
    """
    run_count = node_count = 0
    for place in range(keys.shape[0]):
        slot = key_slot(memory.keys, keys[place])
        run = memory.keys[slot, SLOT_HEAD]
        before = node_count
        while run != NONE:
            runs[run_count] = run
            run_count += 1
            node = memory.runs[run, RUN_NODE]
            while node != NONE and not _is_listed(node, memory, nodes, node_count):
                if node_count == nodes.shape[0]:
                    return NONE
                nodes[node_count] = node
                memory.nodes[node, NODE_MARK] = node_count
                node_count += 1
                node = memory.nodes[node, NODE_PREVIOUS]
            run = memory.runs[run, RUN_NEXT]
        said[place, KEY_NODES] = node_count - before
    return node_count


@inlined
def _is_listed(node: int, memory: Memory, nodes: Ints, count: int) -> bool:
    """Whether the node is in the list; its mark may be of another time."""
    mark = memory.nodes[node, NODE_MARK]
    return bool(0 <= mark < count and nodes[mark] == node)


@kernel
def allocate(memory: Memory, nodes: Ints, runs: Ints) -> None:
    """Take a free row for each element of `nodes` and `runs` and write its number there."""
    for place in range(nodes.shape[0]):
        nodes[place] = new_node(memory, 0, 0, NONE)
    for place in range(runs.shape[0]):
        runs[place] = new_run(memory)


@kernel
def link(rows: Ints, memory: Memory) -> None:
    """Give each key the line of its runs, which stand together in `rows`."""
    runs, keys = memory.runs, memory.keys
    for place in range(rows.shape[0]):
        run = rows[place]
        slot = key_slot(keys, runs[run, RUN_KEY])
        runs[run, RUN_NEXT] = NONE
        if keys[slot, SLOT_HEAD] == NONE:
            keys[slot, SLOT_KEY] = runs[run, RUN_KEY]
            keys[slot, SLOT_HEAD] = run
            keys[slot, SLOT_RUNS] = 1
            memory.totals[KEYS] += 1
        else:
            keys[slot, SLOT_RUNS] += 1
            runs[rows[place - 1], RUN_NEXT] = run


@kernel
def open_and_start_clocks(keys: Ints, said: Ints, memory: Memory) -> None:
    """Remember which keys are open, and since when they have been silent."""
    for place in range(keys.shape[0]):
        if said[place, KEY_OPEN_MS] != NULL:
            open_key(memory, keys[place], said[place, KEY_OPEN_MS])
        if said[place, KEY_CLOCK] != NONE:
            slot = key_slot(memory.clocks, keys[place])
            memory.clocks[slot, CLOCK_KEY] = keys[place]
            for column in range(CLOCK_STATE, memory.clocks.shape[1]):
                memory.clocks[slot, column] = said[place, KEY_CLOCK + column - CLOCK_STATE]
            memory.totals[CLOCKS] += 1
