"""The interner: every string, enum and ip value in columns is the code of its text.

Codes count up from 0 in order of first sight and are never reused, so equality of texts is
equality of codes and a table indexed by code stays valid.  Codes mean nothing outside one process:
state that is saved holds texts.  `generation` is the place for compaction, which will build a new
interner from the codes still referenced; whatever caches by code drops its cache when it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

NULL = int(np.iinfo(np.int64).min)
"""The sentinel of null in int64 columns."""


class _CodeOfText(dict[str | None, int]):
    """A dict that gives an unknown text the next code, so that a look-up stays in C."""

    __slots__ = ("texts",)

    def __init__(self) -> None:
        super().__init__({None: NULL})
        self.texts: list[str] = []

    def __missing__(self, text: str | None) -> int:
        assert text is not None
        code = len(self.texts)
        self.texts.append(text)
        self[text] = code
        return code


class Strings:
    """Texts ↔ codes; not thread safe."""

    __slots__ = ("_codes", "generation")

    def __init__(self) -> None:
        self._codes = _CodeOfText()
        self.generation = 0

    def code(self, text: str) -> int:
        """The code of `text`, a new one at first sight."""
        return self._codes[text]

    def codes(self, texts: Sequence[str | None]) -> NDArray[np.int64]:
        """int64 codes of shape (len(texts),); None becomes NULL."""
        known = self._codes
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:  # all at once: asking one by one takes five times as long
            known.update(
                zip(new, range(len(known.texts), len(known.texts) + len(new)), strict=True)
            )
            known.texts.extend(cast(list[str], new))  # None is always known
        return np.fromiter(map(known.__getitem__, texts), np.int64, len(texts))

    def text(self, code: int) -> str:
        """The text of a code handed out earlier; IndexError for any other."""
        if code < 0:
            raise IndexError(code)
        return self._codes.texts[code]

    def __len__(self) -> int:
        return len(self._codes.texts)
