"""What stands between the quotes of a JSON text, with its escapes resolved; compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, outlined

Octets = NDArray[np.uint8]

HALF_A_PAIR = -1
"""Not a length: the text has half of a surrogate pair, and so is none."""

_BACKSLASH, _SMALL_U = 92, 117
_CONTROLS = np.zeros(128, np.uint8)  # what \b, \f, \n, \r and \t stand for
for _letter, _control in zip(b"bfnrt", b"\b\f\n\r\t", strict=True):
    _CONTROLS[_letter] = _control


@outlined
def unescape(data: Octets, start: int, length: int, into: Octets, place: int) -> int:
    """Write the text of data[start:][:length] to into[place:]; how long it is, or HALF_A_PAIR.

    The scanner has checked the escapes.  No text is longer than it was written.
    """
    i, end = start, start + length
    first = place
    while i < end:
        octet = data[i]
        if octet != _BACKSLASH:
            into[place] = octet
            i += 1
            place += 1
            continue
        octet = data[i + 1]
        if octet != _SMALL_U:
            control = _CONTROLS[octet]
            into[place] = octet if control == 0 else control
            i += 2
            place += 1
            continue
        point = _four_digits(data, i + 2)
        i += 6
        if 0xD800 <= point <= 0xDFFF:
            if point >= 0xDC00 or i + 6 > end or data[i] != _BACKSLASH or data[i + 1] != _SMALL_U:
                return HALF_A_PAIR
            low = _four_digits(data, i + 2)
            if low < 0xDC00 or low > 0xDFFF:
                return HALF_A_PAIR
            i += 6
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
        place = _write_utf8(point, into, place)
    return place - first


@inlined
def _four_digits(data: Octets, at: int) -> Any:
    point: Any = np.int64(0)
    for k in range(4):
        digit = np.int64(data[at + k])
        point = point << 4 | (digit - 48 if digit <= 57 else (digit | 32) - 87)
    return point


@inlined
def _write_utf8(point: Any, into: Octets, place: int) -> int:
    """Behind the character in `into`."""
    if point < 0x80:
        into[place] = point
        return place + 1
    if point < 0x800:
        into[place] = 0xC0 | point >> 6
    else:
        if point < 0x10000:
            into[place] = 0xE0 | point >> 12
        else:
            into[place] = 0xF0 | point >> 18
            place += 1
            into[place] = 0x80 | point >> 12 & 0x3F
        place += 1
        into[place] = 0x80 | point >> 6 & 0x3F
    place += 1
    into[place] = 0x80 | point & 0x3F
    return place + 1
