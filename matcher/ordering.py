"""The order of rows by a column of keys: a radix sort, least significant digit first.

Values and row numbers move together, so that every pass but the first reads what lies side by side;
how often each digit occurs is counted for all passes at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import kernel

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

DIGIT_BITS = 11
"""Values are sorted by at most so many bits at a time."""

PASSES_MAX = 3
"""Values that need more are left to NumPy."""

ROW_BITS = 64 - PASSES_MAX * DIGIT_BITS
"""What a value leaves of 64 bits for its row; a batch has fewer rows than that can count."""

_MOST = np.iinfo(np.int64).max


def order_by(values: Ints) -> Ints:
    """The rows in order of (value, row); null comes first."""
    least, most = _span(values)
    bits = (most - least + 1).bit_length() if most >= least else 1
    if bits > PASSES_MAX * DIGIT_BITS or len(values) >= 1 << ROW_BITS:
        return np.argsort(values, kind="stable")
    passes = -(-bits // DIGIT_BITS)
    digit_bits = -(-bits // passes)
    counts = np.zeros((passes, 1 << digit_bits), np.int64)
    order = np.empty(len(values), np.int64)
    moved = np.empty((min(passes - 1, 2), len(values)), np.uint64)
    _sort(values, least - 1, digit_bits, counts, moved, order)
    return order


@kernel
def _span(values: Ints) -> tuple[int, int]:
    """The least and the greatest value that is not null; the least is greater if there is none."""
    least, most = np.int64(_MOST), np.int64(NULL)
    for value in values:
        most = max(most, value)
        least = min(least, value if value != NULL else np.int64(_MOST))
    return int(least), int(most)


@kernel
def _sort(
    values: Ints, below: int, digit_bits: int, counts: Ints, moved: Words, order: Ints
) -> None:
    """Nulls stand for `below`, one less than any value.

    `moved` has room for values with their rows, once for two passes and twice for more.
    """
    passes, size = counts.shape
    mask = np.uint64(size - 1)
    for value in values:
        rest = np.uint64(max(value, below) - below)
        for number in range(passes):
            counts[number, np.int64(rest & mask)] += 1
            rest >>= np.uint64(digit_bits)
    for number in range(passes):
        total = np.int64(0)
        for digit in range(size):
            count = counts[number, digit]
            counts[number, digit] = total
            total += count
    for row in range(len(values)):
        key = np.uint64(max(values[row], below) - below)
        first = np.int64(key & mask)
        place = counts[0, first]
        counts[0, first] = place + 1
        if passes == 1:
            order[place] = row
        else:
            moved[0, place] = key << np.uint64(ROW_BITS) | np.uint64(row)
    for number in range(1, passes):
        shift = np.uint64(ROW_BITS + number * digit_bits)
        last = number == passes - 1
        for item in moved[(number - 1) & 1]:
            following = np.int64((item >> shift) & mask)
            place = counts[number, following]
            counts[number, following] = place + 1
            if last:
                order[place] = np.int64(item & np.uint64((1 << ROW_BITS) - 1))
            else:
                moved[number & 1, place] = item
