"""A rule's key as one int64: the value itself for a key of one part, a code for several.

Codes are given in order of first sight and mean nothing outside this process; a snapshot holds the
scalars.  The code table of a rule is rebuilt from its live runs when it has grown far beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.batch import NULL, Column
from matcher.layout import is_text
from matcher.strings import Strings

Ints: TypeAlias = NDArray[np.int64]
KeyScalars: TypeAlias = tuple[object, ...]


class _Codes(dict[tuple[int, ...], int]):
    """Gives an unknown tuple the next code."""

    def __init__(self) -> None:
        super().__init__()
        self.tuples: list[tuple[int, ...]] = []

    def __missing__(self, parts: tuple[int, ...]) -> int:
        code = len(self.tuples)
        self.tuples.append(parts)
        self[parts] = code
        return code


class KeyCodec:
    """Between the storage form of a rule's key columns and one int64 per event."""

    def __init__(self, types: Sequence[Type], strings: Strings) -> None:
        self._types = tuple(types)
        self._strings = strings
        self._codes = _Codes()

    def encode(self, columns: Sequence[Column], rows: Ints) -> Ints:
        """One int64 for each of `rows`; NULL where any part of the key is null."""
        if not columns:
            return np.zeros(len(rows), np.int64)
        parts = [column[rows].astype(np.int64, copy=False) for column in columns]
        if len(parts) == 1:
            return parts[0]
        known = np.logical_and.reduce([part != NULL for part in parts])
        keys = np.full(len(rows), NULL, np.int64)
        tuples = zip(*(part[known].tolist() for part in parts), strict=True)
        keys[known] = np.fromiter(map(self._codes.__getitem__, tuples), np.int64, int(known.sum()))
        return keys

    def scalars(self, key: int) -> KeyScalars:
        """The parts of a key in scalar form."""
        return self.all_scalars([key])[0]

    def all_scalars(self, keys: Sequence[int]) -> list[KeyScalars]:
        """The parts of each of `keys` in scalar form."""
        if not self._types:
            return [()] * len(keys)
        if len(self._types) == 1:
            return [(scalar,) for scalar in self._scalars(self._types[0], keys)]
        parts = zip(*map(self._codes.tuples.__getitem__, keys), strict=True)
        return list(zip(*map(self._scalars, self._types, parts), strict=True))

    def key(self, scalars: KeyScalars) -> int:
        """The inverse of `scalars`."""
        if not self._types:
            return 0
        parts = tuple(map(self._stored, self._types, scalars))
        return parts[0] if len(parts) == 1 else self._codes[parts]

    def _scalars(self, type: Type, parts: Sequence[int]) -> Sequence[object]:
        """One part of many keys, from its storage form."""
        if is_text(type):
            return self._strings.texts(np.array(parts, np.int64))
        return list(map(bool, parts)) if type.kind is Kind.BOOL else parts

    def _stored(self, type: Type, scalar: object) -> int:
        if is_text(type):
            return self._strings.code(str(scalar))
        assert isinstance(scalar, int)
        return int(scalar)
