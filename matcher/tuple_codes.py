"""Codes for tuples of ints: one for each tuple, counted up in order of first sight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import kernel
from matcher.runs import NONE

Ints = NDArray[np.int64]


class TupleCodes:
    """Tuples of `width` ints; codes are never reused."""

    def __init__(self, width: int) -> None:
        self._tuples = np.zeros((16, width), np.int64)
        self._table = np.full(32, NONE, np.int64)  # open addressing: a code, or NONE
        self._count = np.zeros(1, np.int64)

    def codes(self, tuples: Ints) -> Ints:
        """One code for each row."""
        found = np.empty(len(tuples), np.int64)
        begin = 0
        while True:
            begin = _codes(begin, tuples, self._tuples, self._table, self._count, found)
            if begin == len(tuples):
                return found
            self._grow()

    def tuples(self, codes: Ints) -> Ints:
        """The inverse of `codes`."""
        rows: Ints = self._tuples[codes]
        return rows

    def _grow(self) -> None:
        count = int(self._count[0])
        known = self._tuples[:count]
        self._tuples = np.zeros((2 * len(self._tuples), known.shape[1]), np.int64)
        self._table = np.full(2 * len(self._tuples), NONE, np.int64)
        self._count[0] = 0
        _codes(0, known, self._tuples, self._table, self._count, np.empty(count, np.int64))


@kernel
def _codes(begin: int, rows: Ints, tuples: Ints, table: Ints, count: Ints, found: Ints) -> int:
    """Look rows up, from `begin` on, new ones included; returns where it stopped for want of room.

    `table` has twice as many slots as `tuples` has rows.
    """
    mask = np.uint64(table.shape[0] - 1)
    width = rows.shape[1]
    for row in range(begin, rows.shape[0]):
        if count[0] == tuples.shape[0]:
            return row
        mixed = np.uint64(0)
        for part in range(width):
            mixed = (mixed ^ np.uint64(rows[row, part])) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(32)
        slot = np.int64(mixed & mask)
        while True:
            code = table[slot]
            if code == NONE:
                code = count[0]
                count[0] += 1
                table[slot] = code
                for part in range(width):
                    tuples[code, part] = rows[row, part]
                break
            same = True
            for part in range(width):
                same = same and tuples[code, part] == rows[row, part]
            if same:
                break
            slot = (slot + 1) & np.int64(mask)
        found[row] = code
    return int(rows.shape[0])
