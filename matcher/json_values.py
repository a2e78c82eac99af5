"""JSON tokens → values in storage form, compiled; equal to `matcher.record` or doubtful.

Each function gives NULL where it cannot vouch for a value: null itself never gets here, and no
value is stored as NULL, so that says it all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import outlined
from matcher.limits import DECIMAL_SCALED_MAX, INT_MAX
from matcher.strings import NULL

Data = NDArray[np.uint8]

DIGITS_MAX = 18
"""So many digits are held exactly in 64 bits."""

_POWERS = np.array([float(10**k) for k in range(23)])  # exact as doubles
_INT_POWERS = np.array([10**k for k in range(19)], np.int64)
_DIGITS_BEFORE = np.array([DECIMAL_SCALED_MAX // 10**k for k in range(19)], np.int64)
"""What may still be multiplied by 10**k."""


@outlined
def int_of(data: Data, start: int, end: int) -> int:
    """A JSON number without fraction and exponent, in 64 bits.

    It counts down from zero, as the negative half of the range is the larger one.
    """
    negative = data[start] == 45
    value: Any = 0
    for i in range(start + negative, end):
        digit = np.int64(data[i]) - 48
        if digit < 0 or digit > 9 or value < -((INT_MAX - digit) // 10):
            return NULL
        value = value * 10 - digit
    return value if negative else -value  # type: ignore[no-any-return]  # an int64


@outlined
def _parts(data: Data, start: int, end: int) -> Any:
    """(digits as an int64, power of ten, whether that is exact) of an unsigned JSON number."""
    digits: Any = 0
    count = 0
    power: Any = 0
    i = start
    if end - start <= DIGITS_MAX:  # too few to count, as nearly all numbers have
        while i < end and 48 <= data[i] <= 57:
            digits = digits * 10 + np.int64(data[i] - 48)
            i += 1
        if i < end and data[i] == 46:
            power = i + 1 - end
            i += 1
            while i < end and 48 <= data[i] <= 57:
                digits = digits * 10 + np.int64(data[i] - 48)
                i += 1
        if i == end:
            return digits, power, True
        digits, power, i = 0, 0, start
    while i < end and 48 <= data[i] <= 57:
        if count or data[i] != 48:
            count += 1
        if count <= DIGITS_MAX:
            digits = digits * 10 + np.int64(data[i] - 48)
        i += 1
    if i < end and data[i] == 46:
        i += 1
        while i < end and 48 <= data[i] <= 57:
            if count or data[i] != 48:
                count += 1
            if count <= DIGITS_MAX:
                digits = digits * 10 + np.int64(data[i] - 48)
            power -= 1
            i += 1
    exact = count <= DIGITS_MAX
    if i < end:  # e or E
        i += 1
        falling = data[i] == 45
        if falling or data[i] == 43:
            i += 1
        exact = exact and end - i <= 4
        exponent: Any = 0
        while i < end and exact:
            exponent = exponent * 10 + np.int64(data[i] - 48)
            i += 1
        power += -exponent if falling else exponent
    return digits, power, exact


@outlined
def float_of(data: Data, start: int, end: int) -> float:
    """The nearest double of a JSON number, or NaN when that takes more than one exact operation.

    Clinger's fast path: digits below 2**53 and a power of ten up to 22 are both exact doubles, so
    their product or quotient is rounded once.
    """
    negative = data[start] == 45
    digits, power, exact = _parts(data, start + negative, end)
    if not exact or digits > 2**53 or power < -22 or power > 22:
        return np.nan
    whole = float(digits)
    value: float = whole / _POWERS[-power] if power < 0 else whole * _POWERS[power]
    return -value if negative else value


@outlined
def decimal_of(data: Data, start: int, end: int, scale: int) -> int:
    """A JSON number scaled by 10**scale, rounded half to even in integers."""
    negative = data[start] == 45
    digits, power, exact = _parts(data, start + negative, end)
    if not exact:
        return NULL
    power += scale
    if power >= 0:
        if digits != 0 and (power > DIGITS_MAX or digits > _DIGITS_BEFORE[power]):
            return NULL
        scaled = digits * _INT_POWERS[power] if digits else 0
    elif -power > DIGITS_MAX:
        scaled = 0  # less than a tenth
    else:
        unit = _INT_POWERS[-power]
        scaled = digits // unit
        rest = digits - scaled * unit
        half = unit // 2
        if rest > half or (rest == half and scaled % 2 == 1):
            scaled += 1
    if scaled >= DECIMAL_SCALED_MAX:
        return NULL
    return -scaled if negative else scaled
