"""Where partial matches live: runs, their evidence, and the keys that have any, in arrays.

A run is (key, state, start, last event, registers, evidence); runs of one key form a linked list in
order of (start, preference).  Evidence is a chain of nodes, newest first, shared between the runs
that forked from one another and counted by reference.  A key without runs occupies nothing.

All arrays belong to one rule.  Kernels never grow them: they stop and ask, and `Store.reserve`
doubles what is short.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inner, kernel

Ints = NDArray[np.int64]
Shorts = NDArray[np.int32]

# Places in `Store.totals`.
FREE_RUN, RUNS, FREE_NODE, NODES, KEYS = range(5)
STARTED, MATCHED, EXPIRED, CAPPED, CHANGED = range(5, 10)
TOTALS = 10

NONE = -1


class Runs(NamedTuple):
    """One row a run; `next` links the runs of a key, or the free rows."""

    key: Ints
    start_ts: Ints
    start_position: Ints
    last_ts: Ints
    registers: Ints  # (runs, registers): ints or the bits of floats
    blocked: Ints  # bit t: transition t of the state is blocked
    state: Shorts
    node: Shorts
    next: Shorts


class Nodes(NamedTuple):
    """One row a bound event; `previous` links to the event bound before, or the free rows."""

    position: Ints
    values: Ints  # (nodes, places): what aggregates over all bound events need
    step: Shorts
    previous: Shorts
    references: Shorts


class Keys(NamedTuple):
    """Open-addressing table of the keys that have runs; `head` is NONE in an empty slot."""

    key: Ints
    head: Shorts
    runs: Shorts


class Memory(NamedTuple):
    """All of a rule's state; `totals` holds free-list heads, sizes and counters (see above)."""

    runs: Runs
    nodes: Nodes
    keys: Keys
    totals: Ints


@inner
def _home(key: int, mask: int) -> int:
    """Fibonacci hashing: neighbouring keys land far apart."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))  # type: ignore[return-value]  # int64


@inner
def key_slot(keys: Keys, key: int) -> int:
    """The slot that holds `key`, or the empty slot where it belongs."""
    mask = keys.head.shape[0] - 1
    slot = _home(key, mask)
    while keys.head[slot] != NONE and keys.key[slot] != key:
        slot = (slot + 1) & mask
    return slot


@inner
def remove_key(memory: Memory, slot: int) -> None:
    """Empty `slot` and close the gap, so that probing never crosses a tombstone."""
    keys, totals = memory.keys, memory.totals
    mask = keys.head.shape[0] - 1
    keys.head[slot] = NONE
    totals[KEYS] -= 1
    gap = slot
    probe = (slot + 1) & mask
    while keys.head[probe] != NONE:
        home = _home(keys.key[probe], mask)
        if ((probe - home) & mask) >= ((probe - gap) & mask):
            keys.key[gap] = keys.key[probe]
            keys.head[gap] = keys.head[probe]
            keys.runs[gap] = keys.runs[probe]
            keys.head[probe] = NONE
            gap = probe
        probe = (probe + 1) & mask


@kernel
def rehash(old: Keys, new: Keys) -> None:
    for slot in range(old.head.shape[0]):
        if old.head[slot] != NONE:
            place = key_slot(new, old.key[slot])
            new.key[place] = old.key[slot]
            new.head[place] = old.head[slot]
            new.runs[place] = old.runs[slot]


@inner
def new_run(memory: Memory) -> int:
    runs, totals = memory.runs, memory.totals
    run = totals[FREE_RUN]
    totals[FREE_RUN] = runs.next[run]
    totals[RUNS] += 1
    return int(run)


@inner
def new_node(memory: Memory, position: int, step: int, previous: int) -> int:
    """A node with one reference, which takes over the reference held on `previous`."""
    nodes, totals = memory.nodes, memory.totals
    node = totals[FREE_NODE]
    totals[FREE_NODE] = nodes.previous[node]
    totals[NODES] += 1
    nodes.position[node] = position
    nodes.step[node] = step
    nodes.previous[node] = previous
    nodes.references[node] = 1
    return int(node)


@inner
def release_node(memory: Memory, node: int) -> None:
    nodes, totals = memory.nodes, memory.totals
    while node != NONE:
        nodes.references[node] -= 1
        if nodes.references[node] > 0:
            return
        previous = nodes.previous[node]
        nodes.previous[node] = totals[FREE_NODE]
        nodes.step[node] = NONE
        totals[FREE_NODE] = node
        totals[NODES] -= 1
        node = previous


@inner
def free_run(memory: Memory, run: int) -> None:
    runs, totals = memory.runs, memory.totals
    release_node(memory, runs.node[run])
    runs.state[run] = NONE
    runs.next[run] = totals[FREE_RUN]
    totals[FREE_RUN] = run
    totals[RUNS] -= 1
    totals[CHANGED] = 1


@inner
def copy_run(memory: Memory, run: int) -> int:
    """A second run with the same past, sharing its evidence."""
    runs, nodes = memory.runs, memory.nodes
    twin = new_run(memory)
    runs.key[twin] = runs.key[run]
    runs.start_ts[twin] = runs.start_ts[run]
    runs.start_position[twin] = runs.start_position[run]
    runs.last_ts[twin] = runs.last_ts[run]
    for register in range(runs.registers.shape[1]):
        runs.registers[twin, register] = runs.registers[run, register]
    runs.blocked[twin] = runs.blocked[run]
    runs.state[twin] = runs.state[run]
    runs.node[twin] = runs.node[run]
    if runs.node[run] != NONE:
        nodes.references[runs.node[run]] += 1
    return twin


class Store:
    """The arrays of one rule and how they grow."""

    def __init__(self, registers: int, places: int) -> None:
        totals = np.zeros(TOTALS, np.int64)
        totals[FREE_RUN] = totals[FREE_NODE] = NONE
        self.memory = Memory(_runs(0, registers), _nodes(0, places), _keys(16), totals)
        self.reserve(16, 16, 8)

    def reserve(self, runs: int, nodes: int, keys: int) -> None:
        """Make room for that many more runs, nodes and keys."""
        self._reserve_runs(runs)
        self._reserve_nodes(nodes)
        slots = len(self.memory.keys.head)
        while 2 * (self.memory.totals[KEYS] + keys) > slots:
            slots *= 2
        if slots > len(self.memory.keys.head):
            larger = _keys(slots)
            rehash(self.memory.keys, larger)
            self.memory = self.memory._replace(keys=larger)

    def _reserve_runs(self, more: int) -> None:
        size = len(self.memory.runs.state)
        if size - self.memory.totals[RUNS] >= more:
            return
        grown = _runs(
            max(2 * size, int(self.memory.totals[RUNS]) + more), self.memory.runs.registers.shape[1]
        )
        _copy(self.memory.runs, grown, size)
        grown.next[size:-1] = np.arange(size + 1, len(grown.next))
        grown.next[-1] = self.memory.totals[FREE_RUN]
        self.memory.totals[FREE_RUN] = size
        self.memory = self.memory._replace(runs=grown)

    def _reserve_nodes(self, more: int) -> None:
        size = len(self.memory.nodes.step)
        if size - self.memory.totals[NODES] >= more:
            return
        grown = _nodes(
            max(2 * size, int(self.memory.totals[NODES]) + more), self.memory.nodes.values.shape[1]
        )
        _copy(self.memory.nodes, grown, size)
        grown.previous[size:-1] = np.arange(size + 1, len(grown.previous))
        grown.previous[-1] = self.memory.totals[FREE_NODE]
        self.memory.totals[FREE_NODE] = size
        self.memory = self.memory._replace(nodes=grown)

    @property
    def bytes(self) -> int:
        """Memory held by the arrays, live rows or not."""
        arrays = (*self.memory.runs, *self.memory.nodes, *self.memory.keys)
        return int(sum(array.nbytes for array in arrays))


def _runs(size: int, registers: int) -> Runs:
    key, start_ts, start_position, last_ts, blocked = (np.zeros(size, np.int64) for _ in range(5))
    state, node, following = (np.full(size, NONE, np.int32) for _ in range(3))
    return Runs(
        key,
        start_ts,
        start_position,
        last_ts,
        np.zeros((size, registers), np.int64),
        blocked,
        state,
        node,
        following,
    )


def _nodes(size: int, places: int) -> Nodes:
    step, previous, references = (np.full(size, NONE, np.int32) for _ in range(3))
    return Nodes(
        np.zeros(size, np.int64), np.zeros((size, places), np.int64), step, previous, references
    )


def _keys(slots: int) -> Keys:
    return Keys(
        np.zeros(slots, np.int64), np.full(slots, NONE, np.int32), np.zeros(slots, np.int32)
    )


def _copy(old: Iterable[NDArray[Any]], new: Iterable[NDArray[Any]], size: int) -> None:
    for source, target in zip(old, new, strict=True):
        target[:size] = source
