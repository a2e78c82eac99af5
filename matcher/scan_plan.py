"""What the JSON scanner looks for, as plain arrays: a tree of keys, and readers by event type.

A node is a place in the JSON event (`net.ip`); node 0 is the event itself.  A reader fills one
column from one node for one event type.  The scanner first notes which token each node has in a
line, and once the type is known runs that type's readers over the tokens.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import EventType, Kind, Type
from matcher.schema import Schema, leaves
from matcher.words import BUCKET_MULTIPLIER

KIND_CODES = {kind: code for code, kind in enumerate(Kind)}
"""Kinds as the scanner knows them."""

TEXT_KINDS = frozenset({Kind.STRING, Kind.ENUM, Kind.IP})
"""Kinds kept as codes."""

STRING_DOMAIN, IP_DOMAIN = 0, 1
"""Texts mean different things in different domains; each enum has a further one of its own."""


KEY_BUCKET_BITS = 6
"""Keys inside of one object are spread over so many buckets (as a power of two)."""

# Columns of `Plan.children`, one row per key of the tree.
NODE, KEY_START, KEY_LENGTH, NEXT = range(4)
# Columns of `Plan.events`, one row per event type: ranges of readers and of absent columns, the
# column of the event time (-1: none) and the place of the discriminator in `type_text`.
READERS, READERS_END, ABSENTS, ABSENTS_END, TIME_COLUMN, TEXT_START, TEXT_LENGTH = range(7)
# Columns of `Plan.readers`: one row per field of an event type; the last two are a range of
# `optional_parents`, the nodes of the optional records around the field.
SOURCE, COLUMN, KIND, SCALE, OPTIONAL, PARENTS, PARENTS_END = range(7)


class Plan(NamedTuple):
    """See the module head, and the names of columns above."""

    keys: NDArray[np.uint8]  # the bytes of all keys, one after another
    buckets: NDArray[np.int64]  # [node, bucket] → the first child there, or -1
    children: NDArray[np.int64]
    child_word: NDArray[np.uint64]  # the first 8 bytes of the key
    has_children: NDArray[np.bool_]  # by node
    node_parent: NDArray[np.int64]
    type_text: NDArray[np.uint8]
    events: NDArray[np.int64]
    readers: NDArray[np.int64]
    optional_parents: NDArray[np.int64]
    absent_column: NDArray[np.int64]  # columns an event type does not have
    column_is_float: NDArray[np.bool_]
    column_is_text: NDArray[np.bool_]
    domains: NDArray[np.int64]  # [column, event type] of texts


TYPE_NODE, SPECVERSION_NODE, DATA_NODE, TIME_NODE = 1, 2, 3, 4
_ENVELOPE = (("type",), ("specversion",), ("data",), ("time",))


class PlanBuilder:
    """Builds the plan of a schema; `enums[d]` are the values of domain d + 2."""

    def __init__(self, schema: Schema) -> None:
        self.enums: list[tuple[str, ...]] = []
        self._schema = schema
        self._nodes: dict[tuple[str, ...], int] = {(): 0}
        for source in _ENVELOPE:
            self._node(source)
        self._readers: list[tuple[int, ...]] = []
        self._parents: list[int] = []
        self._absent: list[int] = []
        self._texts = b""
        self._domains = np.zeros((len(schema.columns), len(schema.events)), np.int64)
        events = [self._event(event) for event in schema.events]
        stored = [spec.type.kind for spec in schema.columns]
        keys, buckets, children, words = self._tree()
        self.plan = Plan(
            keys=keys,
            buckets=buckets,
            children=children,
            child_word=words,
            has_children=np.array((buckets >= 0).any(axis=1)),
            node_parent=_ints([self._nodes[source[:-1]] for source in self._nodes]),
            type_text=_bytes(self._texts),
            events=_table(events, 7),
            readers=_table(self._readers, 7),
            optional_parents=_ints(self._parents),
            absent_column=_ints(self._absent),
            column_is_float=np.array([kind is Kind.FLOAT for kind in stored], np.bool_),
            column_is_text=np.array([kind in TEXT_KINDS for kind in stored], np.bool_),
            domains=self._domains,
        )

    def _node(self, source: tuple[str, ...]) -> int:
        for depth in range(1, len(source) + 1):
            self._nodes.setdefault(source[:depth], len(self._nodes))
        return self._nodes[source]

    def _event(self, event: EventType) -> tuple[int, ...]:
        """A row of `Plan.events`, after adding its readers and absent columns."""
        readers, absents = len(self._readers), len(self._absent)
        own = set()
        for leaf in leaves(event):
            column = self._schema.column(event.name, leaf.path)
            own.add(column)
            parents = len(self._parents)
            self._parents += [self._node(parent) for parent in leaf.optional_parents]
            kind, scale, optional = leaf.type.kind, leaf.type.scale, int(leaf.type.optional)
            what = (self._node(leaf.source), column, KIND_CODES[kind], scale, optional)
            self._domains[column, self._schema.event_index[event.name]] = self._domain(leaf.type)
            self._readers.append((*what, parents, len(self._parents)))
        self._absent += [c for c in range(len(self._schema.columns)) if c not in own]
        time = self._schema.column(event.name, (event.time_field,)) if event.time_field else -1
        text = event.discriminator.encode("utf-8", "surrogatepass")
        place = len(self._texts)
        self._texts += text
        ranges = (readers, len(self._readers), absents, len(self._absent))
        return (*ranges, time, place, len(text))

    def _domain(self, declared: Type) -> int:
        if declared.kind is Kind.IP:
            return IP_DOMAIN
        if declared.kind is not Kind.ENUM:
            return STRING_DOMAIN
        if declared.values not in self.enums:
            self.enums.append(declared.values)
        return 2 + self.enums.index(declared.values)

    def _tree(
        self,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """keys, buckets, children and child_word of the plan."""
        keys = b""
        buckets = np.full((len(self._nodes), 1 << KEY_BUCKET_BITS), -1, np.int64)
        children: list[tuple[int, ...]] = []
        words: list[int] = []
        for source, node in self._nodes.items():
            if not source:
                continue
            key = _written(source[-1])
            parent = self._nodes[source[:-1]]
            word = int.from_bytes(key[:8], "little")
            bucket = _bucket_of(word, len(key))
            children.append((node, len(keys), len(key), int(buckets[parent, bucket])))
            words.append(word)
            buckets[parent, bucket] = len(children) - 1
            keys += key
        return _bytes(keys), buckets, _table(children, 4), np.array(words, np.uint64)


def _written(key: str) -> bytes:
    """The key between its quotes in JSON.

    What JSON writes with an escape becomes a newline, which is in no key: lines with escaped keys
    are left to `matcher.record`.
    """
    written = json.dumps(key, ensure_ascii=False).encode("utf-8", "surrogatepass")[1:-1]
    return b"\n" if b"\\" in written else written


def _bucket_of(word: int, length: int) -> int:
    """As `matcher.words.bucket_of`."""
    mixed = (word ^ length) * BUCKET_MULTIPLIER % 2**64
    return mixed >> (64 - KEY_BUCKET_BITS)


def _ints(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _table(rows: list[tuple[int, ...]], width: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(len(rows), width)


def _bytes(octets: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(octets + bytes(8), np.uint8)
