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
        self._blocks: list[bytes] = []  # what is read and not handed out: joined, the buffer
        self._size = 0  # of the buffer, in bytes
        self._ends = np.empty(0, np.int64)  # offsets of the newlines in the buffer
        self._ended = False
        self._first_line = b""
        self._dropping: Oversized | None = None  # a long line whose end has not been seen
        self._oversized: list[Oversized] = []

    def next(self, max_records: int) -> Records | None:
        """At most `max_records` lines of about `BATCH_BYTES_MAX`; none yet: count 0; end: None."""
        self._gather(max_records)
        if self.ended:
            return None
        count = min(max_records, len(self._ends))
        self._keep_first_line()
        data = self._cut(int(self._ends[count - 1]) + 1 if count else 0)
        self._ends = self._ends[count:] - len(data)
        first, self.position = self.position, self.position + count
        taken = tuple(line for line in self._oversized if line.position < self.position)
        self._oversized = self._oversized[len(taken) :]
        return Records(first, data, count, taken)

    def skip_to(self, position: int) -> bool:
        """Drops lines until `position` is next; False when they are not all there (yet)."""
        while self.position < position:
            skipped = self.next(min(position - self.position, limits.BATCH_RECORDS_MAX))
            if skipped is None or skipped.count == 0:
                return False
        return True

    def first_line(self) -> bytes:
        """The begin of line 0 without moving on; b"" while it is not there."""
        for _ in range(2):  # a short block may hold the one unterminated line: look again
            if not self._first_line and self.position == 0:
                self._gather(1)
                self._keep_first_line()
        return self._first_line

    @property
    def ended(self) -> bool:
        return self._ended and not self._size

    def _gather(self, max_records: int) -> None:
        """Fills the buffer until it holds `max_records` lines or enough bytes of them."""
        while not self._ended and len(self._ends) < max_records:
            if len(self._ends) and self._size >= limits.BATCH_BYTES_MAX:
                break
            if not self._fill():
                break

    def _keep_first_line(self) -> None:
        if self.position == 0 and len(self._ends) and not self._first_line:
            long_line = self._oversized[0] if self._oversized else None
            is_long = long_line is not None and long_line.position == 0
            line = long_line.head if long_line and is_long else self._joined()
            end = len(line) if is_long else int(self._ends[0]) + 1
            self._first_line = line[: min(end, limits.SOURCE_MARK_BYTES)]

    def _joined(self) -> bytes:
        """The buffer as one block."""
        self._blocks = [b"".join(self._blocks)]
        return self._blocks[0]

    def _cut(self, stop: int) -> bytes:
        """Takes the first `stop` bytes out of the buffer, copying as little as can be."""
        parts: list[bytes | memoryview] = []
        missing = stop
        while missing and len(self._blocks[0]) <= missing:
            missing -= len(self._blocks[0])
            parts.append(self._blocks.pop(0))
        if missing:
            parts.append(memoryview(self._blocks[0])[:missing])
            self._blocks[0] = self._blocks[0][missing:]
        self._size -= stop
        return b"".join(parts)

    def _fill(self) -> bool:
        """Adds a block to the buffer; False when nothing more is there right now."""
        open_start = int(self._ends[-1]) + 1 if len(self._ends) else 0
        if self._size - open_start > limits.LINE_BYTES_MAX:
            self._begin_to_drop(open_start)
        block = self._read_block(limits.READ_BLOCK_BYTES)
        if block is None:
            return False
        if block == b"":
            self._ended = True
            if self._dropping is None and self._size == open_start:
                return False
            block = b"\n"
        self._add(block if self._dropping is None else self._drop(self._dropping, block))
        return len(block) == limits.READ_BLOCK_BYTES

    def _add(self, block: bytes) -> None:
        """Appends to the buffer; terminated lines that are too long become blank."""
        known = len(self._ends)
        self._ends = np.concatenate((self._ends, line_ends(block) + self._size))
        self._blocks.append(block)
        self._size += len(block)
        starts = np.concatenate((np.zeros(1, np.int64), self._ends[:-1] + 1))[known:]
        long_lines = np.flatnonzero(self._ends[known:] - starts > limits.LINE_BYTES_MAX) + known
        if not len(long_lines):
            return
        buffer, pieces, kept_from = self._joined(), [], 0
        for line in long_lines.tolist():
            start, end = int(starts[line - known]), int(self._ends[line])
            head = buffer[start : start + limits.DEAD_LETTER_RAW_BYTES]
            self._oversized.append(Oversized(self.position + line, end - start, head))
            pieces.append(buffer[kept_from:start])
            kept_from = end
        self._replace(b"".join([*pieces, buffer[kept_from:]]))

    def _replace(self, buffer: bytes) -> None:
        self._blocks, self._size, self._ends = [buffer], len(buffer), line_ends(buffer)

    def _begin_to_drop(self, open_start: int) -> None:
        """The open last line is too long already: its rest is dropped as it comes."""
        buffer = self._joined()
        head = buffer[open_start : open_start + limits.DEAD_LETTER_RAW_BYTES]
        size = len(buffer) - open_start
        self._dropping = Oversized(self.position + len(self._ends), size, head)
        self._replace(buffer[:open_start])

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
