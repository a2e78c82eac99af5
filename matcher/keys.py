"""A rule's key as one int64: the value itself for a key of one part, a code for several.

Codes are given in order of first sight and mean nothing outside this process; a snapshot holds the
scalars.  The code table of a rule is rebuilt from its live runs when it has grown far beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.batch import NULL, Column
from matcher.layout import is_text
from matcher.narrow import Narrow, narrowed, widened
from matcher.strings import Strings
from matcher.tuple_codes import TupleCodes

Ints: TypeAlias = NDArray[np.int64]
KeyScalars: TypeAlias = tuple[object, ...]

_NO_PART = Type(Kind.INT)
"""Stands for the key of a rule without one, which is 0."""


class KeyCodec:
    """Between the storage form of a rule's key columns and one int64 per event."""

    def __init__(self, types: Sequence[Type], strings: Strings) -> None:
        self._types = tuple(types)
        self._strings = strings
        self._codes = TupleCodes(len(types))
        self._readers = [self._reader(type) for type in types]

    def encode(self, columns: Sequence[Column], rows: Ints) -> Ints:
        """One int64 for each of `rows`; NULL where any part of the key is null."""
        if not columns:
            return np.zeros(len(rows), np.int64)
        parts = [column[rows].astype(np.int64, copy=False) for column in columns]
        if len(parts) == 1:
            return parts[0]
        known = np.logical_and.reduce([part != NULL for part in parts])
        keys = np.full(len(rows), NULL, np.int64)
        keys[known] = self._codes.codes(np.stack(parts, axis=1)[known])
        return keys

    def columns(self, keys: Ints) -> list[Column]:
        """The parts of keys in storage form; the inverse of `encode`."""
        return [*self._parts(keys)] if self._types else []

    def scalars(self, key: int) -> KeyScalars:
        """The parts of a key in scalar form."""
        if not self._types:
            return ()
        if len(self._readers) == 1:
            return (self._readers[0](key),)
        parts = self._codes.tuples(np.array([key]))[0].tolist()
        return tuple(read(part) for read, part in zip(self._readers, parts, strict=True))

    def key(self, scalars: KeyScalars) -> int:
        """The inverse of `scalars`."""
        if not self._types:
            return 0
        parts = tuple(map(self._stored, self._types, scalars))
        return parts[0] if len(parts) == 1 else int(self._codes.codes(np.array([parts]))[0])

    def packed(self, keys: Ints) -> list[Narrow | tuple[bytes, bytes]]:
        """Keys as they are saved: a column of each part, texts written out."""
        return [
            self._strings.packed(part) if is_text(type) else narrowed(part)
            for type, part in zip(self._types or (_NO_PART,), self._parts(keys), strict=True)
        ]

    def unpacked(self, columns: Sequence[Any]) -> Ints:
        """The inverse of `packed`."""
        parts = [
            self._strings.unpacked(*column) if is_text(type) else widened(column)
            for type, column in zip(self._types or (_NO_PART,), columns, strict=True)
        ]
        return parts[0] if len(parts) == 1 else self._codes.codes(np.stack(parts, axis=1))

    def _parts(self, keys: Ints) -> list[Ints]:
        return [keys] if len(self._types) <= 1 else list(self._codes.tuples(keys).T)

    def _reader(self, type: Type) -> Callable[[int], object]:
        """From the storage form of a part of the key to its scalar form."""
        if is_text(type):
            return self._strings.text
        return bool if type.kind is Kind.BOOL else int

    def _stored(self, type: Type, scalar: object) -> int:
        if is_text(type):
            return self._strings.code(str(scalar))
        assert isinstance(scalar, int)
        return int(scalar)
