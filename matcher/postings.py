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
from matcher.plan import Entry
from matcher.posting_rows import BEGIN, END, NULL_KEYS, STARTING, new_lists
from matcher.selection import BatchKeys, entry_fits, put_in_order

Ints = NDArray[np.int64]

SPARSE_RATIO = 16
"""When fewer than one row in so many is in a list, it is sorted by itself."""

# Columns of `BatchPostings.of_rules`: rows in all lists of a rule, and the sums of the latter two.
ROWS, STARTING_ROWS, UNKEYED = range(3)


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
        if not len(rows):
            bounds[:2] = begin
            return begin
        null = int(np.searchsorted(keys, NULL, "right")) if keys[0] == NULL else 0
        end = begin + len(rows) - null
        if end > len(self.lists.keys):
            grown = new_lists(2 * end)
            for old, new in zip(self.lists, grown, strict=True):
                new[:begin] = old[:begin]
            self.lists = grown
        for values, pool in zip((keys, rows, masks), self.lists, strict=True):
            pool[begin:end] = values[null:]
        starting = (masks[null:] & posting.start_steps != 0).sum() if posting.start_steps else 0
        bounds[:] = begin, end, starting, null
        return end

    def _rows(self, posting: Posting) -> tuple[Ints, Ints, Ints]:
        """(rows, keys, masks) in order of (key, row); those without a key come first."""
        relevant, fits = entry_fits(posting.entry, posting.event, self.keyed.batch, self.atoms)
        rows: Ints = relevant.nonzero()[0]
        if not len(rows):
            return rows, rows, rows
        column = np.asarray(self.keyed.batch.columns[posting.column], np.int64)
        if len(rows) * SPARSE_RATIO < len(relevant):
            rows = rows[np.argsort(column[rows], kind="stable")]
        else:
            put_in_order(self.keyed.order(posting.column), relevant, rows)
        masks = (mask[rows].astype(np.int64) << step for step, mask in fits)
        return rows, column[rows], reduce(np.bitwise_or, masks, np.zeros(len(rows), np.int64))
