"""NDJSON bytes, dicts or Arrow tables → a batch of columns; never an exception for bad data.

    decode(data, first_position) = rows + dead letters + number ignored, together what was received

Of each event only the type and the fields that rules read are decoded, by a compiled scanner.  A
line that it cannot vouch for (malformed, a wrong type, out of range …) is read again by
`matcher.record`, which gives either the exact values or the reason; so fast and slow agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matcher.batch import BytesChunk, Column
from matcher.building import Building, DeadLetter, Decoded, Rows
from matcher.codes import Codes
from matcher.json_scan import new_scratch
from matcher.json_text import json_of
from matcher.scan import (
    DOUBTS,
    FLOATS,
    LINES,
    PLACE,
    ROWS,
    SKIPPED,
    Output,
    grown_output,
    new_output,
    scan,
)
from matcher.scan_plan import READERS, READERS_END, PlanBuilder
from matcher.schema import Schema
from matcher.strings import Strings

if TYPE_CHECKING:
    from matcher.frames import Frames

__all__ = ["DeadLetter", "Decoded", "Decoder"]

LINE_BYTES_GUESSED = 64
"""Room is made for lines of this length; shorter ones have it made again."""

BLOCK_LINES = 4096
"""So many lines are scanned before their texts are looked up."""


class Decoder:
    """Decodes for one schema; keeps nothing between calls but the codes of texts.

    `plan` and `codes` are what `frames` shares.
    """

    def __init__(self, schema: Schema, strings: Strings) -> None:
        self.schema = schema
        self.strings = strings
        self.events = {event.discriminator: event for event in schema.events}
        builder = PlanBuilder(schema)
        self.plan = builder.plan
        self.codes = Codes(strings, builder.enums)
        self._scratch = new_scratch(len(self.plan.node_parent))
        widths = self.plan.events[:, READERS_END] - self.plan.events[:, READERS]
        self._floats_max = int(widths.max(initial=0))

    def decode(self, data: bytes, first_position: int) -> Decoded:
        """The events of NDJSON `data`; line k has position first_position + k.

        Lines end with \\n or \\r\\n, the last one may lack it.  Blank lines keep their number but
        are not received.
        """
        if not data.endswith(b"\n"):
            data += b"\n"
        out, wrong = self._scan(data)
        lines, count = int(out.counts[LINES]), int(out.counts[ROWS])
        start, end = out.line_start[:lines], out.line_end[:lines]
        building = Building(self.schema, self.strings, BytesChunk(data), start, end)
        building.ignored = int(out.counts[SKIPPED])
        building.doubtful.extend(out.doubtful[: out.counts[DOUBTS]].tolist())
        columns: list[Column] = [
            column[:count].view(np.float64) if is_float else column[:count]
            for column, is_float in zip(out.columns, self.plan.column_is_float, strict=True)
        ]
        rows = Rows(out.row_line[:count], out.row_type[:count], out.row_ts[:count], columns)
        building.add(rows, wrong[:count])
        position = out.line_number[:lines] + first_position
        return building.finish(position, self.events, lambda line: data[start[line] : end[line]])

    def decode_dicts(self, events: Sequence[dict[str, Any]], first_position: int) -> Decoded:
        """Python dicts, as the JSON that `json_of` writes them as."""
        lines = bytearray()
        for event in events:  # at once let go of: a list of all texts would take much memory
            lines += json_of(event)
            lines += b"\n"
        return self.decode(bytes(lines), first_position)

    def decode_arrow(self, table: Any, first_position: int) -> Decoded:
        """A pyarrow Table, or anything that exports an Arrow stream, with one row per event."""
        return self._frames.decode_arrow(table, first_position)

    @cached_property
    def _frames(self) -> Frames:
        from matcher.frames import Frames  # needs pyarrow, which takes long to load

        return Frames(self)

    def _scan(self, data: bytes) -> tuple[Output, NDArray[np.bool_]]:
        """What is scanned, and True for each row with a value that turned out wrong in the end."""
        octets = np.frombuffer(_with_utf8_only(data), np.uint8)
        out = new_output(len(data) // LINE_BYTES_GUESSED + 1, len(self.schema.columns))
        wrong = np.zeros(len(out.row_line), np.bool_)
        while (begin := int(out.counts[PLACE])) < len(data):
            if out.counts[LINES] == len(out.line_start):
                out = grown_output(out)
                wrong = np.append(wrong, np.zeros(len(out.row_line) - len(wrong), np.bool_))
            lines_max = min(int(out.counts[LINES]) + BLOCK_LINES, len(out.line_start))
            first_row = int(out.counts[ROWS])
            scan(octets, self.plan, self._scratch, out, lines_max, self._floats_max)
            rows = slice(first_row, int(out.counts[ROWS]))
            size = int(out.counts[PLACE]) - begin
            self.codes.settle(octets, size, out.columns, out.row_type, self.plan, rows, wrong)
            _settle_floats(data, out, wrong)
        return out, wrong


def _settle_floats(data: bytes, out: Output, wrong: NDArray[np.bool_]) -> None:
    """The numbers the scanner left to Python, whose `float` rounds any text correctly."""
    for column, row, start, end in out.floats[: out.counts[FLOATS]].tolist():
        value = float(data[start:end])
        out.doubles[column, row] = value
        wrong[row] |= np.isinf(value)
    out.counts[FLOATS] = 0


def _with_utf8_only(data: bytes) -> bytes:
    """`data` with lines that are not UTF-8 overwritten by what the scanner will doubt."""
    if data.isascii():
        return data
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        lines = data.split(b"\n")
        for i, line in enumerate(lines):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                kept = b"\r" if line.endswith(b"\r") else b""
                lines[i] = b"?" * (len(line) - len(kept)) + kept
        return b"\n".join(lines)
    return data
