"""The texts of a page: codes mean nothing outside of a process, so pages have indexes of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.strings import Strings

Ints = NDArray[np.int64]

Packed = tuple[bytes, bytes]
NO_TEXTS: Packed = (b"", b"")


class Texts:
    """The distinct texts of some columns of codes; null stays null."""

    def __init__(self, columns: Iterable[Ints], strings: Strings) -> None:
        self._codes = np.unique(np.concatenate([np.empty(0, np.int64), *columns]))
        self._codes = self._codes[self._codes != NULL]
        self._strings = strings

    def indexes(self, codes: Ints) -> Ints:
        return np.where(codes == NULL, NULL, np.searchsorted(self._codes, codes))

    def packed(self) -> Packed:
        return self._strings.packed(self._codes) if len(self._codes) else NO_TEXTS


def codes_of(texts: Sequence[bytes], indexes: Ints, strings: Strings) -> Ints:
    """The codes of an array of indexes into a page's packed texts."""
    known = indexes != NULL
    if not known.any():
        return indexes.copy()
    codes = strings.unpacked(*texts)
    return np.where(known, codes[np.where(known, indexes, 0)], NULL)
