"""The rows of a batch that an entry of a rule may look at, by key; and of those, what rules need.

    offered(rule) = the rows of its entries whose key has a run, or a start in the batch

Nothing happens to a rule at another row.  Most rules start seldom, so of most keys they need no
row at all: rows are taken key by key from lists that are sorted by key, one for each entry, made
once per batch for all rules with an equal entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.batch import NULL
from matcher.buffers import EVENT_VALUES
from matcher.compiled import inlined, kernel
from matcher.plan import Entry
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, key_slot
from matcher.selection import BatchKeys, entry_fits, put_in_order

Ints = NDArray[np.int64]

SPARSE_RATIO = 16
"""When fewer than one row in so many is in a list, it is sorted by itself."""

NO_ROW = 2**62

# Columns of `BatchPostings.bounds`: where a list lies, how many of its rows may start a run, and
# how many more there would be if they had a key.
BEGIN, END, STARTING, NULL_KEYS = range(4)

# Columns of `BatchPostings.of_rules`: rows in all lists of a rule, and the sums of the latter two.
ROWS, STARTS, UNKEYED = range(3)


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
    """The distinct lists of all rules, and the lists of each rule; what is numbered is stable."""

    def __init__(self) -> None:
        self.all: list[Posting] = []
        self.of_rules: list[int] = []  # the lists of each rule, one rule after another
        self.begins: list[int] = []
        self.null_keys = np.zeros(0, np.int64)  # by rule, events it could not use for want of a key
        self.columns_max = 0
        self._numbers: dict[Posting, int] = {}

    def add(self, lists: Sequence[Posting], columns: int) -> tuple[int, Ints]:
        """(number of the rule that takes its rows from these lists, numbers of the lists).

        With the rows it takes so many `columns`.
        """
        self.columns_max = max(self.columns_max, columns)
        numbers = [self._number(posting) for posting in lists]
        self.begins.append(len(self.of_rules))
        self.of_rules += numbers
        self.null_keys = np.zeros(len(self.begins), np.int64)
        return len(self.begins) - 1, np.array(numbers, np.int64)

    def _number(self, posting: Posting) -> int:
        found = self._numbers.setdefault(posting, len(self.all))
        if found == len(self.all):
            self.all.append(posting)
        return found


class BatchPostings:
    """The lists of one batch: list n is the rows BEGIN to END of `bounds[n]` of `lists`.

    `of_rules[i]` says how much there is for rule i.  `taken` and `events` are working memory, large
    enough for what any rule takes.
    """

    def __init__(self, postings: Postings, keyed: BatchKeys, atoms: BatchAtoms) -> None:
        self.keyed = keyed
        self.atoms = atoms
        self.lists = new_lists(len(keyed.batch))
        self.bounds = np.zeros((len(postings.all), 4), np.int64)
        end = 0
        for number, posting in enumerate(postings.all):
            end = self._add(posting, self.bounds[number], end)
        self.of_rules = np.zeros((len(postings.begins), 3), np.int64)
        if postings.begins:
            counts = self.bounds[postings.of_rules]
            counts[:, BEGIN] = counts[:, END] - counts[:, BEGIN]
            sums = np.add.reduceat(counts, postings.begins)
            self.of_rules = sums[:, [BEGIN, STARTING, NULL_KEYS]]
        postings.null_keys += self.of_rules[:, UNKEYED]
        most = int(self.of_rules[:, ROWS].max(initial=0))
        self.taken = new_lists(most)
        self.events = np.empty((most, EVENT_VALUES + postings.columns_max), np.int64)
        self._values: dict[tuple[int, ...], Ints] = {}

    def values(self, columns: tuple[int, ...]) -> Ints:
        """The derived columns of the whole batch as bits, a row each."""
        found = self._values.get(columns)
        if found is None:
            found = np.empty((len(columns), len(self.keyed.batch)), np.int64)
            for place, column in enumerate(columns):
                found[place] = self.atoms.values(column).view(np.int64)
            self._values[columns] = found
        return found

    def _add(self, posting: Posting, bounds: Ints, begin: int) -> int:
        """Make a list, behind those that end at `begin`; returns its end."""
        rows, keys, masks = self._rows(posting)
        null = int(np.count_nonzero(keys == NULL))
        end = begin + len(rows) - null
        if end > len(self.lists.keys):
            grown = new_lists(2 * end)
            for old, new in zip(self.lists, grown, strict=True):
                new[:begin] = old[:begin]
            self.lists = grown
        for values, pool in zip((keys, rows, masks), self.lists, strict=True):
            pool[begin:end] = values[null:]
        bounds[:] = begin, end, np.count_nonzero(masks[null:] & posting.start_steps), null
        return end

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


class Need(NamedTuple):
    """What a rule takes: from which lists, and which bits of masks start a run.

    `place` is working memory, as long as `lists`.
    """

    lists: Ints
    start_steps: int
    place: Ints


@kernel
def take_rows(keys: Ints, need: Need, bounds: Ints, lists: Lists, taken: Lists) -> int:
    """Take the rows of keys that have runs or start one; returns how many.

    `keys` is the table of keys with runs; keys come in any order, the rows of one together.
    """
    size = 0
    for slot in range(keys.shape[0]):
        if keys[slot, SLOT_HEAD] != NONE:
            size = _take_key(keys[slot, SLOT_KEY], size, need, bounds, lists, taken)
    for number in range(need.lists.shape[0]):
        if bounds[need.lists[number], STARTING] == 0:
            continue
        low, high = bounds[need.lists[number], BEGIN], bounds[need.lists[number], END]
        while low < high:
            key = lists.keys[low]
            starts = False
            while low < high and lists.keys[low] == key:
                starts = starts or lists.masks[low] & need.start_steps != 0
                low += 1
            if (
                starts
                and keys[key_slot(keys, key), SLOT_HEAD] == NONE
                and not _starts_before(key, number, need, bounds, lists)
            ):
                size = _take_key(key, size, need, bounds, lists, taken)
    return size


@inlined
def _take_key(key: int, size: int, need: Need, bounds: Ints, lists: Lists, taken: Lists) -> int:
    """Take the rows of one key, in order; a row of several lists is one with all their steps."""
    place = need.place
    for number in range(place.shape[0]):
        place[number] = _first_of(key, bounds[need.lists[number]], lists.keys)
    while True:
        row = NO_ROW
        for number in range(place.shape[0]):
            at = place[number]
            if at < bounds[need.lists[number], END] and lists.keys[at] == key:
                row = min(row, lists.rows[at])
        if row == NO_ROW:
            return size
        taken.keys[size] = key
        taken.rows[size] = row
        taken.masks[size] = 0
        for number in range(place.shape[0]):
            at = place[number]
            here = at < bounds[need.lists[number], END] and lists.keys[at] == key
            if here and lists.rows[at] == row:
                taken.masks[size] |= lists.masks[at]
                place[number] += 1
        size += 1


@inlined
def _starts_before(key: int, before: int, need: Need, bounds: Ints, lists: Lists) -> bool:
    """Whether the key starts in one of the first `before` lists of the rule."""
    for number in range(before):
        at = _first_of(key, bounds[need.lists[number]], lists.keys)
        while at < bounds[need.lists[number], END] and lists.keys[at] == key:
            if lists.masks[at] & need.start_steps != 0:
                return True
            at += 1
    return False


@inlined
def _first_of(key: int, bounds: Ints, keys: Ints) -> int:
    """The first place of a list that is not below `key`."""
    low, high = bounds[BEGIN], bounds[END]
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return int(low)
