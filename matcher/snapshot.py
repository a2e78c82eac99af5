"""The state of one rule as bytes and back: live runs, their evidence, the texts they hold.

    restore(dump(state)) = state        for every later batch

A page stands on its own: codes are replaced by an index into the page's own texts, and the raw
bytes of every event held as evidence are inside.  It carries its format and the rule's
pattern version; a page of another version is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import kernel
from matcher.keys import KeyCodec
from matcher.plan import Plan
from matcher.runs import (
    KEYS,
    NODE_POSITION,
    NODE_PREVIOUS,
    NODE_STEP,
    NODE_VALUES,
    NONE,
    OPEN_AT_MS,
    RUN_KEY,
    RUN_NEXT,
    RUN_NODE,
    RUN_REGISTERS,
    RUNS,
    SLOT_HEAD,
    SLOT_KEY,
    SLOT_RUNS,
    STARTED,
    TOTALS,
    Memory,
    Store,
    key_slot,
    new_node,
    new_run,
    open_key,
)
from matcher.strings import Strings

FORMAT = 2
COUNTERS = slice(STARTED, TOTALS)

Ints = NDArray[np.int64]


class PageMismatch(ValueError):
    """The page was written for another format or another version of the rule."""


def dump(
    plan: Plan, store: Store, keys: KeyCodec, strings: Strings, raw: Mapping[int, bytes]
) -> bytes:
    """The page of one rule; `raw` has the bytes of every position held as evidence."""
    memory = store.memory
    order = np.empty(int(store.memory.totals[RUNS]), np.int64)
    _live_runs(store.memory, order)
    runs = memory.runs[order]
    live = np.flatnonzero(memory.nodes[:, NODE_STEP] != NONE)
    nodes = memory.nodes[live]
    renumbered = np.full(len(memory.nodes) + 1, NONE, np.int64)
    renumbered[live] = np.arange(len(live))
    runs[:, RUN_NODE] = renumbered[runs[:, RUN_NODE]]
    nodes[:, NODE_PREVIOUS] = renumbered[nodes[:, NODE_PREVIOUS]]
    texts = Texts(strings)
    for rows, column in _text_columns(plan, runs, nodes):
        column[rows] = texts.indexes(column[rows])
    keyed, runs[:, RUN_KEY] = np.unique(runs[:, RUN_KEY], return_inverse=True)
    open = memory.open[memory.open[:, SLOT_HEAD] != NONE]
    open = open[np.argsort(open[:, OPEN_AT_MS], kind="stable")]
    page = {
        "format": FORMAT,
        "pattern": plan.rule.pattern_version,
        "counters": memory.totals[COUNTERS].tolist(),
        "keys": keys.all_scalars(keyed.tolist()),
        "open": [(*keys.scalars(key), at_ms) for key, _, at_ms in open.tolist()],
        "texts": texts.found,
        "events": {position: raw[position] for position in nodes[:, NODE_POSITION].tolist()},
        "runs": runs.tobytes(),
        "nodes": nodes.tobytes(),
    }
    return msgspec.msgpack.encode(page)


def restore(
    plan: Plan, keys: KeyCodec, strings: Strings, data: bytes
) -> tuple[Store, dict[int, bytes]]:
    """(the rule's state, the raw bytes of the positions it holds); raises PageMismatch."""
    page = msgspec.msgpack.decode(data, strict=False)
    if page["format"] != FORMAT:
        raise PageMismatch(f"page format {page['format']}, this version reads {FORMAT}")
    if page["pattern"] != plan.rule.pattern_version:
        raise PageMismatch(f"the pattern of {plan.rule.name} has changed")
    store = Store(len(plan.layout.registers), plan.layout.places)
    memory = store.memory
    runs = np.frombuffer(page["runs"], np.int64).reshape(-1, memory.runs.shape[1]).copy()
    nodes = np.frombuffer(page["nodes"], np.int64).reshape(-1, memory.nodes.shape[1]).copy()
    codes = strings.codes(page["texts"] or [""])
    for rows, column in _text_columns(plan, runs, nodes):
        column[rows] = codes_of(codes, column[rows])
    keyed = np.array([keys.key(tuple(scalars)) for scalars in page["keys"]] or [0], np.int64)
    runs[:, RUN_KEY] = keyed[runs[:, RUN_KEY]]
    store.reserve(len(runs), len(nodes), len(page["keys"]), len(page["open"]))
    memory = store.memory
    memory.totals[COUNTERS] = page["counters"]
    node_of = np.full(len(nodes) + 1, NONE, np.int64)
    run_of = np.empty(len(runs), np.int64)
    _allocate(memory, node_of[:-1], run_of)
    nodes[:, NODE_PREVIOUS] = node_of[nodes[:, NODE_PREVIOUS]]
    runs[:, RUN_NODE] = node_of[runs[:, RUN_NODE]]
    memory.nodes[node_of[:-1]] = nodes
    memory.runs[run_of] = runs
    _link(run_of, memory)
    opened = [(keys.key(tuple(scalars)), at_ms) for *scalars, at_ms in page["open"]]
    _open(np.array(opened, np.int64).reshape(-1, 2), memory)
    return store, {int(position): bytes(raw) for position, raw in page["events"].items()}


def _text_columns(plan: Plan, runs: Ints, nodes: Ints) -> Iterator[tuple[NDArray[np.bool_], Ints]]:
    """(rows, column) of every register and kept value that holds codes of texts."""
    for number, register in enumerate(plan.layout.registers):
        if register.text:
            yield np.ones(len(runs), np.bool_), runs[:, RUN_REGISTERS + number]
    for walk in plan.layout.walks:
        if walk.text:
            yield nodes[:, NODE_STEP] == walk.step, nodes[:, NODE_VALUES + walk.place]


class Texts:
    """The texts of a page, numbered from 0 in order of first use; null stays null."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._index: dict[int, int] = {}
        self.found: list[str] = []

    def indexes(self, codes: Ints) -> Ints:
        return np.array([self._of(code) for code in codes.tolist()], np.int64)

    def _of(self, code: int) -> int:
        if code == NULL:
            return NULL
        if code not in self._index:
            self._index[code] = len(self.found)
            self.found.append(self._strings.text(code))
        return self._index[code]


def codes_of(codes: Ints, indexes: Ints) -> Ints:
    """The inverse of `Texts.indexes`: `codes` are those of the page's texts in this process."""
    known = indexes != NULL
    return np.where(known, codes[np.where(known, indexes, 0)], NULL)


@kernel
def _live_runs(memory: Memory, order: Ints) -> None:
    """Write the live runs, key by key, each key's in the order of its line."""
    size = 0
    for slot in range(memory.keys.shape[0]):
        run = memory.keys[slot, SLOT_HEAD]
        while run != NONE:
            order[size] = run
            size += 1
            run = memory.runs[run, RUN_NEXT]


@kernel
def _allocate(memory: Memory, nodes: Ints, runs: Ints) -> None:
    """Take a free row for each element of `nodes` and `runs` and write its number there."""
    for place in range(nodes.shape[0]):
        nodes[place] = new_node(memory, 0, 0, NONE)
    for place in range(runs.shape[0]):
        runs[place] = new_run(memory)


@kernel
def _open(rows: Ints, memory: Memory) -> None:
    """Remember the keys of `rows`, which are (key, event time)."""
    for place in range(rows.shape[0]):
        open_key(memory, rows[place, 0], rows[place, 1])


@kernel
def _link(rows: Ints, memory: Memory) -> None:
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
