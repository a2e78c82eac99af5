"""Functions of texts as tables indexed by code: each distinct text is looked at once.

A table covers the codes known so far and grows with the interner; an entry is computed when a batch
first has its code.  Callers ask for no null.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from matcher.strings import NULL, Strings

Ints = NDArray[np.int64]

_UNKNOWN = NULL + 1


class TextTable:
    """code → int64 that `function` gives for each of several codes (a bool is 0 or 1)."""

    def __init__(self, strings: Strings, function: Callable[[Ints], Ints]) -> None:
        self._strings = strings
        self._function = function
        self._generation = strings.generation
        self._table = np.full(1, _UNKNOWN, np.int64)

    def of(self, codes: Ints) -> Ints:
        """What the function gives for each code."""
        if self._generation != self._strings.generation:
            self._generation = self._strings.generation
            self._table = np.full(1, _UNKNOWN, np.int64)
        if len(self._table) < len(self._strings):
            grown = np.full(2 * len(self._strings), _UNKNOWN, np.int64)
            grown[: len(self._table)] = self._table
            self._table = grown
        codes = np.asarray(codes)
        found = np.asarray(self._table.take(codes, mode="clip"))
        unknown = found == _UNKNOWN
        if unknown.any():
            new = np.unique(codes[unknown])
            self._table[new] = self._function(new)
            found = self._table.take(codes, mode="clip")
        return found
