"""The state of one rule by key, as pages and back: runs, whether it is open, its clock.

    load(read(pages(keys))) = the state of these keys        for every later batch

A page stands on its own: codes are replaced by an index into the page's own texts.  The lines of
events that are held are elsewhere (`matcher.evidence`); here are their positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.journal import PAGE_BYTES
from matcher.keys import KeyCodec
from matcher.ledger import Content, Written
from matcher.narrow import narrowed, narrowed_table, widened, widened_table
from matcher.octets import bounds_of
from matcher.page_texts import NO_TEXTS, Texts, codes_of
from matcher.plan import Plan
from matcher.run_pages import (
    KEY_CLOCK,
    KEY_COLUMNS,
    KEY_NODES,
    KEY_OPEN_MS,
    KEY_RUNS,
    allocate,
    describe,
    find_live,
    link,
    list_rows,
    open_and_start_clocks,
)
from matcher.runs import (
    NODE_MARK,
    NODE_PREVIOUS,
    NODE_STEP,
    NODE_VALUES,
    NODES,
    NONE,
    RUN_KEY,
    RUN_NEXT,
    RUN_NODE,
    RUN_REGISTERS,
    SLOT_HEAD,
    SLOT_KEY,
    Memory,
    Store,
)
from matcher.strings import Strings

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Rows(NamedTuple):
    """What is said of keys, their runs and the nodes behind those, key by key.

    RUN_NODE and NODE_PREVIOUS count from the first node of the key.
    """

    said: Ints
    runs: Ints
    nodes: Ints


class KeyedRuns:
    """The state of one rule as a `Keyed`; `store` gives what holds it now."""

    def __init__(
        self, plan: Plan, keys: KeyCodec, strings: Strings, store: Callable[[], Store]
    ) -> None:
        self._plan = plan
        self._keys = keys
        self._strings = strings
        self._store = store

    def all_keys(self) -> Ints:
        memory = self._store().memory
        tables = memory.keys, memory.open, memory.clocks  # alike in their first columns
        found = [table[table[:, SLOT_HEAD] != NONE, SLOT_KEY] for table in tables]
        return np.unique(np.concatenate(found))

    def has_state(self, keys: Ints) -> Bools:
        lives = np.zeros(len(keys), np.bool_)
        find_live(keys, self._store().memory, lives)
        return lives

    def pages(self, keys: Ints) -> Iterator[Written]:
        rows = _listed(keys, self._store().memory)
        sizes = 8 * (
            rows.runs.shape[1] * rows.said[:, KEY_RUNS]
            + rows.nodes.shape[1] * rows.said[:, KEY_NODES]
            + 2 * (rows.said[:, KEY_OPEN_MS] != NULL)
            + 4 * (rows.said[:, KEY_CLOCK] != NONE)
        )
        if sizes.sum() < PAGE_BYTES:
            yield Written(keys, sizes, partial(self._encoded, keys, sizes, rows))
            return
        runs, nodes = bounds_of(rows.said[:, KEY_RUNS]), bounds_of(rows.said[:, KEY_NODES])
        for begin, end in cuts(sizes):
            some = Rows(
                rows.said[begin:end],
                rows.runs[runs[begin] : runs[end]],
                rows.nodes[nodes[begin] : nodes[end]],
            )
            own = keys[begin:end], sizes[begin:end]
            yield Written(*own, partial(self._encoded, *own, some))

    def read(self, data: bytes) -> Content[Rows]:
        key_columns, sizes, said, runs, nodes, texts = msgspec.msgpack.decode(data)
        memory = self._store().memory
        rows = Rows(
            widened_table(said, KEY_COLUMNS),
            widened_table(runs, memory.runs.shape[1]),
            widened_table(nodes, memory.nodes.shape[1]),
        )
        if texts[0]:
            for each, column in self._text_columns(rows):
                column[each] = codes_of(texts, column[each], self._strings)
        return Content(self._keys.unpacked(key_columns), widened(sizes), rows)

    def moved(self, empty: Store) -> Store:
        """`empty`, with the state of all keys; ask before it takes the place of the other."""
        store, keys = self._store(), self.all_keys()
        _enter(keys, _listed(keys, store.memory), empty)
        empty.go_on_from(store)
        return empty

    def load(self, parts: list[tuple[Content[Rows], Bools]]) -> None:
        if not parts:
            return
        chosen = [_chosen(content.body, marked) for content, marked in parts]
        keys = np.concatenate([content.keys[marked] for content, marked in parts])
        rows = Rows(*(np.concatenate(each) for each in zip(*chosen, strict=True)))
        _enter(keys, rows, self._store())

    # ------------------------------------------------------------------ parts

    def _encoded(self, keys: Ints, sizes: Ints, rows: Rows) -> bytes:
        texts = NO_TEXTS
        columns = [(each, column) for each, column in self._text_columns(rows)]
        if columns:
            found = Texts([column[each] for each, column in columns], self._strings)
            for each, column in columns:
                column[each] = found.indexes(column[each])
            texts = found.packed()
        said, runs, nodes = map(narrowed_table, rows)
        packed = self._keys.packed(keys)
        return msgspec.msgpack.encode((packed, narrowed(sizes), said, runs, nodes, texts))

    def _text_columns(self, rows: Rows) -> Iterator[tuple[Any, Ints]]:
        """(rows, column) of every register and kept value that holds codes of texts."""
        for number, register in enumerate(self._plan.layout.registers):
            if register.text:
                yield slice(None), rows.runs[:, RUN_REGISTERS + number]
        for walk in self._plan.layout.walks:
            if walk.text:
                bound = rows.nodes[:, NODE_STEP] == walk.step
                yield bound, rows.nodes[:, NODE_VALUES + walk.place]


def cuts(sizes: Ints) -> list[tuple[int, int]]:
    """Ranges of neighbours that have about PAGE_BYTES together, or are one that has more."""
    page_of = bounds_of(sizes)[:-1] // PAGE_BYTES
    edges = [0, *(np.flatnonzero(np.diff(page_of)) + 1).tolist(), len(sizes)]
    return list(pairwise(edges)) if len(sizes) else []


def _listed(keys: Ints, memory: Memory) -> Rows:
    """The state of the keys."""
    said = np.zeros((len(keys), KEY_COLUMNS), np.int64)
    runs = np.empty(describe(keys, memory, said), np.int64)
    room = 64 + 2 * len(runs)
    while True:
        listed = np.empty(min(room, int(memory.totals[NODES])), np.int64)
        count = list_rows(keys, memory, said, runs, listed)
        if count != NONE:
            break
        room *= 4
    nodes = memory.nodes[listed[:count]]
    first = bounds_of(said[:, KEY_NODES])[:-1]
    nodes[:, NODE_PREVIOUS] = _place_in_key(
        nodes[:, NODE_PREVIOUS], np.repeat(first, said[:, KEY_NODES]), memory
    )
    nodes[:, NODE_MARK] = 0
    rows = memory.runs[runs]
    rows[:, RUN_NODE] = _place_in_key(
        rows[:, RUN_NODE], np.repeat(first, said[:, KEY_RUNS]), memory
    )
    rows[:, [RUN_KEY, RUN_NEXT]] = 0
    return Rows(said, rows, nodes)


def _enter(keys: Ints, rows: Rows, store: Store) -> None:
    """The inverse, into a store that knows none of the keys."""
    said, runs, nodes = rows
    opened = int((said[:, KEY_OPEN_MS] != NULL).sum())
    clocks = int((said[:, KEY_CLOCK] != NONE).sum())
    store.reserve(len(runs), len(nodes), len(keys), opened, clocks)
    memory = store.memory
    node_of, run_of = np.empty(len(nodes), np.int64), np.empty(len(runs), np.int64)
    allocate(memory, node_of, run_of)
    first = bounds_of(said[:, KEY_NODES])[:-1]
    nodes[:, NODE_PREVIOUS] = _moved(
        nodes[:, NODE_PREVIOUS], np.repeat(first, said[:, KEY_NODES]), node_of
    )
    runs[:, RUN_NODE] = _moved(runs[:, RUN_NODE], np.repeat(first, said[:, KEY_RUNS]), node_of)
    runs[:, RUN_KEY] = np.repeat(keys, said[:, KEY_RUNS])
    memory.nodes[node_of] = nodes
    memory.runs[run_of] = runs
    link(run_of, memory)
    open_and_start_clocks(keys, said, memory)


def _place_in_key(nodes: Ints, first: Ints, memory: Memory) -> Ints:
    """The places of listed nodes, counted from the first of their key."""
    if not len(memory.nodes):
        return nodes
    return np.where(nodes == NONE, NONE, memory.nodes[nodes, NODE_MARK] - first)


def _moved(places: Ints, first: Ints, node_of: Ints) -> Ints:
    """The inverse: the rows that nodes have now."""
    if not len(node_of):
        return places
    return np.where(places == NONE, NONE, node_of[np.where(places == NONE, 0, first + places)])


def _chosen(rows: Rows, marked: Bools) -> Rows:
    """The rows of those keys that are marked."""
    if marked.all():
        return rows
    of_runs = np.repeat(marked, rows.said[:, KEY_RUNS])
    of_nodes = np.repeat(marked, rows.said[:, KEY_NODES])
    return Rows(rows.said[marked], rows.runs[of_runs], rows.nodes[of_nodes])
