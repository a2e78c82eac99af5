"""Bytes that were read and not handed out yet, and where the lines in them end.

Newlines are counted by segment; where each one is, is looked for only in the segment of a cut.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

NEWLINE = 10
SEGMENT_BYTES = 64 * 1024


def line_ends(data: bytes) -> NDArray[np.int64]:
    """Offsets of the newlines of `data`."""
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == NEWLINE)


def count_lines(data: bytes) -> int:
    """Lines of `data`; an unterminated last one counts."""
    if not data:
        return 0
    ended = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == NEWLINE))
    return ended + (data[-1] != NEWLINE)


class Block:
    """One read; what is before `begin`, with `taken` newlines in it, is handed out already."""

    __slots__ = ("begin", "by_segment", "data", "lines", "taken")

    def __init__(self, data: bytes) -> None:
        is_end = np.frombuffer(data, np.uint8) == NEWLINE
        starts = range(0, len(data), SEGMENT_BYTES)
        self.data = data
        self.by_segment = [int(np.count_nonzero(is_end[i : i + SEGMENT_BYTES])) for i in starts]
        self.lines = sum(self.by_segment)
        self.begin = self.taken = 0

    def behind(self, line: int) -> int:
        """The offset behind the newline of a line, counted from 1."""
        if line == self.lines:
            return self.data.rindex(b"\n") + 1
        segment = 0
        while line > self.by_segment[segment]:
            line -= self.by_segment[segment]
            segment += 1
        start = segment * SEGMENT_BYTES
        return start + int(line_ends(self.data[start : start + SEGMENT_BYTES])[line - 1]) + 1


class Buffer:
    """A queue of bytes; `lines` of its lines are ended, and `open_size` bytes follow them."""

    def __init__(self) -> None:
        self.size = self.lines = self.open_size = 0
        self._blocks: deque[Block] = deque()

    def append(self, block: Block) -> None:
        if not block.data:
            return
        self._blocks.append(block)
        self.size += len(block.data)
        self.lines += block.lines
        if block.lines:
            self.open_size = len(block.data) - block.behind(block.lines)
        else:
            self.open_size += len(block.data)

    def take_lines(self, count: int) -> bytes:
        """Takes the first `count` lines out, of at most `lines`; bytes are copied once at most."""
        parts: list[bytes | memoryview] = []
        missing = count
        while missing:
            block = self._blocks[0]
            begin, end = block.begin, len(block.data)
            if block.lines - block.taken >= missing:
                end = block.behind(block.taken + missing)
                block.taken += missing
                missing = 0
            else:
                missing -= block.lines - block.taken
            block.begin = end
            whole = begin == 0 and end == len(block.data)
            parts.append(block.data if whole else memoryview(block.data)[begin:end])
            if end == len(block.data):
                self._blocks.popleft()
        taken = b"".join(parts)
        self.size -= len(taken)
        self.lines -= count
        return taken

    def head(self, size_max: int) -> bytes:
        """The first bytes, which stay."""
        head = b""
        for block in self._blocks:
            head += block.data[block.begin : block.begin + size_max - len(head)]
            if len(head) == size_max:
                break
        return head

    def take_all(self) -> bytes:
        """Takes out everything, the open line too."""
        taken = b"".join(memoryview(block.data)[block.begin :] for block in self._blocks)
        self._blocks.clear()
        self.size = self.lines = self.open_size = 0
        return taken
