"""What key comes next: writers of events write the same keys in the same order, line after line.

A habit is a key as it was last written, from its quote to the value behind it, with what it means;
and which habit followed on it.  Where the bytes at hand are those of the habit that is expected,
the key is known without looking for its end or looking it up.  Habits are a cache only: what they
say is what the scanner would have found.

Habit 0 is that of an object's begin; that of a key of the plan has the number of its node, and
other keys share some more.  The last is that of the begin of an object inside an envelope.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined
from matcher.words import bucket_of, load_word, word_of

Octets = NDArray[np.uint8]
Habits = NDArray[np.uint64]

# Columns of habits: what the 16 bytes from the quote on are, and which of their bits count; the
# length from the quote to the value, the node around the key and the node of the key (~0: none).
WORD, MORE, WORD_MASK, MORE_MASK, LENGTH, NODE, CHILD, NEXT_HABIT = range(8)

_OTHER_BITS = 6
_LENGTH_MAX = 16
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def new_habits(nodes: int) -> Habits:
    """None yet: no bytes are as the word of a habit that does not count any bits."""
    habits = np.zeros((nodes + (1 << _OTHER_BITS) + 1, 8), np.uint64)
    habits[:, WORD] = 1
    return habits


@inlined
def fits(data: Octets, i: int, node: int, habits: Habits, habit: int) -> bool:
    """Whether the key at i, inside of `node`, is written as expected."""
    return bool(
        i + _LENGTH_MAX <= len(data)
        and load_word(data, i) & habits[habit, WORD_MASK] == habits[habit, WORD]
        and load_word(data, i + 8) & habits[habit, MORE_MASK] == habits[habit, MORE]
        and habits[habit, NODE] == np.uint64(node)
    )


@inlined
def learn(
    data: Octets, start: int, value: int, node: int, child: int, habits: Habits, last: int
) -> Any:
    """The habit of the key from data[start] to its value; it follows `last`."""
    length = value - start
    habit = np.int64(child)
    if child < 0:
        words = word_of(data, start, min(length, 8))
        habit = np.int64(len(habits) - 2) - bucket_of(words, length, _OTHER_BITS)
    habits[last, NEXT_HABIT] = np.uint64(habit)
    if length <= _LENGTH_MAX and start + _LENGTH_MAX <= len(data):
        whole = length >= 8
        habits[habit, WORD_MASK] = _ALL if whole else _low_bytes(length)
        habits[habit, MORE_MASK] = _low_bytes(length - 8) if whole else np.uint64(0)
        habits[habit, WORD] = load_word(data, start) & habits[habit, WORD_MASK]
        habits[habit, MORE] = load_word(data, start + 8) & habits[habit, MORE_MASK]
        habits[habit, LENGTH] = np.uint64(length)
        habits[habit, NODE] = np.uint64(node)
        habits[habit, CHILD] = np.uint64(child)
    return habit


@inlined
def _low_bytes(count: int) -> Any:
    """A word of so many bytes of ones, fewer than nine."""
    if count == 0:
        return np.uint64(0)
    return _ALL >> np.uint64(64 - 8 * count)
