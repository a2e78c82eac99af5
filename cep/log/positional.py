"""The part about bookmarks of a log that finds any record by its number."""

from __future__ import annotations


class Positional:
    def bookmark(self, partition: str, position: int) -> str:
        return ""

    def resume(self, partition: str, bookmark: str) -> None:
        pass

    def committed(self, partition: str, bookmark: str) -> None:
        pass
