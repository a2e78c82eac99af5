"""The rows that one rule takes from the lists of a batch: those of keys with a run or a start."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, key_slot

Ints = NDArray[np.int64]

NO_ROW = 2**62

# Columns of the bounds of lists: where a list lies, how many of its rows may start a run, and
# how many more there would be if they had a key.
BEGIN, END, STARTING, NULL_KEYS = range(4)


class Lists(NamedTuple):
    """Rows with their keys and masks of steps, list after list, each in order of (key, row)."""

    keys: Ints
    rows: Ints
    masks: Ints


def new_lists(size: int) -> Lists:
    return Lists(*(np.empty(size, np.int64) for _ in Lists._fields))


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
