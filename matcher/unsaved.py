"""What was added since the last checkpoint; where nobody makes checkpoints, it is given up."""

from __future__ import annotations

from typing import Generic, TypeVar

ROWS_SPARE = 65_536

C = TypeVar("C")


class Unsaved(Generic[C]):
    """`parts` are (content, latest time in it); None when all there is must be written instead."""

    def __init__(self) -> None:
        self.parts: list[tuple[C, int]] | None = []
        self._rows = 0

    def add(self, content: C, rows: int, newest_ms: int, live: int) -> None:
        """`live` rows are there in all: what was added and is much more is not worth keeping."""
        if self.parts is None:
            return
        self._rows += rows
        if self._rows > 2 * live + ROWS_SPARE + rows:
            self.give_up()
        else:
            self.parts.append((content, newest_ms))

    def give_up(self) -> None:
        """All there is has to be written."""
        self.parts = None

    def take(self) -> list[tuple[C, int]] | None:
        """What is unsaved, which is saved from now on."""
        parts, self.parts, self._rows = self.parts, [], 0
        return parts
