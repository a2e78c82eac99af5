"""The state of one rule as bytes and back: live runs, their evidence, the texts they hold.

    restore(dump(state)) = state        for every later batch

A page stands on its own: codes are replaced by an index into the page's own texts, and the raw
bytes of every event held as evidence are inside.  It carries its format and the rule's
pattern version; a page of another version is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import kernel
from matcher.keys import KeyCodec
from matcher.plan import Plan
from matcher.runs import KEYS, NONE, RUNS, TOTALS, Memory, Store, key_slot, new_node, new_run
from matcher.strings import Strings

FORMAT = 1
COUNTERS = slice(KEYS + 1, TOTALS)

Ints = NDArray[np.int64]


class PageMismatch(ValueError):
    """The page was written for another format or another version of the rule."""


def dump(
    plan: Plan, store: Store, keys: KeyCodec, strings: Strings, raw: Mapping[int, bytes]
) -> bytes:
    """The page of one rule; `raw` has the bytes of every position held as evidence."""
    runs, nodes = store.memory.runs, store.memory.nodes
    order = np.empty(int(store.memory.totals[RUNS]), np.int64)
    _live_runs(store.memory, order)
    live = np.flatnonzero(nodes.step != NONE)
    renumbered = np.full(len(nodes.step) + 1, NONE, np.int64)
    renumbered[live] = np.arange(len(live))
    texts = _Texts(strings)
    registers = runs.registers[order]
    for column, register in enumerate(plan.layout.registers):
        if register.text:
            registers[:, column] = texts.indexes(registers[:, column])
    values = nodes.values[live]
    for walk in plan.layout.walks:
        if walk.text:
            of_step = nodes.step[live] == walk.step
            values[of_step, walk.place] = texts.indexes(values[of_step, walk.place])
    distinct, key_index = np.unique(runs.key[order], return_inverse=True)
    page = {
        "format": FORMAT,
        "pattern": plan.rule.pattern_version,
        "counters": store.memory.totals[COUNTERS].tolist(),
        "keys": [keys.scalars(key) for key in distinct.tolist()],
        "texts": texts.found,
        "events": {int(position): raw[position] for position in nodes.position[live].tolist()},
        "runs": {
            "key": _bytes(key_index),
            "start_ts": _bytes(runs.start_ts[order]),
            "start_position": _bytes(runs.start_position[order]),
            "last_ts": _bytes(runs.last_ts[order]),
            "registers": _bytes(registers),
            "blocked": _bytes(runs.blocked[order]),
            "state": _bytes(runs.state[order]),
            "node": _bytes(renumbered[runs.node[order]]),
        },
        "nodes": {
            "position": _bytes(nodes.position[live]),
            "values": _bytes(values),
            "step": _bytes(nodes.step[live]),
            "previous": _bytes(renumbered[nodes.previous[live]]),
            "references": _bytes(nodes.references[live]),
        },
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
    columns = {name: _array(data) for name, data in page["runs"].items()}
    evidence = {name: _array(data) for name, data in page["nodes"].items()}
    count, held = len(columns["key"]), len(evidence["step"])
    codes = np.array([strings.code(text) for text in page["texts"]] or [0], np.int64)
    registers = columns["registers"].reshape(count, len(plan.layout.registers)).copy()
    for column, register in enumerate(plan.layout.registers):
        if register.text:
            registers[:, column] = _codes(codes, registers[:, column])
    values = evidence["values"].reshape(held, plan.layout.places).copy()
    for walk in plan.layout.walks:
        if walk.text:
            of_step = evidence["step"] == walk.step
            values[of_step, walk.place] = _codes(codes, values[of_step, walk.place])
    key_values = [keys.key(tuple(scalars)) for scalars in page["keys"]]
    run_keys = np.array(key_values or [0], np.int64)[columns["key"]]
    store = Store(len(plan.layout.registers), plan.layout.places)
    store.reserve(count, held, len(key_values))
    store.memory.totals[COUNTERS] = page["counters"]
    node_of = np.empty(held + 1, np.int64)
    node_of[-1] = NONE
    rows = np.empty(count, np.int64)
    _allocate(store.memory, node_of[:-1], rows)
    store.memory.nodes.position[node_of[:-1]] = evidence["position"]
    store.memory.nodes.step[node_of[:-1]] = evidence["step"]
    store.memory.nodes.previous[node_of[:-1]] = node_of[evidence["previous"]]
    store.memory.nodes.references[node_of[:-1]] = evidence["references"]
    store.memory.nodes.values[node_of[:-1]] = values
    store.memory.runs.key[rows] = run_keys
    for name in ("start_ts", "start_position", "last_ts", "blocked", "state"):
        getattr(store.memory.runs, name)[rows] = columns[name]
    store.memory.runs.registers[rows] = registers
    store.memory.runs.node[rows] = node_of[columns["node"]]
    _link(rows, store.memory)
    return store, {int(position): bytes(raw) for position, raw in page["events"].items()}


class _Texts:
    """The texts of a page, numbered from 0 in order of first use."""

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


def _codes(codes: Ints, indexes: Ints) -> Ints:
    known = indexes != NULL
    return np.where(known, codes[np.where(known, indexes, 0)], NULL)


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array, np.int64).tobytes()


def _array(data: bytes) -> Ints:
    return np.frombuffer(data, np.int64)


@kernel
def _live_runs(memory: Memory, order: Ints) -> None:
    """Write the live runs, key by key, each key's in the order of its line."""
    size = 0
    for slot in range(memory.keys.head.shape[0]):
        run = memory.keys.head[slot]
        while run != NONE:
            order[size] = run
            size += 1
            run = memory.runs.next[run]


@kernel
def _allocate(memory: Memory, nodes: Ints, runs: Ints) -> None:
    """Take a free row for each element of `nodes` and `runs` and write its number there."""
    for place in range(nodes.shape[0]):
        nodes[place] = new_node(memory, 0, 0, NONE)
    for place in range(runs.shape[0]):
        runs[place] = new_run(memory)


@kernel
def _link(rows: Ints, memory: Memory) -> None:
    """Give each key the line of its runs, which stand together in `rows`."""
    runs, keys = memory.runs, memory.keys
    for place in range(rows.shape[0]):
        run = rows[place]
        slot = key_slot(keys, runs.key[run])
        runs.next[run] = NONE
        if keys.head[slot] == NONE:
            keys.key[slot] = runs.key[run]
            keys.head[slot] = run
            keys.runs[slot] = 1
            memory.totals[KEYS] += 1
        else:
            keys.runs[slot] += 1
            runs.next[rows[place - 1]] = run
