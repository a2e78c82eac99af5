"""The state of a fold as of one position, whose pages are made bit by bit while the fold goes on.

What is committed meanwhile has no pages.  A commit with pages that are all made says which
checkpoint they are of; a crash before finds the pages of the last such commit.
"""

from __future__ import annotations

from cep import limits
from cep.ports import Checkpoint
from matcher.page_data import PageData, all_made, made


class Frozen:
    """`pages` are those that have changed; of most the bytes are still to be made."""

    def __init__(self, checkpoint: Checkpoint, pages: dict[str, PageData]) -> None:
        self.checkpoint = checkpoint
        self._waiting = pages
        self._made: dict[str, bytes] = {}

    def make_some(self) -> bool:
        """Makes the next limits.PAGES_MADE_BYTES of pages, about; whether none are left."""
        size = 0
        while self._waiting and size <= limits.PAGES_MADE_BYTES:
            name, data = self._waiting.popitem()
            self._made[name] = made(data)
            size += len(self._made[name])
        return not self._waiting

    def take(self) -> dict[str, bytes]:
        """All pages."""
        return self._made | all_made(self._waiting)
