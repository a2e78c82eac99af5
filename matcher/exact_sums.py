"""Sums of doubles without rounding, compiled: numbers of several words that are rounded once.

    rounded(x + y - x + …) = the double nearest to the exact sum, ties to even

So a sum over a window shows no trace of values that have left it, and is the same in every order.
A number is `words` int64s in two's complement, the lowest first, in a row of a table; its lowest
bit stands for 2**low.  A *narrow* one has room for the values that nearly all data consist of, a
*wide* one for every double.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, outlined
from matcher.words import leading_zeros

Ints = NDArray[np.int64]

# Narrow: 53 bits from 2**-100 (values of 1e-14) to 2**51 (2e15), above them a sign and room for
# the carries of 2**40 values.  Wide: the same from the least double to the greatest.
NARROW_LOW, NARROW_WORDS, _NARROW_SHIFT_MAX = -100, 3, 98
WIDE_LOW, WIDE_WORDS = -1074, 34

_MANTISSA_BITS = 52
_MANTISSA = (1 << _MANTISSA_BITS) - 1
_HIDDEN = np.uint64(1 << _MANTISSA_BITS)
_EXPONENTS = 0x7FF
_LOWEST = 1075  # an exponent as it is written, less this, is that of the mantissa's lowest bit
_BIAS = 1023

_NONE, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_BELOW_MANTISSA = np.uint64(11)  # bits of a word whose highest bit is the mantissa's
_BELOW_MASK, _HALF = np.uint64(0x7FF), np.uint64(0x400)
_WORD_BITS, _WORD_LAST = np.uint64(64), np.uint64(63)

INFINITY_BITS = _EXPONENTS << _MANTISSA_BITS
NAN_BITS = INFINITY_BITS | 1
SIGN_BIT = np.int64(np.iinfo(np.int64).min)


@inlined
def is_narrow(bits: int) -> bool:
    """Whether a double, given by its bits, has a place in narrow sums."""
    shift = max(bits >> _MANTISSA_BITS & _EXPONENTS, 1) - _LOWEST - NARROW_LOW
    return 0 <= shift <= _NARROW_SHIFT_MAX or bits << 1 == 0


@inlined
def add(sums: Ints, row: int, column: int, words: int, low: int, bits: int, minus: bool) -> None:
    """Add a finite double, given by its bits, to the number in sums[row, column:]; or take it."""
    exponent = bits >> _MANTISSA_BITS & _EXPONENTS
    mantissa = np.uint64(bits & _MANTISSA)
    if exponent != 0:
        mantissa |= _HIDDEN
    if mantissa == _NONE:
        return
    at = max(exponent, 1) - _LOWEST - low
    first, shift = at >> 6, np.uint64(at & 63)
    lower, upper = mantissa << shift, (mantissa >> _ONE) >> (_WORD_LAST - shift)
    negative = (bits < 0) != minus  # of two's complement: every bit the other way, and one more
    flip, carry = (_ALL, _ONE) if negative else (_NONE, _NONE)
    for word in range(first, words):
        part = (lower if word == first else upper if word == first + 1 else _NONE) ^ flip
        half = np.uint64(sums[row, column + word]) + part
        whole = half + carry
        carry = np.uint64(half < part) | np.uint64(whole < half)
        sums[row, column + word] = np.int64(whole)
        if word > first and (carry != _NONE) == negative:
            break  # the rest stays what it is


@outlined
def rounded(sums: Ints, row: int, column: int, words: int, low: int) -> Any:
    """The bits of the nearest double, which is infinite beyond the greatest."""
    negative = sums[row, column + words - 1] < 0
    flip, carry = (_ALL, _ONE) if negative else (_NONE, _NONE)
    top = below = rest = previous = older = _NONE
    at = 0
    for place in range(words):
        word = (np.uint64(sums[row, column + place]) ^ flip) + carry
        carry &= np.uint64(word == _NONE)
        if word != _NONE:
            top, below, rest, at = word, previous, older, place
        older |= previous
        previous = word
    if top == _NONE:
        return np.int64(0)
    zeros = leading_zeros(top)
    if zeros > 0:  # the leading bit becomes the highest one
        top = top << np.uint64(zeros) | below >> (_WORD_BITS - np.uint64(zeros))
        below <<= np.uint64(zeros)
    mantissa, left = np.int64(top >> _BELOW_MANTISSA), top & _BELOW_MASK
    more = (below | rest) != _NONE
    if left > _HALF or (left == _HALF and (more or mantissa & 1 != 0)):
        mantissa += 1
    exponent = low + 64 * at + 63 - zeros
    if exponent < 1 - _BIAS:  # below the normal doubles nothing had to be rounded
        bits = mantissa >> (1 - _BIAS - exponent)
    else:  # a mantissa that was rounded up to one more bit makes the exponent one more
        bits = ((min(exponent, _BIAS) + _BIAS - 1) << _MANTISSA_BITS) + mantissa
    if exponent > _BIAS:
        bits = np.int64(INFINITY_BITS)
    return bits | SIGN_BIT if negative else bits
