"""Entries of a stream, as XRANGE sends them, to NDJSON: one pass over the bytes, no objects.

    *2 $id *2n (name value)…   →   the lines of the value, when the first field is `data`
                                   {"name":"value",…} and a newline, otherwise

A value of `data` that does not end its last line gets its newline, so an entry has at least one
line.  Of an entry with `data`, further fields are left out.  The bytes of names and values are not
looked into: what is not UTF-8 or JSON is for the decoder to say.

The kernel takes its input and gives its output in pieces that may be cut anywhere but within a line
of the protocol, so a value of any length passes through fixed buffers.  It uses nothing of other
files, as its machine code is cached by this file alone.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cep import limits
from matcher.compiled import inlined, kernel

Data: TypeAlias = NDArray[np.uint8]

MORE, FULL, DONE, BROKEN = range(4)
"""Why the kernel stopped: it needs input, it needs room, all entries are read, not a reply."""

_ENTRY, _NAME_SIZE, _NAME, _VALUE_SIZE, _VALUE = range(5)
_OBJECT, _LINES, _LEFT_OUT = range(3)
_PHASE, _MODE, _ENTRIES, _FIELDS, _FIRST, _BYTES, _LAST, _ENDED, _ROWS = range(9)
_SLACK_BYTES = 16  # the longest thing that is written in one go
_INCOMPLETE, _WRONG = -1, -2


class Entries:
    """Output and state of reading replies: `made` bytes are there, `size` came from this reply."""

    def __init__(self) -> None:
        self.made = self.size = 0
        self._out = np.empty(limits.READ_BLOCK_BYTES + _SLACK_BYTES, np.uint8)
        self._state = np.zeros(9, np.int64)
        self._ids = np.empty((limits.BATCH_RECORDS_MAX, 3), np.uint64)

    def begin(self, count: int) -> None:
        """A reply of `count` entries, at most `BATCH_RECORDS_MAX`, follows."""
        self.size = 0
        self._state[:] = 0
        self._state[_ENTRIES] = count

    def take(self, data: Data, begin: int, end: int) -> tuple[int, int]:
        """(why it stopped, up to where `data[begin:end]` was taken)."""
        before = self.made
        why, at, self.made = _take(
            data, begin, end, self._out, before, limits.READ_BLOCK_BYTES, self._state, self._ids
        )
        self.size += self.made - before
        return why, at

    def ended(self) -> NDArray[np.uint64]:
        """Rows of the entries ended in this reply: ms and sequence of the ID, lines up to there."""
        return self._ids[: self._state[_ROWS]]

    def block(self) -> bytes:
        """Takes the first of the output out, at most `READ_BLOCK_BYTES`."""
        size = min(self.made, limits.READ_BLOCK_BYTES)
        data = self._out[:size].tobytes()
        self._out[: self.made - size] = self._out[size : self.made].copy()
        self.made -= size
        return data


@inlined
def _header(data: Data, at: int, end: int, kind: int) -> Any:
    """(number, what follows) of `*2` or `$14`; the second is negative when it cannot be read."""
    if at >= end:
        return 0, _INCOMPLETE
    if data[at] != kind:
        return 0, _WRONG
    number: Any = 0
    here = at + 1
    while here < end and 48 <= data[here] <= 57 and here - at < 20:
        number = number * 10 + (np.int64(data[here]) - 48)
        here += 1
    if here + 2 > end:
        return 0, _INCOMPLETE
    if here == at + 1 or data[here] != 13 or data[here + 1] != 10:
        return 0, _WRONG
    return number, here + 2


@inlined
def _entry(data: Data, at: int, end: int, row: NDArray[np.uint64]) -> Any:
    """(fields, what follows) of the head of an entry; its ID goes to `row`."""
    pair, here = _header(data, at, end, 42)
    if here < 0:
        return 0, here
    size, here = _header(data, here, end, 36)
    if here < 0:
        return 0, here
    if pair != 2 or size > 41:
        return 0, _WRONG
    after = here + size + 2
    if after > end:
        return 0, _INCOMPLETE
    part = 0
    row[0] = row[1] = np.uint64(0)
    for i in range(here, here + size):
        if data[i] == 45:
            part = 1
        else:
            row[part] = row[part] * np.uint64(10) + np.uint64(data[i] - np.uint8(48))
    fields, here = _header(data, after, end, 42)
    return fields, here


@inlined
def _raw(data: Data, at: int, count: int, out: Data, made: int) -> int:
    """Copies; the number of newlines among the bytes."""
    source, target = data[at : at + count], out[made : made + count]
    for i in range(len(source)):  # from 0 and of one length, so that it becomes a memcpy
        target[i] = source[i]
    lines = 0
    for i in range(len(source)):
        lines += source[i] == 10
    return lines


@inlined
def _escaped(data: Data, at: int, count: int, out: Data, made: int, limit: int) -> Any:
    """Copies as the inside of a JSON string; (bytes read, end of the output)."""
    i = 0
    while i < count and made < limit:
        octet = data[at + i]
        if octet == 34 or octet == 92:
            out[made] = 92
            out[made + 1] = octet
            made += 2
        elif octet < 32:
            out[made] = 92
            out[made + 1] = 117
            out[made + 2] = out[made + 3] = 48
            out[made + 4] = 48 + (octet >> 4)
            low = octet & 15
            out[made + 5] = 48 + low if low < 10 else 87 + low
            made += 6
        else:
            out[made] = octet
            made += 1
        i += 1
    return i, made


@inlined
def _is_data(data: Data, at: int) -> Any:
    return data[at] == 100 and data[at + 1] == 97 and data[at + 2] == 116 and data[at + 3] == 97


@kernel
def _take(
    data: Data,
    begin: int,
    end: int,
    out: Data,
    made: int,
    limit: int,
    state: NDArray[np.int64],
    ids: NDArray[np.uint64],
) -> Any:
    """One step per head, size or piece of a text; a step that lacks input is taken again later."""
    at, why = begin, MORE
    phase, mode, first, left = state[_PHASE], state[_MODE], state[_FIRST], state[_BYTES]
    while True:
        if made >= limit:
            why = FULL
            break
        if phase == _ENTRY:
            if state[_ENTRIES] == 0:
                why = DONE
                break
            fields, here = _entry(data, at, end, ids[state[_ROWS]])
            if here < 0 or fields < 2:
                why = MORE if here == _INCOMPLETE else BROKEN
                break
            state[_FIELDS] = fields // 2
            at, mode, first, phase = here, _OBJECT, 1, _NAME_SIZE
        elif phase == _NAME_SIZE:
            left, here = _header(data, at, end, 36)
            short = here >= 0 and first == 1 and left == 4 and here + 6 > end
            if here < 0 or short:
                why = MORE if short or here == _INCOMPLETE else BROKEN
                break
            at = here
            if first == 1 and left == 4 and _is_data(data, at):
                mode = _LINES
                at += 6
                phase = _VALUE_SIZE
            else:
                if mode == _OBJECT:
                    out[made] = 123 if first == 1 else 44
                    out[made + 1] = 34
                    made += 2
                phase = _NAME
        elif phase == _VALUE_SIZE:
            left, here = _header(data, at, end, 36)
            if here < 0:
                why = MORE if here == _INCOMPLETE else BROKEN
                break
            at = here
            state[_LAST] = 0
            phase = _VALUE
        elif left > 0:
            here = min(left, end - at)
            if mode == _LINES:
                here = min(here, limit - made)
                state[_ENDED] += _raw(data, at, here, out, made)
                made += here
                if here > 0:
                    state[_LAST] = data[at + here - 1]
            elif mode == _OBJECT:
                here, made = _escaped(data, at, here, out, made, limit)
            at += here
            left -= here
            if left > 0 and at == end:
                break
        else:
            if at + 2 > end:
                break
            at += 2
            if phase == _NAME:
                if mode == _OBJECT:
                    out[made] = out[made + 2] = 34
                    out[made + 1] = 58
                    made += 3
                phase = _VALUE_SIZE
                continue
            if mode == _LINES:
                if state[_LAST] != 10:
                    out[made] = 10
                    made += 1
                    state[_ENDED] += 1
                mode = _LEFT_OUT
            elif mode == _OBJECT:
                out[made] = 34
                made += 1
            first = 0
            state[_FIELDS] -= 1
            phase = _NAME_SIZE
            if state[_FIELDS] == 0:
                if mode == _OBJECT:
                    out[made] = 125
                    out[made + 1] = 10
                    made += 2
                    state[_ENDED] += 1
                ids[state[_ROWS], 2] = np.uint64(state[_ENDED])
                state[_ROWS] += 1
                state[_ENTRIES] -= 1
                phase = _ENTRY
    state[_PHASE], state[_MODE], state[_FIRST], state[_BYTES] = phase, mode, first, left
    return why, at, made
