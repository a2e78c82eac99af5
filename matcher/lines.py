"""NDJSON bytes → the places of its lines, without looking at each byte in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.limits import EVENT_BYTES_MAX, EVENT_DEPTH_MAX

_OPEN, _CLOSE, _NEWLINE, _RETURN = b"{}\n\r"


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines that are not blank, as byte ranges without their ends (\\n or \\r\\n).

    `number` counts all lines of the chunk from 0, blank ones too.  `plain` lines begin with { and
    end with }, are no longer than allowed and cannot be nested deeper than allowed.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    number: NDArray[np.int64]
    plain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start)

    def of(self, data: bytes, line: int) -> bytes:
        """The bytes of one line of `data`."""
        return data[self.start[line] : self.end[line]]


def split_lines(data: bytes) -> Lines:
    """The last line may lack its end."""
    octets = np.frombuffer(data, np.uint8)
    end = np.flatnonzero(octets == _NEWLINE)
    if data and not data.endswith(b"\n"):
        end = np.append(end, len(data))
    start = np.empty_like(end)
    start[:1] = 0
    start[1:] = end[:-1] + 1
    number = np.arange(len(end))
    if b"\r" in data:
        end = end - ((end > start) & (octets[np.maximum(end, 1) - 1] == _RETURN))
    filled = end > start
    if not filled.all():
        start, end, number = start[filled], end[filled], number[filled]
    plain = (octets[start] == _OPEN) & (octets[end - 1] == _CLOSE)
    if not plain.all():
        blank = np.zeros(len(start), np.bool_)
        for i in np.flatnonzero(~plain):
            blank[i] = not data[start[i] : end[i]].strip(b" \t\r")
        if blank.any():
            kept = ~blank
            start, end, number, plain = start[kept], end[kept], number[kept], plain[kept]
    length = end - start
    for i in np.flatnonzero(length > 2 * EVENT_DEPTH_MAX):
        line = data[start[i] : end[i]]
        if len(line) > EVENT_BYTES_MAX or line.count(b"{") + line.count(b"[") > EVENT_DEPTH_MAX:
            plain[i] = False
    return Lines(start, end, number, plain)
