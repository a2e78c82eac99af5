"""What a log that has all its records, and finds any by its number, says of where to read."""

from __future__ import annotations


class Positional:
    def reached(self, partition: str) -> str:
        return ""

    def begin(self, partition: str) -> int:
        return 0

    def bookmark(self, partition: str, position: int) -> str:
        return ""

    def resume(self, partition: str, bookmark: str) -> None:
        pass

    def committed(self, partition: str, bookmark: str) -> None:
        pass
