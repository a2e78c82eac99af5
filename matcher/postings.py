"""The rows of a batch that an entry of a rule may look at, by key; and of those, what rules need.

    offered(rule) = the rows of its entries whose key has a run, or a start in the batch

Nothing happens to a rule at another row.  Most rules start seldom, so of most keys they need no
row at all: rows are taken key by key from lists that are sorted by key, one for each entry, made
once per batch for all rules with an equal entry.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.batch import NULL
from matcher.buffers import EVENT_VALUES
from matcher.compiled import inlined, kernel
from matcher.keys import KeyCodec
from matcher.plan import Entry, Plan
from matcher.runs import KEYS, NONE, SLOT_HEAD, SLOT_KEY, Memory, key_slot
from matcher.schema import Schema
from matcher.selection import (
    BatchKeys,
    Selection,
    entry_fits,
    fill,
    fill_column,
    put_in_order,
)
from matcher.tables import SIGNALS, SILENCE_MS, START_STEPS

Ints = NDArray[np.int64]

SPARSE_RATIO = 16
"""When fewer than one row in so many is in a list, it is sorted by itself."""

FEW_RATIO, FEW_ROWS = 8, 4_096
"""Keys are few when so many times as many are no more than the rows in the rule's lists, a number
of rows aside that are taken quickly either way."""


class Lists(NamedTuple):
    """Rows with their keys and masks of steps, list after list, each in order of (key, row)."""

    keys: Ints
    rows: Ints
    masks: Ints


def new_lists(size: int) -> Lists:
    return Lists(*(np.empty(size, np.int64) for _ in Lists._fields))


class Posting(NamedTuple):
    """What a list holds: rows of an entry that have a value in `column`, their key."""

    entry: Entry
    event: int
    column: int
    start_steps: int  # bits of those of the entry's steps that may start a run


class Postings:
    """The distinct lists of all rules; `number` is stable."""

    def __init__(self) -> None:
        self.all: list[Posting] = []
        self._numbers: dict[Posting, int] = {}

    def number(self, posting: Posting) -> int:
        found = self._numbers.setdefault(posting, len(self.all))
        if found == len(self.all):
            self.all.append(posting)
        return found


class BatchPostings:
    """The lists of one batch, each made when first asked for.

    List n is begin[n]:end[n] of `lists`, which grows.
    """

    def __init__(self, postings: Postings, keyed: BatchKeys, atoms: BatchAtoms) -> None:
        self.keyed = keyed
        self.atoms = atoms
        self.lists = new_lists(len(keyed.batch))
        self.taken = new_lists(len(keyed.batch))  # working memory
        self._postings = postings.all
        self._size = 0
        self._bounds: list[tuple[int, int, int, int] | None] = [None] * len(postings.all)

    def bounds(self, number: int) -> tuple[int, int, int, int]:
        """(begin, end, how many of the rows may start a run, how many rows lack a key)."""
        found = self._bounds[number]
        if found is None:
            found = self._bounds[number] = self._add(self._postings[number])
        return found

    def room(self, size: int) -> Lists:
        """Working memory for so many rows."""
        if len(self.taken.keys) < size:
            self.taken = new_lists(2 * size)
        return self.taken

    def _add(self, posting: Posting) -> tuple[int, int, int, int]:
        rows, keys, masks = self._rows(posting)
        null = int(np.count_nonzero(keys == NULL))
        begin, end = self._size, self._size + len(rows) - null
        if end > len(self.lists.keys):
            grown = new_lists(2 * end)
            for old, new in zip(self.lists, grown, strict=True):
                new[:begin] = old[:begin]
            self.lists = grown
        for values, pool in zip((keys, rows, masks), self.lists, strict=True):
            pool[begin:end] = values[null:]
        self._size = end
        starting = np.count_nonzero(masks[null:] & posting.start_steps)
        return begin, end, int(starting), null

    def _rows(self, posting: Posting) -> tuple[Ints, Ints, Ints]:
        """(rows, keys, masks) in order of (key, row); those without a key come first."""
        relevant, fits = entry_fits(posting.entry, posting.event, self.keyed.batch, self.atoms)
        rows: Ints = np.flatnonzero(relevant)
        column = np.asarray(self.keyed.batch.columns[posting.column], np.int64)
        if len(rows) * SPARSE_RATIO < len(relevant):
            rows = rows[np.argsort(column[rows], kind="stable")]
        else:
            put_in_order(self.keyed.order(posting.column), relevant, rows)
        masks = (mask[rows].astype(np.int64) << step for step, mask in fits)
        return rows, column[rows], reduce(np.bitwise_or, masks, np.zeros(len(rows), np.int64))


class LaneSelection:
    """What one rule is offered of a batch: from lists while few keys matter, else a `Selection`.

    Rules that hear of every event, and keys of several parts, always take the latter.
    """

    def __init__(self, plan: Plan, schema: Schema, keys: KeyCodec, postings: Postings) -> None:
        self._plan = plan
        self._whole = Selection(plan, schema, keys)
        self._null_keys = 0
        self._start_steps = int(plan.tables.options[START_STEPS])
        self._numbers: list[int] = []
        hears = plan.tables.options[SILENCE_MS] >= 0 or plan.tables.options[SIGNALS]
        if hears or any(len(entry.key) != 1 for entry in plan.entries):
            return
        for entry in plan.entries:
            column = schema.column(entry.event, entry.key[0])
            starts = sum(1 << step for step, _ in entry.steps) & self._start_steps
            posting = Posting(entry, schema.event_index[entry.event], column, starts)
            self._numbers.append(postings.number(posting))
        self._place = np.zeros(len(self._numbers), np.int64)

    @property
    def null_keys(self) -> int:
        """How many events the rule could not use for want of a key."""
        return self._null_keys + self._whole.null_keys

    def events(self, postings: BatchPostings, memory: Memory) -> Ints | None:
        """Rows as laid out in `matcher.buffers`; None when no event of the batch may matter."""
        if not self._numbers:
            return self._whole.events(postings.keyed, postings.atoms)
        bounds = [postings.bounds(number) for number in self._numbers]
        mattering = int(memory.totals[KEYS])
        size = 0
        for begin, end, starting, _ in bounds:
            mattering += starting
            size += end - begin
        if mattering * FEW_RATIO > size + FEW_ROWS:
            return self._whole.events(postings.keyed, postings.atoms)
        for _, _, _, null in bounds:
            self._null_keys += null
        if not mattering or not size:
            return None
        taken = postings.room(size)
        count = take_rows(
            memory.keys,
            self._start_steps,
            np.array(bounds, np.int64),
            postings.lists,
            taken,
            self._place,
        )
        return self._filled(postings, count) if count else None

    def _filled(self, postings: BatchPostings, count: int) -> Ints:
        taken, batch = postings.taken, postings.keyed.batch
        columns = self._plan.columns
        events = np.empty((count, EVENT_VALUES + len(columns)), np.int64)
        rows = taken.rows[:count]
        fill(events, rows, taken.keys, taken.masks, batch.ts, batch.position)
        for place, column in enumerate(columns, EVENT_VALUES):
            fill_column(events, place, rows, postings.atoms.values(column).view(np.int64))
        return events


@kernel
def take_rows(
    keys: Ints, start_steps: int, bounds: Ints, lists: Lists, taken: Lists, place: Ints
) -> int:
    """Take the rows of keys that have runs or start one; returns how many.

    `keys` is the table of keys with runs, `bounds` has (begin, end) of each list of the rule, and
    `place` is working memory as long.
    """
    size = 0
    for slot in range(keys.shape[0]):
        if keys[slot, SLOT_HEAD] != NONE:
            size = _take_key(keys[slot, SLOT_KEY], size, bounds, lists, taken, place)
    for number in range(bounds.shape[0]):
        low, high = bounds[number, 0], bounds[number, 1]
        while low < high:
            key = lists.keys[low]
            starts = False
            while low < high and lists.keys[low] == key:
                starts = starts or lists.masks[low] & start_steps != 0
                low += 1
            if (
                starts
                and keys[key_slot(keys, key), SLOT_HEAD] == NONE
                and not _starts_before(key, number, start_steps, bounds, lists)
            ):
                size = _take_key(key, size, bounds, lists, taken, place)
    return size


@inlined
def _take_key(key: int, size: int, bounds: Ints, lists: Lists, taken: Lists, place: Ints) -> int:
    """Take the rows of one key, in order; a row of several lists is one with all their steps."""
    for number in range(bounds.shape[0]):
        place[number] = _first_of(key, bounds[number, 0], bounds[number, 1], lists.keys)
    while True:
        row = 2**62
        for number in range(bounds.shape[0]):
            at = place[number]
            if at < bounds[number, 1] and lists.keys[at] == key:
                row = min(row, lists.rows[at])
        if row == 2**62:
            return size
        taken.keys[size] = key
        taken.rows[size] = row
        taken.masks[size] = 0
        for number in range(bounds.shape[0]):
            at = place[number]
            if at < bounds[number, 1] and lists.keys[at] == key and lists.rows[at] == row:
                taken.masks[size] |= lists.masks[at]
                place[number] += 1
        size += 1


@inlined
def _starts_before(key: int, before: int, start_steps: int, bounds: Ints, lists: Lists) -> bool:
    """Whether the key starts in one of the first `before` lists."""
    for number in range(before):
        at = _first_of(key, bounds[number, 0], bounds[number, 1], lists.keys)
        while at < bounds[number, 1] and lists.keys[at] == key:
            if lists.masks[at] & start_steps != 0:
                return True
            at += 1
    return False


@inlined
def _first_of(key: int, low: int, high: int, keys: Ints) -> int:
    """The first place of the sorted keys[low:high] that is not below `key`."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low
