"""The interner: every string, enum and ip value in columns is the code of its text.

Codes count up from 0 in order of first sight and are never reused, so equality of texts is
equality of codes and a table indexed by code stays valid.  Codes mean nothing outside one process:
state that is saved holds texts.  `generation` is the place for compaction, which will build a new
interner from the codes still referenced; whatever caches by code drops its cache when it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from matcher.interner import intern_all, new_interner, with_room
from matcher.octets import bounds_of, gather

NULL = int(np.iinfo(np.int64).min)
"""The sentinel of null in int64 columns."""

TEXTS_AT_HAND = 1 << 16
"""Texts last asked for that are kept as Python strings: keys come again and again."""

_PADDING = bytes(8)  # kernels read eight bytes at a time


class Strings:
    """Texts ↔ codes; not thread safe.  `interner` is what kernels see of it."""

    __slots__ = ("_at_hand", "generation", "interner")

    def __init__(self) -> None:
        self.interner = new_interner()
        self._at_hand: dict[int, str] = {}
        self.generation = 0

    def code(self, text: str) -> int:
        """The code of `text`, a new one at first sight."""
        return int(self.codes([text])[0])

    def codes(self, texts: Sequence[str | None]) -> NDArray[np.int64]:
        """int64 codes of shape (len(texts),); None becomes NULL."""
        present = [text for text in texts if text is not None]
        joined = "".join(present)
        encoded: Sequence[str | bytes] = present
        if not joined.isascii():
            encoded = [text.encode("utf-8", "surrogatepass") for text in present]
        octets = np.frombuffer(joined.encode("utf-8", "surrogatepass") + _PADDING, np.uint8)
        bounds = np.fromiter(accumulate(map(len, encoded), initial=0), np.int64, len(encoded) + 1)
        codes = np.empty(len(encoded), np.int64)
        self.make_room(len(codes), len(octets))
        intern_all(octets, bounds, self.interner, codes)
        if len(codes) == len(texts):
            return codes
        with_nulls = np.full(len(texts), NULL, np.int64)
        with_nulls[[text is not None for text in texts]] = codes
        return with_nulls

    def packed(self, codes: NDArray[np.int64]) -> tuple[bytes, bytes]:
        """The texts of codes behind one another: (int32 lengths, bytes); null has the length -1."""
        begins, known = self.interner.begin, codes != NULL
        codes = codes[known]
        starts, ends = begins[codes], begins[codes + 1]
        lengths = np.full(len(known), -1, np.int32)
        lengths[known] = ends - starts
        bounds = bounds_of(ends - starts)
        octets = np.empty(bounds[-1], np.uint8)
        gather(self.interner.texts, starts, ends, bounds, octets)
        return lengths.tobytes(), octets.tobytes()

    def unpacked(self, lengths: bytes, octets: bytes) -> NDArray[np.int64]:
        """The inverse of `packed`."""
        sizes = np.frombuffer(lengths, np.int32)
        known = sizes >= 0
        bounds = bounds_of(sizes[known])
        codes = np.full(len(sizes), NULL, np.int64)
        found = np.empty(len(bounds) - 1, np.int64)
        self.make_room(len(found), len(octets) + len(_PADDING))
        data = np.frombuffer(octets + _PADDING, np.uint8)
        intern_all(data, bounds, self.interner, found)
        codes[known] = found
        return codes

    def make_room(self, texts: int, octets: int) -> None:
        """For so many more texts, of so many bytes in all."""
        self.interner = with_room(self.interner, texts, octets)

    def text(self, code: int) -> str:
        """The text of a code handed out earlier; IndexError for any other."""
        text = self._at_hand.get(code)
        if text is None:
            if not 0 <= code < len(self):
                raise IndexError(code)
            begins = self.interner.begin
            octets = self.interner.arena.data[begins.item(code) : begins.item(code + 1)]
            text = str(octets, "utf-8", "surrogatepass")
            if len(self._at_hand) == TEXTS_AT_HAND:
                self._at_hand.clear()
            self._at_hand[code] = text
        return text

    def __len__(self) -> int:
        return int(self.interner.used[0])
