"""Keys that are those of a table's rows, `by host in servers`: which to let come and go.

    keys of the rule = keys of the rows, at every place between two events

A row counts from the place of the stream that its change has: behind every event that event time
had passed by then, before every other, whatever its position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.keys import KeyCodec
from matcher.lookup.table import Table
from matcher.runs import CLOCK_KEY, CLOCK_STATE, NONE, Memory

Ints = NDArray[np.int64]


class KeyRows(NamedTuple):
    """Keys of a rule, each once, and whether there is a row of it now."""

    keys: Ints
    alive: NDArray[np.bool_]


def rows_of(table: Table, first: int | None, codec: KeyCodec, memory: Memory) -> KeyRows:
    """What one change wrote, which began with the version `first`; without it, all there is."""
    return _all(table, codec, memory) if first is None else _written(table, first, codec)


def _written(table: Table, first: int, codec: KeyCodec) -> KeyRows:
    columns, alive = table.keys_written(first)
    return KeyRows(codec.encode(columns, np.arange(len(alive))), alive)


def _all(table: Table, codec: KeyCodec, memory: Memory) -> KeyRows:
    """The keys of all rows there are, and those known without one."""
    columns = table.keys_now()
    rows = codec.encode(columns, np.arange(len(columns[0])))
    clocks = memory.clocks[memory.clocks[:, CLOCK_STATE] != NONE]
    gone = np.setdiff1d(clocks[:, CLOCK_KEY], rows)
    keys = np.concatenate([rows, gone])
    return KeyRows(keys, np.arange(len(keys)) < len(rows))
