"""Derived fields of bound events, kept until a message may tell them.

What an event holds is read again from its bytes; what is derived from earlier events is not in
them, so it is kept by position for as long as the event is held as evidence, in the same classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsl.model import Path, Type
from matcher.batch import Batch
from matcher.evidence import Segment, class_spans, classes_left, longest_below
from matcher.journal import Form, Journal
from matcher.measures import scalar
from matcher.page_data import PageData
from matcher.saved import NOTHING, Saved
from matcher.schema import Schema
from matcher.strings import Strings

KIND = "told"
POSITIONS_MIN = 4096
"""Fewer positions than this are not worth going through."""

Ints = NDArray[np.int64]
Values = Mapping[Path, object]
Kept = dict[int, Values]


class Told:
    """The fields of `fields`, (event type, path), by the position of their event.

    The other parameters are those of `Evidence`.
    """

    def __init__(
        self,
        fields: Iterable[tuple[str, Path]],
        schema: Schema,
        strings: Strings,
        spans: Iterable[int | None],
        lasting: Callable[[], Ints],
    ) -> None:
        self._strings = strings
        self._fields: dict[int, list[tuple[Path, int, Type]]] = {}
        for event, path in fields:
            told = (path, schema.column(event, path), schema.type_of(event, path))
            self._fields.setdefault(schema.event_index[event], []).append(told)
        self._spans = class_spans(spans) if self._fields else {}
        self._lasting = lasting
        self._shelves = {each[0]: _Shelf(*each, lasting) for each in self._spans.items()}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def read(self, positions: Ints, batch: Batch) -> Kept:
        """The fields of events in `batch` or kept before."""
        wanted = np.unique(positions)
        found = self._of(wanted, batch)
        for shelf in self._shelves.values():
            for position in wanted.tolist():
                if position not in found and position in shelf.kept:
                    found[position] = shelf.kept[position]
        return found

    def keep(self, batch: Batch, held: Mapping[int, Ints]) -> None:
        """Keep the fields of events of `batch`, by class."""
        for number, positions in held.items():
            if found := self._of(positions, batch):
                self._shelves[number].keep(found, int(batch.ts[-1]))

    def pass_time(self, watermark_ms: int) -> None:
        """Let go of what is older than its span."""
        for shelf in self._shelves.values():
            shelf.pass_time(watermark_ms)

    def snapshot(self) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        pages: dict[str, PageData] = {}
        for shelf in self._shelves.values():
            pages |= shelf.snapshot()
        return pages

    def restore(self, own: Mapping[str, Saved], others: Sequence[Mapping[str, Saved]]) -> None:
        """Take pages in, by owner; what `others` have will be in the next snapshot."""
        owners = [owner for saved in (own, *others) for owner in saved]
        for number in classes_left(KIND, owners, self._spans):
            span_ms = longest_below(number, self._spans)
            self._shelves[number] = _Shelf(number, span_ms, self._lasting)
        for shelf in self._shelves.values():
            shelf.restore(own.get(shelf.owner, NOTHING))
            for each in others:
                shelf.adopt(each.get(shelf.owner, NOTHING))

    @property
    def owners(self) -> list[str]:
        return [shelf.owner for shelf in self._shelves.values()]

    def _of(self, positions: Ints, batch: Batch) -> Kept:
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


class _Shelf:
    """The fields of one class of events: `kept` has them all."""

    def __init__(self, number: int, span_ms: int | None, lasting: Callable[[], Ints]) -> None:
        self.owner = f"{KIND}/{number}"
        self.kept: Kept = {}
        self._span_ms = span_ms
        self._lasting = lasting
        self._journal = Journal(self.owner, FORM, keeps=True)
        self._new: list[tuple[int, Kept]] = []  # newest ms, fields
        self._kept_max = POSITIONS_MIN

    def keep(self, found: Kept, newest_ms: int) -> None:
        self.kept |= found
        self._new.append((newest_ms, found))

    def pass_time(self, watermark_ms: int) -> None:
        if self._span_ms is None:
            self._tidy()
            return
        before_ms = watermark_ms - self._span_ms
        pages = [page for page in self._journal.pages if page.newest_ms < before_ms]
        for page in pages:
            self._forget(page.content or {})
        self._journal.expire(before_ms)
        while self._new and self._new[0][0] < before_ms:
            self._forget(self._new.pop(0)[1])

    def snapshot(self) -> dict[str, PageData]:
        for newest_ms, found in self._new:
            self._journal.add(found, newest_ms)
        self._new.clear()
        return self._journal.take()

    def restore(self, saved: Saved) -> None:
        for content in self._journal.restore(saved.pages):
            self.kept |= content

    def adopt(self, saved: Saved) -> None:
        """Take in what another one has, as if it were new."""
        other = Journal(self.owner, FORM, keeps=True)
        for content, page in zip(other.restore(saved.pages), other.pages, strict=True):
            self.keep(content, page.newest_ms)

    def _forget(self, gone: Kept) -> None:
        for position in gone:
            self.kept.pop(position, None)

    def _tidy(self) -> None:
        """Let go of what nobody holds, when there is twice as much as there was held."""
        if len(self.kept) <= self._kept_max:
            return
        held = set(self._lasting().tolist())
        self.kept = {at: values for at, values in self.kept.items() if at in held}
        self._kept_max = max(POSITIONS_MIN, 2 * len(self.kept))
        self._journal.clear()
        self._new = [(0, dict(self.kept))] if self.kept else []


def _read(fields: Sequence[Any]) -> Kept:
    return {at: {tuple(path): value for path, value in items} for at, items in fields[0]}


def _joined(parts: Sequence[Kept]) -> Kept:
    return {at: values for part in parts for at, values in part.items()}


FORM: Form[Kept] = Form(
    lambda kept: ([(at, list(values.items())) for at, values in kept.items()],),
    _read,
    _joined,
    lambda kept, begin, end: dict(list(kept.items())[begin:end]),
    len,
    lambda kept: 64 * len(kept),
)
