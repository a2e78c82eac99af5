"""Rows of a batch that fit one condition, key by key: found once for all rules that ask.

fitting(condition, key) = the rows where the condition holds and no part of the key is null,
                          in order of (key, row)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.batch import NULL
from matcher.keys import KeyCodec
from matcher.ordering import order_by
from matcher.selection import BatchKeys, put_in_order

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Condition:
    """Atoms of which all must hold, and sets of atoms of which one must (none: all events do)."""

    all_of: tuple[int, ...]
    one_of: tuple[tuple[int, ...], ...] = ()

    def mask(self, atoms: BatchAtoms) -> Bools:
        holds = reduce(np.logical_and, map(atoms.mask, self.all_of))
        if self.one_of:
            sets = (reduce(np.logical_and, map(atoms.mask, ids)) for ids in self.one_of)
            holds = holds & reduce(np.logical_or, sets)
        return holds


@dataclass(slots=True)
class Fitting:
    """`null_rows` satisfy the condition but lack a part of the key."""

    rows: Ints
    keys: Ints
    ts: Ints
    positions: Ints
    null_rows: Ints
    _atoms: BatchAtoms
    _values: dict[tuple[int, ...], Ints] = field(default_factory=dict)

    def values(self, derived: tuple[int, ...]) -> Ints:
        """The derived columns for these rows, as bits; of shape (len(derived), len(rows))."""
        if derived not in self._values:
            columns = np.empty((len(derived), len(self.rows)), np.int64)
            for place, column in enumerate(derived):
                columns[place] = self._atoms.values(column).view(np.int64)[self.rows]
            self._values[derived] = columns
        return self._values[derived]


class BatchFitting:
    """All fitting rows of one batch that were asked for."""

    def __init__(self, keyed: BatchKeys, atoms: BatchAtoms) -> None:
        self._keyed = keyed
        self._atoms = atoms
        self._masks: dict[Condition, Bools] = {}
        self._found: dict[tuple[Condition, tuple[int, ...]], Fitting] = {}

    def rows(self, condition: Condition, columns: tuple[int, ...], codec: KeyCodec) -> Fitting:
        """`columns` hold the parts of the key; rules with equal columns share `codec`."""
        found = self._found.get((condition, columns))
        if found is None:
            mask = self.mask(condition)
            found = self._found[condition, columns] = self.fitting(mask, columns, codec)
        return found

    def mask(self, condition: Condition) -> Bools:
        """Which rows of the batch satisfy the condition."""
        found = self._masks.get(condition)
        if found is None:
            found = self._masks[condition] = condition.mask(self._atoms)
        return found

    def fitting(self, mask: Bools, columns: Sequence[int], codec: KeyCodec) -> Fitting:
        """The rows where `mask` holds; those of a condition are found once by `rows`."""
        batch = self._keyed.batch
        rows: Ints = mask.nonzero()[0]
        if not len(rows):
            return Fitting(rows, rows, rows, rows, rows, self._atoms)
        if len(columns) == 1:
            put_in_order(self._keyed.order(columns[0]), mask, rows)
        keys = codec.encode([batch.columns[column] for column in columns], rows)
        known = keys != NULL
        null_rows = rows[~known]
        if len(null_rows):
            rows, keys = rows[known], keys[known]
        if len(columns) > 1:
            order = order_by(keys)
            rows, keys = rows[order], keys[order]
        return Fitting(rows, keys, batch.ts[rows], batch.position[rows], null_rows, self._atoms)
