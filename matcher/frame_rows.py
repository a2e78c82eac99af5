"""Rows of an Arrow table as events in JSON, for those that somebody asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from matcher.batch import RawChunk
from matcher.json_text import json_of
from matcher.limits import TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.record import BadEvent


@dataclass(frozen=True, slots=True)
class TableChunk(RawChunk):
    """start is the row of the table."""

    table: Any

    def line(self, start: int, end: int) -> bytes:
        try:
            return json_of(self.event(start))
        except BadEvent:
            return b""

    def lines(self, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        try:
            rows = self.table.take(pa.array(starts, pa.int64()))
            columns = [_values(column) for column in rows.columns]
            names = rows.column_names
            events = (zip(names, row, strict=True) for row in zip(*columns, strict=True))
            return [json_of(_without_nulls(event)) for event in events]
        except (ValueError, OverflowError, NotImplementedError, BadEvent):  # a bad row or kind
            return list(map(self.line, starts, ends))

    def event(self, row: int) -> dict[str, Any]:
        """The row as a dict, without the columns that are null in it."""
        try:
            (event,) = self.table.slice(row, 1).to_pylist()
        except (ValueError, OverflowError) as error:  # such as a date Python does not have
            raise BadEvent(f"row cannot be read: {error}") from None
        return _without_nulls(event.items())


def _without_nulls(event: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in event if value is not None}


def _values(column: Any) -> list[Any]:
    """As `to_pylist`; times of UTC, which it makes one by one, by NumPy and without their zone."""
    arrow = column.type
    if not pa.types.is_timestamp(arrow) or arrow.unit == "ns" or arrow.tz not in (None, "UTC"):
        return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow has no stubs
    times = column.cast(pa.timestamp(arrow.unit)).to_numpy()
    known = times[~np.isnat(times)].astype("M8[ms]").view(np.int64)
    if ((known < TIMESTAMP_MS_MIN) | (known > TIMESTAMP_MS_MAX)).any():
        raise OverflowError("a year that Python does not have")
    return times.tolist()  # type: ignore[no-any-return]  # of an array of unknown type
