"""Storage of partial matches: the key table, growth, and nothing left behind."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matcher.compiled import kernel
from matcher.runs import (
    KEYS,
    NODES,
    RUNS,
    SLOT_HEAD,
    SLOT_KEY,
    Ints,
    Memory,
    Store,
    key_slot,
    remove_key,
)


@kernel
def insert(memory: Memory, key: int) -> None:
    slot = key_slot(memory.keys, key)
    if memory.keys[slot, SLOT_HEAD] < 0:
        memory.keys[slot, SLOT_KEY] = key
        memory.keys[slot, SLOT_HEAD] = 0
        memory.totals[KEYS] += 1


@kernel
def remove(memory: Memory, key: int) -> None:
    slot = key_slot(memory.keys, key)
    if memory.keys[slot, SLOT_HEAD] >= 0:
        remove_key(memory, slot)


@kernel
def contains(memory: Memory, keys: Ints, found: Ints) -> None:
    for place in range(keys.shape[0]):
        slot = key_slot(memory.keys, keys[place])
        found[place] = memory.keys[slot, SLOT_HEAD] >= 0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 40)), max_size=200))
def test_key_table_is_a_set_of_keys(operations: list[tuple[bool, int]]) -> None:
    store = Store(0, 0)
    expected: set[int] = set()
    for add, key in operations:
        store.reserve(1, 1, 1)
        (insert if add else remove)(store.memory, key)
        (expected.add if add else expected.discard)(key)
    keys = np.arange(-3, 41)
    found = np.zeros(len(keys), np.int64)
    contains(store.memory, keys, found)
    assert set(keys[found == 1].tolist()) == expected
    assert store.memory.totals[KEYS] == len(expected)


def test_reserve_keeps_rows_and_finds_room() -> None:
    store = Store(2, 1)
    store.memory.runs[:] = 7
    before = len(store.memory.runs)
    store.reserve(10_000, 20_000, 5_000)
    memory = store.memory
    assert len(memory.runs) >= 10_000 and len(memory.nodes) >= 20_000 and len(memory.keys) >= 10_000
    assert (memory.runs[:before] == 7).all()
    assert memory.totals[RUNS] == memory.totals[NODES] == 0
