"""Cuts a byte stream into batches of whole lines, in big blocks and without per-line work.

Contract: the batches joined are the stream with its last line terminated, except that a line longer
than the limit is replaced by a blank line and reported as `Oversized`; the rest of such a line is
read and dropped, so memory stays within a block and a batch whatever the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from cep import limits
from cep.errors import UsageError
from cep.log.buffer import SEGMENT_BYTES, Block, Buffer, line_ends
from cep.ports import Oversized, Records


def whole_lines(data: bytes) -> bytes:
    """`data` with its last line terminated; raises UsageError when a record is over the limit."""
    if not data.endswith(b"\n"):
        data += b"\n"
    longest = int(np.diff(line_ends(data), prepend=-1).max()) - 1
    if longest > limits.LINE_BYTES_MAX:
        raise UsageError(
            f"log: a record of {longest} bytes is over the limit of {limits.LINE_BYTES_MAX}"
        )
    return data


def pieces(data: bytes, records_max: int, bytes_max: int) -> Iterator[bytes]:
    """Terminated lines, cut into pieces of whole lines; a longer line is a piece of its own."""
    ends = line_ends(data) + 1
    start = first = 0
    while first < len(ends):
        fitting = int(np.searchsorted(ends, start + bytes_max, side="right"))
        first = max(first + 1, min(first + records_max, fitting))
        end = int(ends[first - 1])
        yield data[start:end]
        start = end


class LineReader:
    """Batches of lines of the stream behind `read_block(size)`.

    `read_block` returns b"" at the end, None when nothing is there yet, and a block shorter than
    `size` when nothing more is there right now.
    """

    def __init__(self, read_block: Callable[[int], bytes | None], position: int = 0) -> None:
        self.position = position  # of the next line to hand out
        self._read_block = read_block
        self._buffer = Buffer()
        self._ended = False
        self._first_line = b""
        self._dropping: Oversized | None = None  # a long line whose end has not been seen
        self._oversized: list[Oversized] = []

    def next(self, max_records: int) -> Records | None:
        """At most `max_records` lines of about `BATCH_BYTES_MAX`; none yet: count 0; end: None."""
        self._gather(max_records)
        if self.ended:
            return None
        self._keep_first_line()
        count = min(max_records, self._buffer.lines)
        data = self._buffer.take_lines(count)
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
        return self._ended and not self._buffer.size

    def _gather(self, max_records: int) -> None:
        """Fills the buffer until it holds `max_records` lines or enough bytes of them."""
        buffer = self._buffer
        while not self._ended and buffer.lines < max_records:
            if buffer.lines and buffer.size >= limits.BATCH_BYTES_MAX:
                break
            if not self._fill():
                break

    def _keep_first_line(self) -> None:
        if self.position == 0 and self._buffer.lines and not self._first_line:
            long_line = self._oversized[0] if self._oversized else None
            if long_line is not None and long_line.position == 0:
                self._first_line = long_line.head[: limits.SOURCE_MARK_BYTES]
            else:
                head = self._buffer.head(limits.SOURCE_MARK_BYTES)
                self._first_line = head[: head.find(b"\n") + 1] or head

    def _fill(self) -> bool:
        """Adds a block to the buffer; False when nothing more is there right now."""
        if self._buffer.open_size > limits.LINE_BYTES_MAX:
            self._begin_to_drop()
        data = self._read_block(limits.READ_BLOCK_BYTES)
        if data is None:
            return False
        if data == b"":
            self._ended = True
            if self._dropping is None and not self._buffer.open_size:
                return False
            data = b"\n"
        self._add(Block(data if self._dropping is None else self._drop(self._dropping, data)))
        return len(data) == limits.READ_BLOCK_BYTES

    def _add(self, block: Block) -> None:
        """Appends to the buffer; ended lines that are too long become blank."""
        open_size = self._buffer.open_size
        if open_size > limits.LINE_BYTES_MAX - SEGMENT_BYTES or not all(block.by_segment):
            ends = line_ends(block.data)
            sizes = np.diff(ends, prepend=-1 - open_size) - 1
            long_lines = np.flatnonzero(sizes > limits.LINE_BYTES_MAX)
            if len(long_lines):
                first_line = self.position + self._buffer.lines
                buffered = self._buffer.take_all()
                places = zip(
                    (first_line + long_lines).tolist(),
                    sizes[long_lines].tolist(),
                    (ends[long_lines] + len(buffered)).tolist(),
                    strict=True,
                )
                block = self._without(places, buffered + block.data)
        self._buffer.append(block)

    def _without(self, long_lines: Iterable[tuple[int, int, int]], data: bytes) -> Block:
        """`data` with the lines of these (position, size, end) blank."""
        pieces, kept_from = [], 0
        for position, size, end in long_lines:
            head = data[end - size : end][: limits.DEAD_LETTER_RAW_BYTES]
            self._oversized.append(Oversized(position, size, head))
            pieces.append(data[kept_from : end - size])
            kept_from = end
        return Block(b"".join([*pieces, data[kept_from:]]))

    def _begin_to_drop(self) -> None:
        """The open last line is too long already: its rest is dropped as it comes."""
        size, position = self._buffer.open_size, self.position + self._buffer.lines
        data = self._buffer.take_all()
        head = data[len(data) - size :][: limits.DEAD_LETTER_RAW_BYTES]
        self._dropping = Oversized(position, size, head)
        self._buffer.append(Block(data[: len(data) - size]))

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
