"""Derived fields of bound events, kept until a message may tell them.

What an event holds is read again from its bytes; what is derived from earlier events is not in
them, so it is kept by position for as long as the event is held as evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from dsl.model import Path, Type
from matcher.batch import Batch
from matcher.evidence import Segment
from matcher.measures import scalar
from matcher.schema import Schema
from matcher.strings import Strings

PAGE = "facts/told"
POSITIONS_MIN = 4096
"""Fewer positions than this are not worth tidying up."""

Ints = NDArray[np.int64]
Values = Mapping[Path, object]


class Told:
    """The fields of `fields`, (event type, path), by the position of their event."""

    def __init__(
        self, fields: Iterable[tuple[str, Path]], schema: Schema, strings: Strings
    ) -> None:
        self._strings = strings
        self._fields: dict[int, list[tuple[Path, int, Type]]] = {}
        for event, path in fields:
            told = (path, schema.column(event, path), schema.type_of(event, path))
            self._fields.setdefault(schema.event_index[event], []).append(told)
        self._kept: dict[int, Values] = {}
        self._kept_max = POSITIONS_MIN
        self._changed = False

    def __bool__(self) -> bool:
        return bool(self._fields)

    def read(self, positions: Iterable[int], batch: Batch) -> dict[int, Values]:
        """The fields of events in `batch` or kept before."""
        wanted = np.unique(np.fromiter(positions, np.int64))
        found = self._of(wanted, batch)
        for position in wanted.tolist():
            if position not in found and position in self._kept:
                found[position] = self._kept[position]
        return found

    def keep(self, batch: Batch, held: list[Ints]) -> None:
        """Keep the fields of those events of `batch` that are held."""
        positions = np.unique(np.concatenate([np.empty(0, np.int64), *held]))
        found = self._of(positions, batch)
        self._changed = self._changed or bool(found)
        self._kept |= found

    def is_full(self) -> bool:
        return len(self._kept) > self._kept_max

    def tidy(self, held: Ints) -> None:
        """Let go of what is held no more."""
        alive = set(held.tolist())
        self._kept = {at: values for at, values in self._kept.items() if at in alive}
        self._kept_max = max(POSITIONS_MIN, 2 * len(self._kept))
        self._changed = True

    def _of(self, positions: Ints, batch: Batch) -> dict[int, Values]:
        segment = Segment.of(batch)
        places, present = segment.places(positions)
        rows = segment.rows[places[present]]
        return {
            position: {
                path: scalar(type_, batch.columns[column][row].item(), self._strings)
                for path, column, type_ in self._fields[event]
            }
            for position, row, event in zip(
                positions[present].tolist(),
                rows.tolist(),
                batch.event_type[rows].tolist(),
                strict=True,
            )
            if event in self._fields
        }

    def changed(self) -> bool:
        return self._changed

    def dump(self, held: Ints) -> bytes:
        self.tidy(held)
        self._changed = False
        kept = {at: [*map(list, self._kept[at].items())] for at in sorted(self._kept)}
        return msgspec.msgpack.encode(kept)

    def restore(self, data: bytes) -> None:
        for at, items in msgspec.msgpack.decode(data, strict=False).items():
            self._kept[int(at)] = {tuple(path): value for path, value in items}
