"""Groups of starts: all pairs that begin alike look back on the same ones.

A group takes the starts of each batch in before the lanes of its rules see it, lets them go when
their window has passed, and saves them for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsl.model import Type
from matcher import limits
from matcher.batch import Batch
from matcher.fitting import BatchFitting, Fitting
from matcher.journal import Journal
from matcher.keys import KeyCodec
from matcher.moments import Moment
from matcher.ordering import order_by
from matcher.page_data import PageData
from matcher.pair_plan import VALUES_MAX, Pair, PairTest, Value
from matcher.saved import NOTHING, Head, PageMismatch, Saved
from matcher.starts import START_POSITION, START_TS, START_VALUES, Starts
from matcher.strings import Strings
from matcher.tables import NO_LIMIT_MS
from matcher.timed_rows import TimedRows, timed_form

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

KIND = "starts"
FORMAT = "starts 1"
FULL_FORMAT = "starts 1, full"
"""Of the head of a group that the last census has found too large."""

BEGINNING_MS = -(2**62)
NO_POSITIONS = np.empty(0, np.int64)

ENTRIES_UNSWEPT = 4_096
"""Starts of silent keys are collected when these many more than twice those kept last time have
come together, or when time passes without events."""


class _Head(NamedTuple):
    """Of a saved group; `names` are those of its values."""

    appended: int
    refused: int
    full: bool
    names: set[str]


class Group:
    """The starts of all pairs that begin alike, with the values that any of them compares.

    `number` tells those apart that begin alike and have too many values for one.
    """

    def __init__(self, pair: Pair, codec: KeyCodec, number: int = 0) -> None:
        self.name = pair.name
        self.owner = f"{KIND}/{pair.name}.{number}"
        self.codec = codec
        self.window_ms = self.span_ms = pair.window_ms
        self.values: list[Value] = []
        self.starts = Starts(0, self.window_ms)
        self.taken: Fitting | None = None  # what fits of the last batch, be it refused
        self._held = NO_POSITIONS
        self._first = pair.first
        self._key = pair.first_key
        self._swept_ms = -NO_LIMIT_MS
        self._kept = 0
        self._head = Head(self.owner)
        self._journal: Journal[TimedRows] | None = None

    def join(self, pair: Pair) -> bool:
        """Make room for what the pair compares; False when that would be too much."""
        wanted = {test.value for test in pair.tests} - set(self.values)
        if len(self.values) + len(wanted) > VALUES_MAX:
            return False
        self.values += sorted(wanted, key=lambda value: value.name)
        self.starts = Starts(len(self.values), self.window_ms)
        return True

    def tests(self, tests: Sequence[PairTest]) -> tuple[Ints, Floats]:
        """Tests and factors as `Seconds` has them."""
        table = [(test.compare, self.values.index(test.value)) for test in tests]
        factors = np.array([test.factor for test in tests], np.float64)
        return np.array(table, np.int64).reshape(-1, 2), factors

    def take(self, rows: BatchFitting, batch: Batch, censuses: Sequence[Moment] = ()) -> None:
        """Take in the starts of a batch that is not empty; `censuses` are as those of a `Lane`."""
        taken, starts = rows.rows(self._first, self._key, self.codec), self.starts
        self.taken, self._held = taken, NO_POSITIONS
        oldest_ms = int(batch.ts[0]) - self.window_ms
        if starts.full or starts.entries + len(taken.rows) > limits.RUNS_PER_RULE_MAX:
            left = np.ones(len(taken.rows), np.bool_)
            for moment in censuses:
                before = left & moment.reached(taken.ts, taken.positions)
                self._append(taken, before, oldest_ms)
                starts.take_census(moment.ts)
                left &= ~before
            self._append(taken, left, oldest_ms)
        elif len(taken.rows):
            self._append(taken, slice(None), oldest_ms)

    def _append(self, taken: Fitting, chosen: slice | NDArray[np.bool_], oldest_ms: int) -> None:
        values = taken.values(tuple(value.derived for value in self.values))[:, chosen]
        columns = taken.keys[chosen], taken.ts[chosen], taken.positions[chosen]
        held = self.starts.append(*columns, values, oldest_ms)
        self._held = np.concatenate([self._held, held]) if len(self._held) else held

    def pass_time(self, watermark_ms: int, idle: bool) -> None:
        """Let go of starts that no later event can reach, now and then."""
        entries = self.starts.entries
        if not entries or not (idle or entries > 2 * self._kept + ENTRIES_UNSWEPT):
            return
        if watermark_ms - self._swept_ms > self.window_ms // 2:
            self.sweep(watermark_ms)

    def sweep(self, watermark_ms: int) -> None:
        """Let go of all starts that no later event can reach."""
        self.starts.sweep(watermark_ms - self.window_ms)
        self._swept_ms, self._kept = watermark_ms, self.starts.entries

    def snapshot(self, strings: Strings, watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot; b"" when a page is gone."""
        starts, journal = self.starts, self._opened(strings)
        unsaved = starts.unsaved.take()
        if unsaved is None:
            journal.clear()
            keys, rows = starts.live()
            unsaved = [((keys, rows), int(rows[START_TS].max()))] if len(keys) else []
        if unsaved:  # one page for all batches since: each page has a price of its own
            joined = TimedRows.joined([TimedRows(*columns) for columns, _ in unsaved])
            journal.add(joined, max(newest_ms for _, newest_ms in unsaved))
        journal.expire(watermark_ms - self.window_ms)
        if not starts.appended and not starts.refused:
            return {}
        names = [value.name for value in self.values]
        form = FULL_FORMAT if starts.full else FORMAT
        return journal.take() | self._head.take(form, starts.appended, starts.refused, names)

    def restore(self, strings: Strings, saved: Mapping[str, Saved]) -> None:
        """Take in the starts that pages of groups alike have; `saved` is by owner.

        Which rules shared a group when they were written does not matter.  Raises PageMismatch.
        """
        journal, starts = self._opened(strings), self.starts
        own = saved.get(self.owner, NOTHING)
        heads = self._heads(saved)
        parts = journal.restore(own.pages)
        more = self._needed(heads)
        for owner in more:
            parts += Journal(owner, timed_form(self._named(), self.codec, strings)).restore(
                saved[owner].pages
            )
        if parts:
            joined = TimedRows.joined(parts)
            keys, rows = _united(joined) if more else joined.where(order_by(joined.keys))
            ts, positions, values = rows[START_TS], rows[START_POSITION], rows[START_VALUES:]
            starts.append(keys, ts, positions, values, BEGINNING_MS)
        starts.unsaved.take()
        if more:
            starts.unsaved.give_up()
        taken = [heads[owner] for owner in ({self.owner} & heads.keys()) | set(more)]
        starts.appended = max((head.appended for head in taken), default=0)
        starts.refused = max((head.refused for head in taken), default=0)
        starts.full = any(head.full for head in taken)

    def _heads(self, saved: Mapping[str, Saved]) -> dict[str, _Head]:
        """The heads of saved groups that begin alike, by owner."""
        heads = {}
        for owner in sorted(saved):
            if owner.startswith(f"{KIND}/{self.name}.") and saved[owner].head:
                head = Head(owner) if owner != self.owner else self._head
                format_, appended, refused, names = head.restore(saved[owner].head, 4)
                if format_ not in (FORMAT, FULL_FORMAT):
                    raise PageMismatch(f"page format {format_}, this version reads {FORMAT}")
                heads[owner] = _Head(appended, refused, format_ == FULL_FORMAT, set(names))
        return heads

    def _needed(self, heads: Mapping[str, _Head]) -> list[str]:
        """The saved groups whose starts or values are wanted beside those saved as this one's."""
        wanted = {value.name for value in self.values}
        lacking = wanted - heads[self.owner].names if self.owner in heads else wanted
        needed: list[str] = []
        for owner, head in heads.items():
            wants_any = not needed and self.owner not in heads
            if owner != self.owner and (wants_any or lacking & head.names):
                needed.append(owner)
                lacking -= head.names
        return needed

    def held(self) -> Ints:
        """Positions of all starts."""
        _, rows = self.starts.live()
        positions: Ints = rows[START_POSITION]
        return positions

    def newly_held(self) -> Ints:
        """Positions of the events of the last batch that were taken in."""
        return self._held

    def _opened(self, strings: Strings) -> Journal[TimedRows]:
        """The pages; made when all values are known."""
        if self._journal is None:
            form = timed_form(self._named(), self.codec, strings)
            self._journal = Journal(self.owner, form)
        return self._journal

    def _named(self) -> list[tuple[str, bool]]:
        return [(value.name, value.text) for value in self.values]


class Groups:
    """Finds or makes the group of each pair, before any event is seen."""

    def __init__(self) -> None:
        self.all: list[Group] = []
        self._alike: dict[object, list[Group]] = {}
        self._codecs: dict[tuple[Type, ...], KeyCodec] = {}

    def of(self, pair: Pair, types: tuple[Type, ...], strings: Strings) -> Group:
        if types not in self._codecs:
            self._codecs[types] = KeyCodec(types, strings)
        alike = self._alike.setdefault((pair.name, pair.first, pair.first_key), [])
        for group in alike:
            if group.join(pair):
                return group
        group = Group(pair, self._codecs[types], len(alike))
        group.join(pair)
        alike.append(group)
        self.all.append(group)
        return group


def _united(starts: TimedRows) -> TimedRows:
    """By (key, event time, position); one of several starts with the same position.

    Of those, a value that is null in one is taken from another.
    """
    keys, rows = starts
    order = np.lexsort((rows[START_POSITION], rows[START_TS], keys))
    keys, rows = keys[order], rows[:, order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = rows[START_POSITION, 1:] != rows[START_POSITION, :-1]
    if first.all():
        return TimedRows(keys, rows)
    groups = np.flatnonzero(first)
    merged = rows[:, groups]
    merged[START_VALUES:] = np.maximum.reduceat(rows[START_VALUES:], groups, axis=1)
    return TimedRows(keys[groups], merged)
