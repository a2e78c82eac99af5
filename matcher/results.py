"""What the kernels of lanes find: one buffer for all lanes, read after each has been moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Aggregate
from matcher.buffers import Out
from matcher.chains import read_matches
from matcher.keys import KeyCodec
from matcher.runs import NODE_POSITION, NODE_STEP, NONE, Memory

Ints = NDArray[np.int64]

NO_POSITIONS = np.empty(0, np.int64)


class Found(NamedTuple):
    """A match as the kernel leaves it; the fields stand in canonical order, so matches sort.

    `timer` is 0 for a match decided by its last event; by time, 1 when the events at `at_ms` come
    first, and -1 when they no longer matter.  `by` is the position of the event that decided it, or
    of the last one bound when time did.  `steps` and `positions` are in binding order; `rule`
    is the number of the rule.  A match without events has the position it counts from as `by` and
    `first`, and `text` to order its keys by.  `values` is for windows only.
    """

    at_ms: int
    timer: int
    by: int
    rule: int
    first: int
    positions: tuple[int, ...]
    steps: tuple[int, ...]
    text: tuple[str, ...]
    key: int
    values: Mapping[Aggregate, object] | None = None


class Resolved(NamedTuple):
    """A resolution as the kernel leaves it; the fields stand in canonical order.

    `phase` is 0 unless time resolved, before (-1) or after (1) the events of `at_ms`.
    """

    at_ms: int
    phase: int
    position: int
    rule: int
    key: int


class Results:
    """The buffer, how it grows, and how it is read."""

    def __init__(self) -> None:
        self.out = _new_out(64, 256, 16)

    def clear(self) -> None:
        """Forget what an earlier lane bound."""
        self.out.counts[:] = 0

    def reserve(self, matches: int, bound: int, resolved: int = 0) -> None:
        """Make room for that many more."""
        out, counts = self.out, self.out.counts[:3].tolist()
        sizes = len(out.at_ms), len(out.bound), len(out.resolved)
        wanted = [
            used + more for used, more in zip(counts, (matches, bound, resolved), strict=True)
        ]
        if all(size >= enough for size, enough in zip(sizes, wanted, strict=True)):
            return
        grown = _new_out(
            *(
                size if size >= enough else 2 * enough
                for size, enough in zip(sizes, wanted, strict=True)
            )
        )
        for old, new in zip(out, grown, strict=True):
            new[: len(old)] = old
        self.out = grown

    def newly_held(self, memory: Memory) -> Ints:
        """Positions of the events bound since `clear` and still held by a run."""
        count = int(self.out.counts[1])
        if not count:
            return NO_POSITIONS
        bound = self.out.bound[:count]
        live: Ints = bound[memory.nodes[bound, NODE_STEP] != NONE]
        positions: Ints = memory.nodes[live, NODE_POSITION]
        return positions

    def take_resolved(self, number: int) -> list[Resolved]:
        """Take the resolutions of lane `number` out of the buffer."""
        rows = self.out.resolved[: self.out.counts[2]].tolist()
        self.out.counts[2] = 0
        return [Resolved(at_ms, 0, position, number, key) for at_ms, position, key in rows]

    def take(self, number: int, keys: KeyCodec, memory: Memory) -> list[Found]:
        """Take the matches of lane `number` out of the buffer and let go of their evidence."""
        out = self.out
        count = int(out.counts[0])
        if not count:
            return []
        begin = np.zeros(count + 1, np.int64)
        steps = np.zeros(8 * count, np.int64)
        positions = np.zeros(8 * count, np.int64)
        size = read_matches(count, out, memory, begin, steps, positions)
        if size > len(steps):
            steps, positions = np.zeros(size, np.int64), np.zeros(size, np.int64)
            read_matches(count, out, memory, begin, steps, positions)
        out.counts[0] = 0
        rows = begin.tolist()
        bound_by, places = tuple(steps[:size].tolist()), tuple(positions[:size].tolist())
        read = (out.at_ms, out.timer, out.by, out.key, out.since)
        columns = (*(column[:count].tolist() for column in read), rows[:-1], rows[1:])
        return [
            Found(
                at_ms,
                timer,
                (places[end - 1] if timer else by) if begin < end else since,
                number,
                places[begin] if begin < end else since,
                places[begin:end],
                bound_by[begin:end],
                () if begin < end else tuple(map(str, keys.scalars(key))),
                key,
            )
            for at_ms, timer, by, key, since, begin, end in zip(*columns, strict=True)
        ]


def _new_out(matches: int, bound: int, resolved: int) -> Out:
    at_ms, timer, by, key, node, since = (np.zeros(matches, np.int64) for _ in range(6))
    return Out(
        at_ms,
        timer,
        by,
        key,
        node,
        since,
        np.zeros(bound, np.int64),
        np.zeros((resolved, 3), np.int64),
        np.zeros(4, np.int64),
    )
