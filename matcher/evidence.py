"""The bytes of events that partial matches hold as evidence, by position, for as long as they may.

An event is bound in the step that brings it or never, so it is kept once, for all rules, and
written once.  For how long depends on the rules that bound it: after their span nobody can ask for
it, and what is kept goes as a whole when its newest event has gone.  Spans fall into classes, so
that the events of rules of a minute do not stay for a month beside those of rules of a month.
Events that something may hold without end are in a class of their own, which is gone through now
and then.

A batch of which many events are held is kept as it came until the next checkpoint; of others the
held events are copied out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.batch import Batch, BytesChunk, RawLines
from matcher.journal import PAGE_BYTES, Form, Journal, small_tail
from matcher.narrow import narrowed, widened
from matcher.octets import bounds_of
from matcher.page_data import PageData
from matcher.saved import NOTHING, Saved

Ints = NDArray[np.int64]

KIND = "evidence"
LASTING = 99
"""The class of what is held without a bound."""

CLASS_MS = 1000
"""The spans of class c are up to CLASS_MS * 4**c."""

SEGMENT_SHARE = 0.25
"""A batch is kept whole while at least this share of its events is held."""


def class_of(span_ms: int | None) -> int:
    """Of what something may hold for so long; None: without a bound."""
    if span_ms is None:
        return LASTING
    number = 0
    while CLASS_MS * 4**number < span_ms:
        number += 1
    return number


def class_spans(spans: Iterable[int | None]) -> dict[int, int | None]:
    """The longest span of each class that there is."""
    longest: dict[int, int | None] = {}
    for span_ms in spans:
        number = class_of(span_ms)
        longest[number] = None if span_ms is None else max(span_ms, longest.get(number) or 0)
    return longest


def classes_left(kind: str, owners: Iterable[str], spans: Mapping[int, int | None]) -> list[int]:
    """The classes of saved pages whose own rules have all gone but that others may ask for.

    What several have bound is of the longest class, so shorter ones find theirs there, too.
    """
    saved = {int(name.split("/")[1]) for name in owners if name.startswith(f"{kind}/")}
    return [
        number for number in sorted(saved - spans.keys()) if number > min(spans, default=number)
    ]


def longest_below(number: int, spans: Mapping[int, int | None]) -> int | None:
    """The longest span of the classes below this one, of which there are some."""
    return spans[max(each for each in spans if each < number)]


def by_class(bound: Sequence[tuple[int, Ints]]) -> dict[int, Ints]:
    """The positions of each class, rising, from (class, positions) of whatever has bound some.

    A position is of the longest class that has it.
    """
    held: dict[int, Ints] = {}
    for number in sorted({number for number, _ in bound}, reverse=True):
        positions = distinct([positions for each, positions in bound if each == number])
        for longer in held.values():
            positions = positions[~np.isin(positions, longer, assume_unique=True)]
        if len(positions):
            held[number] = positions
    return held


@dataclass(frozen=True, slots=True)
class Segment:
    """`positions` in rising order; event i is row `rows[i]` of `raw`."""

    positions: Ints
    rows: Ints
    raw: RawLines

    @staticmethod
    def of(batch: Batch) -> Segment:
        if (batch.position[1:] > batch.position[:-1]).all():
            return Segment(batch.position, np.arange(len(batch)), batch.raw)
        rows = np.argsort(batch.position, kind="stable")
        return Segment(batch.position[rows], rows, batch.raw)

    def places(self, positions: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """(place of each position in this segment, whether it is there)."""
        if not len(self.positions):
            return np.zeros(len(positions), np.int64), np.zeros(len(positions), np.bool_)
        places = np.searchsorted(self.positions, positions).clip(max=len(self.positions) - 1)
        return places, self.positions[places] == positions

    def lines(self, positions: Ints) -> tuple[dict[int, bytes], Ints]:
        """The bytes of those of `positions` that are in this segment, and the other positions."""
        places, found = self.places(positions)
        lines = self.raw.lines(self.rows[places[found]])
        return dict(zip(positions[found].tolist(), lines, strict=True)), positions[~found]

    def part(self, places: slice | Ints | NDArray[np.bool_]) -> Segment:
        """Some of the events; nothing is copied out of what they lie in."""
        return Segment(self.positions[places], self.rows[places], self.raw)

    def copied(self) -> Segment:
        """The same events in memory of their own."""
        return _read(_fields(self))

    @property
    def size(self) -> int:
        """Bytes of the lines, and of what a page has besides."""
        starts, ends = self.raw.start[self.rows], self.raw.end[self.rows]
        return int(ends.sum() - starts.sum()) + 6 * len(self.rows)


def _fields(segment: Segment) -> tuple[Any, ...]:
    bounds, octets = segment.raw.packed(segment.rows)
    return narrowed(segment.positions), narrowed(np.diff(bounds)), octets


def _read(fields: Sequence[Any]) -> Segment:
    positions, lengths, octets = fields
    bounds = bounds_of(widened(lengths))
    raw = RawLines.of(BytesChunk(octets), bounds[:-1], bounds[1:])
    return Segment(widened(positions), np.arange(len(bounds) - 1), raw)


def _joined(segments: Sequence[Segment]) -> Segment:
    """One segment in memory of its own."""
    if len(segments) == 1:
        return segments[0].copied()
    parts = [segment.raw.take(segment.rows) for segment in segments]
    positions = np.concatenate([segment.positions for segment in segments])
    order = np.argsort(positions, kind="stable")
    return Segment(positions[order], order, RawLines.concat(parts)).copied()


def _cut(segment: Segment, begin: int, end: int) -> Segment:
    return segment.part(slice(begin, end)).copied()


FORM = Form(_fields, _read, _joined, _cut, lambda each: len(each.rows), lambda each: each.size)


class Evidence:
    """See the module head.

    `spans` are those of everything that holds events; `lasting` gives the positions that are held
    now by what has no span.
    """

    def __init__(self, spans: Iterable[int | None], lasting: Callable[[], Ints]) -> None:
        self._spans = class_spans(spans)
        self._lasting = lasting
        self._shelves = [_Shelf(*each, lasting) for each in self._spans.items()]

    def hold(self, batch: Batch, held: Mapping[int, Ints]) -> None:
        """Keep events of `batch`, by class."""
        whole = Segment.of(batch) if held else None
        for shelf in self._shelves:
            if whole is not None and shelf.number in held:
                places, _ = whole.places(held[shelf.number])
                shelf.hold(whole.part(places), len(batch), int(batch.ts[-1]))

    def pass_time(self, watermark_ms: int) -> None:
        """Let go of what is older than its span."""
        for shelf in self._shelves:
            shelf.pass_time(watermark_ms)

    def read(self, positions: Ints, batch: Batch | None = None) -> dict[int, bytes]:
        """position → bytes, for positions that are held or in `batch`; others have none."""
        wanted = distinct([positions])
        found: dict[int, bytes] = {}
        if batch is not None and len(wanted):
            found, wanted = Segment.of(batch).lines(wanted)
        for shelf in self._shelves:
            if len(wanted):
                wanted = shelf.read(wanted, found)
        return found

    def snapshot(self) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        pages: dict[str, PageData] = {}
        for shelf in self._shelves:
            pages |= shelf.snapshot()
        return pages

    def restore(self, own: Mapping[str, Saved], others: Sequence[Mapping[str, Saved]]) -> None:
        """Take pages in, by owner; events that `others` have will be in the next snapshot."""
        owners = [owner for saved in (own, *others) for owner in saved]
        for number in classes_left(KIND, owners, self._spans):
            span_ms = longest_below(number, self._spans)
            self._shelves.append(_Shelf(number, span_ms, self._lasting))
        for shelf in self._shelves:
            shelf.restore(own.get(shelf.name, NOTHING))
            for each in others:
                shelf.adopt(each.get(shelf.name, NOTHING))

    @property
    def owners(self) -> list[str]:
        return [shelf.name for shelf in self._shelves]


class _Shelf:
    """The events of one class: pages, and what is not in a page yet."""

    def __init__(self, number: int, span_ms: int | None, lasting: Callable[[], Ints]) -> None:
        self.number = number
        self.name = f"{KIND}/{number}"
        self._span_ms = span_ms
        self._lasting = lasting
        self._journal = Journal(self.name, FORM, keeps=True)
        self._new: list[tuple[int, int, Segment]] = []  # newest ms, bytes, events
        self._kept_bytes = 0
        self._ranges: tuple[Ints, Ints] | None = None

    def hold(self, segment: Segment, batch_rows: int, newest_ms: int) -> None:
        if len(segment.rows) < SEGMENT_SHARE * batch_rows:
            segment = segment.copied()
        self._new.append((newest_ms, segment.size, segment))
        self._ranges = None
        many = small_tail([size for _, size, _ in self._new[-64:]])
        if many:
            joined = _joined([segment for _, _, segment in self._new[-many:]])
            self._new[-many:] = [(newest_ms, joined.size, joined)]

    def pass_time(self, watermark_ms: int) -> None:
        if self._span_ms is None:
            self._tidy()
            return
        before_ms = watermark_ms - self._span_ms
        pages, new = len(self._journal.pages), len(self._new)
        self._journal.expire(before_ms)
        while self._new and self._new[0][0] < before_ms:
            del self._new[0]
        if pages != len(self._journal.pages) or new != len(self._new):
            self._ranges = None

    def read(self, wanted: Ints, found: dict[int, bytes]) -> Ints:
        """Put the lines of those of `wanted` that are here into `found`; the other positions."""
        segments = self._segments()
        if not segments:
            return wanted
        if self._ranges is None:
            ends = [(each.positions[0], each.positions[-1]) for each in segments]
            firsts, lasts = np.array(ends, np.int64).T
            self._ranges = firsts, lasts
        firsts, lasts = self._ranges
        low = np.searchsorted(wanted, firsts)
        high = np.searchsorted(wanted, lasts, side="right")
        for place in np.flatnonzero(low < high).tolist():
            lines, wanted = segments[place].lines(wanted)
            found |= lines
        return wanted

    def snapshot(self) -> dict[str, PageData]:
        for newest_ms, _, segment in self._new:
            self._journal.add(segment, newest_ms)
        self._new.clear()
        self._ranges = None
        return self._journal.take()

    def restore(self, saved: Saved) -> None:
        self._journal.restore(saved.pages)
        self._kept_bytes = self._bytes()

    def adopt(self, saved: Saved) -> None:
        """Take in what another one has, as if it were new."""
        other = Journal(self.name, FORM, keeps=True)
        other.restore(saved.pages)
        for page in other.pages:
            assert page.content is not None
            self._new.append((page.newest_ms, page.size, page.content))

    def _segments(self) -> list[Segment]:
        pages = [page.content for page in self._journal.pages if page.content is not None]
        return pages + [segment for _, _, segment in self._new]

    def _bytes(self) -> int:
        new = sum(size for _, size, _ in self._new)
        return new + sum(page.size for page in self._journal.pages)

    def _tidy(self) -> None:
        """Let go of what nobody holds, when there is twice as much as there was held."""
        if self._bytes() < 2 * self._kept_bytes + PAGE_BYTES:
            return
        held = distinct([self._lasting()])
        for page in [*self._journal.pages]:
            assert page.content is not None
            kept = _held_of(page.content, held)
            if kept is None or 2 * len(kept.rows) < len(page.content.rows):
                self._journal.rewrite(page, kept)
        new = [(ms, _held_of(segment, held)) for ms, _, segment in self._new]
        self._new = [(ms, kept.size, kept) for ms, kept in new if kept is not None]
        self._kept_bytes = self._bytes()
        self._ranges = None


def _held_of(segment: Segment, held: Ints) -> Segment | None:
    """The events of the segment that are held, if any."""
    is_held = np.isin(segment.positions, held, assume_unique=True)
    return segment.part(is_held).copied() if is_held.any() else None


def distinct(parts: Sequence[Ints]) -> Ints:
    """The distinct positions, rising; by a table of flags when they lie close together."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return np.empty(0, np.int64)
    first = min(int(part.min()) for part in parts)
    last = max(int(part.max()) for part in parts)
    apart = _common_zero_bits(parts)
    if (last >> apart) - (first >> apart) > 16 * sum(map(len, parts)):
        return np.unique(np.concatenate(parts))
    first >>= apart
    present = np.zeros((last >> apart) - first + 1, np.bool_)
    for part in parts:
        present[(part >> apart) - first] = True
    distinct: Ints = (np.flatnonzero(present) + first) << apart
    return distinct


def _common_zero_bits(parts: Sequence[Ints]) -> int:
    """How many of the lowest bits are zero in every position: those of records are far apart."""
    bits = 0
    for part in parts:
        bits |= int(np.bitwise_or.reduce(part))
    return (bits & -bits).bit_length() - 1 if bits else 0
