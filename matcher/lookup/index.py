"""Keys of rows → ids that count up from 0, for whole columns at a time.

    ids(columns)[i] = the id given to the key in row i, or -1; a null is no key
    add(columns)    = the same, after giving ids to keys that had none

An index never forgets a key.  A row of text costs 4 bytes per code, a number 12 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Type
from matcher.batch import Column
from matcher.layout import is_text

Ints: TypeAlias = NDArray[np.int64]

RECENT_MIN = 4096
"""So many numbers may be kept apart from the large sorted array before they are merged into it."""


class KeyIndex(Protocol):
    @property
    def size(self) -> int: ...

    def ids(self, columns: Sequence[Column]) -> Ints: ...

    def add(self, columns: Sequence[Column]) -> Ints: ...


def index_of(types: Sequence[Type]) -> KeyIndex:
    """An index for keys whose parts have these types."""
    parts: list[KeyIndex] = [TextIndex() if is_text(type_) else NumberIndex() for type_ in types]
    return parts[0] if len(parts) == 1 else CompositeIndex(parts)


class TextIndex:
    """Codes of texts are small and dense, so the id of a code stands at its place."""

    def __init__(self) -> None:
        self.size = 0
        self._id_of = np.empty(0, np.int32)

    def ids(self, columns: Sequence[Column]) -> Ints:
        codes = np.asarray(columns[0], np.int64)
        if not len(self._id_of):
            return np.full(len(codes), -1, np.int64)
        found = self._id_of.take(codes, mode="clip").astype(np.int64)
        found[(codes < 0) | (codes >= len(self._id_of))] = -1
        return found

    def add(self, columns: Sequence[Column]) -> Ints:
        codes = np.asarray(columns[0], np.int64)
        top = int(codes.max(initial=-1)) + 1
        if top > len(self._id_of):
            grown = np.full(max(top, len(self._id_of) * 3 // 2), -1, np.int32)
            grown[: len(self._id_of)] = self._id_of
            self._id_of = grown
        new = _distinct(codes[self._id_of[codes] < 0])
        self._id_of[new] = np.arange(self.size, self.size + len(new))
        self.size += len(new)
        return self._id_of[codes].astype(np.int64)


class NumberIndex:
    """A large sorted array, and a small one that takes what is new."""

    def __init__(self) -> None:
        self.size = 0
        self._main, self._recent = _Sorted.empty(), _Sorted.empty()

    def ids(self, columns: Sequence[Column]) -> Ints:
        values = np.asarray(columns[0], np.int64)
        found = self._main.ids(values)
        if len(self._recent.values):
            found = np.where(found < 0, self._recent.ids(values), found)
        return found

    def add(self, columns: Sequence[Column]) -> Ints:
        values = np.asarray(columns[0], np.int64)
        new = _distinct(values[self.ids([values]) < 0])
        if len(new):
            ids = np.arange(self.size, self.size + len(new))
            self.size += len(new)
            self._recent = self._recent.with_new(new, ids)
            if len(self._recent.values) > max(RECENT_MIN, len(self._main.values) // 16):
                self._main = self._main.with_new(self._recent.values, self._recent.of_value)
                self._recent = _Sorted.empty()
        return self.ids([values])


class _Sorted:
    def __init__(self, values: Ints, of_value: NDArray[np.int32]) -> None:
        self.values = values
        self.of_value = of_value

    @staticmethod
    def empty() -> _Sorted:
        return _Sorted(np.empty(0, np.int64), np.empty(0, np.int32))

    def ids(self, values: Ints) -> Ints:
        if not len(self.values):
            return np.full(len(values), -1, np.int64)
        places = np.searchsorted(self.values, values).clip(max=len(self.values) - 1)
        same = self.values[places] == values
        return np.where(same, self.of_value[places], -1).astype(np.int64)

    def with_new(self, values: Ints, ids: NDArray[np.integer]) -> _Sorted:
        together = np.concatenate([self.values, values])
        order = np.argsort(together, kind="stable")
        of_value = np.concatenate([self.of_value, ids.astype(np.int32)])
        return _Sorted(together[order], of_value[order])


class CompositeIndex:
    """Each part has an index of its own; pairs of ids are numbers again, and so on."""

    def __init__(self, parts: Sequence[KeyIndex]) -> None:
        self._parts = tuple(parts)
        self._joined = tuple(NumberIndex() for _ in parts[1:])

    @property
    def size(self) -> int:
        return self._joined[-1].size

    def ids(self, columns: Sequence[Column]) -> Ints:
        found = self._parts[0].ids(columns[:1])
        for part, joined, column in zip(self._parts[1:], self._joined, columns[1:], strict=True):
            other = part.ids([column])
            known = (found >= 0) & (other >= 0)
            pairs = found << 32 | other
            found = np.where(known, joined.ids([np.where(known, pairs, -1)]), -1)
        return found

    def add(self, columns: Sequence[Column]) -> Ints:
        found = self._parts[0].add(columns[:1])
        for part, joined, column in zip(self._parts[1:], self._joined, columns[1:], strict=True):
            found = joined.add([found << 32 | part.add([column])])
        return found


def _distinct(values: Ints) -> Ints:
    """In order of first appearance."""
    distinct, first = np.unique(values, return_index=True)
    ordered: Ints = distinct[np.argsort(first)]
    return ordered
