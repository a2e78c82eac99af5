"""Cuts a byte stream into batches of whole lines, in big blocks and without per-line work.

Contract: the batches joined are the stream with its last line terminated, except that a line longer
than the limit is replaced by a blank line and reported as `Oversized`; the rest of such a line is
read and dropped, so memory stays within a block and a batch whatever the input.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cep import limits
from cep.ports import Oversized, Records

NEWLINE = 10


def line_ends(data: bytes) -> NDArray[np.int64]:
    """Offsets of the newlines of `data`."""
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == NEWLINE)


def count_lines(data: bytes) -> int:
    """Lines of `data`; an unterminated last one counts."""
    if not data:
        return 0
    ended = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == NEWLINE))
    return ended + (data[-1] != NEWLINE)


class LineReader:
    """Batches of lines of the stream behind `read_block(size)`.

    `read_block` returns b"" at the end, None when nothing is there yet, and a block shorter than
    `size` when nothing more is there right now.
    """

    def __init__(self, read_block: Callable[[int], bytes | None]) -> None:
        self.position = 0  # of the next line to hand out
        self._read_block = read_block
        self._buffer = b""
        self._ended = False
        self._first_line = b""
        self._dropping: Oversized | None = None  # a long line whose end has not been seen
        self._oversized: list[Oversized] = []

    def next(self, max_records: int) -> Records | None:
        """At most `max_records` lines of about `BATCH_BYTES_MAX`; none yet: count 0; end: None."""
        ends = self._gather(max_records)
        if self.ended:
            return None
        return self._take(ends, min(max_records, len(ends)))

    def first_line(self) -> bytes:
        """The begin of line 0 without moving on; b"" while it is not there."""
        if not self._first_line and self.position == 0:
            # A short block may hold the one unterminated line: only another look tells.
            self._keep_first_line(ends if len(ends := self._gather(1)) else self._gather(1))
        return self._first_line

    def skip_to(self, position: int) -> bool:
        """Drops lines until `position` is next; False when they are not all there (yet)."""
        while self.position < position:
            skipped = self.next(min(position - self.position, limits.BATCH_RECORDS_MAX))
            if skipped is None or skipped.count == 0:
                return False
        return True

    @property
    def ended(self) -> bool:
        return self._ended and not self._buffer

    def _gather(self, max_records: int) -> NDArray[np.int64]:
        """Fills the buffer with up to `max_records` lines; where they end."""
        ends = line_ends(self._buffer)
        while not self._ended and len(ends) < max_records:
            if len(ends) and len(self._buffer) >= limits.BATCH_BYTES_MAX:
                break
            more = self._fill(int(ends[-1]) + 1 if len(ends) else 0, len(ends))
            ends = line_ends(self._buffer)
            if not more:
                break
        return ends

    def _keep_first_line(self, ends: NDArray[np.int64]) -> None:
        if len(ends):
            long_line = self._oversized[0] if self._oversized else None
            is_long = long_line is not None and long_line.position == 0
            line = long_line.head if long_line and is_long else self._buffer[: int(ends[0]) + 1]
            self._first_line = line[: limits.SOURCE_MARK_BYTES]

    def _take(self, ends: NDArray[np.int64], count: int) -> Records:
        if self.position == 0:
            self._keep_first_line(ends)
        stop = int(ends[count - 1]) + 1 if count else 0
        data, self._buffer = self._buffer[:stop], self._buffer[stop:]
        first, self.position = self.position, self.position + count
        taken = tuple(line for line in self._oversized if line.position < self.position)
        self._oversized = self._oversized[len(taken) :]
        return Records(first, data, count, taken)

    def _fill(self, open_start: int, lines: int) -> bool:
        """Adds a block to the buffer, whose open last line starts at `open_start`.

        False when nothing more is there right now.
        """
        size = len(self._buffer) - open_start
        if size > limits.LINE_BYTES_MAX:
            head = self._buffer[open_start : open_start + limits.DEAD_LETTER_RAW_BYTES]
            self._dropping = Oversized(self.position + lines, size, head)
            self._buffer = self._buffer[:open_start]
        block = self._read_block(limits.READ_BLOCK_BYTES)
        if block is None:
            return False
        if block == b"":
            self._ended = True
            if self._dropping is None and len(self._buffer) == open_start:
                return False
            block = b"\n"
        kept = block if self._dropping is None else self._drop(self._dropping, block)
        self._buffer = self._blank_long_lines(self._buffer + kept)
        return len(block) == limits.READ_BLOCK_BYTES

    def _drop(self, long_line: Oversized, block: bytes) -> bytes:
        """What of `block` follows the text of the long line, from its newline on."""
        end = block.find(b"\n")
        dropped = len(block) if end < 0 else end
        grown = Oversized(long_line.position, long_line.size_bytes + dropped, long_line.head)
        if end < 0:
            self._dropping = grown
            return b""
        self._dropping = None
        self._oversized.append(grown)
        return block[end:]

    def _blank_long_lines(self, data: bytes) -> bytes:
        """Blanks the terminated lines of `data` (the whole buffer) that are too long."""
        ends = line_ends(data)
        if not len(ends):
            return data
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1))
        long_lines = np.flatnonzero(ends - starts > limits.LINE_BYTES_MAX)
        if not len(long_lines):
            return data
        pieces, kept_from = [], 0
        for line in long_lines.tolist():
            start, end = int(starts[line]), int(ends[line])
            head = data[start : start + limits.DEAD_LETTER_RAW_BYTES]
            self._oversized.append(Oversized(self.position + line, end - start, head))
            pieces.append(data[kept_from:start])
            kept_from = end
        return b"".join([*pieces, data[kept_from:]])
