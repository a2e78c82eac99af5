"""From places of texts in the data to codes: the second pass over the columns of texts.

The scanner notes where a text lies (`packed`).  Here a kernel looks up one column at a time, so
that the processor waits for several slots of the interner's table at once.  What is left (escapes,
unusual ways to write an address) is decoded by Python, and remembered by how it was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel
from matcher.interner import UNKNOWN, Interner, code_of, has_room, intern, prefetch_text
from matcher.scan_plan import IP_DOMAIN, Plan
from matcher.strings import NULL, Strings
from matcher.text_functions import canonical_ip

Ints = NDArray[np.int64]

REFUSED = -1
"""The code of a text that has no place in its domain."""

REMEMBERED_MAX = 1 << 20
"""How many spellings are remembered before all are forgotten."""

ROWS_AHEAD = 16
"""How far ahead of the row at hand slots are fetched."""

# A packed text: its place in the data, its length, and whether there are escapes in it.
_LENGTH_BITS = 20
_PLACE_SHIFT = _LENGTH_BITS + 1
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1

_DOT, _ZERO, _NINE = 46, 48, 57


@inlined
def packed(start: int, end: int, escaped: int) -> int:
    return start << _PLACE_SHIFT | (end - start) << 1 | escaped


@kernel
def intern_rows(
    begin: int,
    end: int,
    data: NDArray[np.uint8],
    column: Ints,
    types: NDArray[np.int16],
    domains: Ints,
    enum_begin: Ints,
    enum_codes: Ints,
    interner: Interner,
) -> int:
    """Turn the packed texts of rows begin:end into codes; `domains` are by event type.

    Texts that Python must decode become -2 - packed, those that no enum has REFUSED.  Returns the
    first row for whose text there is no room.
    """
    for row in range(begin, end):
        ahead = row + ROWS_AHEAD
        if ahead < end and column[ahead] != NULL:
            text = column[ahead]
            start, length = text >> _PLACE_SHIFT, text >> 1 & _LENGTH_MASK
            prefetch_text(data, start, length, interner)
        text = column[row]
        if text == NULL:
            continue
        start, length = text >> _PLACE_SHIFT, text >> 1 & _LENGTH_MASK
        domain = domains[types[row]]
        if text & 1 or (domain == IP_DOMAIN and not _is_plain_ipv4(data, start, length)):
            column[row] = -2 - text
        elif domain <= IP_DOMAIN:  # any text will do, or an address in its canonical form
            if not has_room(interner, length):
                return row
            column[row] = intern(data, start, length, interner)
        else:
            code = code_of(data, start, length, interner)
            known = False
            for place in range(enum_begin[domain], enum_begin[domain + 1]):
                known = known or enum_codes[place] == code
            column[row] = code if known and code != UNKNOWN else REFUSED
    return end


@inlined
def _is_plain_ipv4(data: NDArray[np.uint8], start: int, length: int) -> bool:
    """Four numbers up to 255 without leading zeros, with dots between: the canonical form."""
    if length < 7 or length > 15:
        return False
    dots = digits = value = 0
    for k in range(length):
        octet = data[start + k]
        if octet == _DOT:
            if digits == 0:
                return False
            dots += 1
            digits = value = 0
        elif _ZERO <= octet <= _NINE:
            if digits > 0 and value == 0:
                return False
            digits += 1
            value = 10 * value + (octet - _ZERO)
            if value > 255:
                return False
        else:
            return False
    return dots == 3 and digits > 0


class Codes:
    """Gives texts their codes; `enums[d]` are the allowed values of domain d + 2."""

    def __init__(self, strings: Strings, enums: Sequence[tuple[str, ...]]) -> None:
        self._strings = strings
        self._enums = [{value: strings.code(value) for value in values} for values in enums]
        sizes = [0, 0, *(len(values) for values in enums)]
        self._enum_begin = np.cumsum([0, *sizes])
        self._enum_codes = np.array([c for e in self._enums for c in e.values()], np.int64)
        self._code_in: list[Callable[[str], int]] = [
            self._code_of_text,
            self._code_of_ip,
            *(lambda text, codes=codes: codes.get(text, REFUSED) for codes in self._enums),
        ]
        self._remembered: dict[tuple[bytes, int], int] = {}

    def settle(
        self,
        data: bytes,
        octets: NDArray[np.uint8],
        columns: Ints,
        types: NDArray[np.int16],
        plan: Plan,
        rows: slice,
        wrong: NDArray[np.bool_],
    ) -> None:
        """Gives the texts of the rows just scanned their codes.

        Rows with a text that is refused are marked in `wrong`.
        """
        for column in np.flatnonzero(plan.column_is_text).tolist():
            values, domains = columns[column], plan.domains[column]
            row = rows.start
            while row < rows.stop:
                row = intern_rows(
                    row,
                    rows.stop,
                    octets,
                    values,
                    types,
                    domains,
                    self._enum_begin,
                    self._enum_codes,
                    self._strings.interner,
                )
                if row < rows.stop:
                    self._strings.grow(int(values[row]) >> 1 & _LENGTH_MASK)
            fresh = values[rows]
            left = np.flatnonzero((fresh < REFUSED) & (fresh != NULL))
            if len(left):
                texts = (-2 - fresh[left]).tolist()
                of_rows = domains[types[rows][left]].tolist()
                fresh[left] = [
                    self._code(data, text, domain)
                    for text, domain in zip(texts, of_rows, strict=True)
                ]
            wrong[rows] |= fresh == REFUSED

    def _code(self, data: bytes, text: int, domain: int) -> int:
        """The code of a packed text, by what stands between its quotes."""
        start = text >> _PLACE_SHIFT
        raw = data[start : start + (text >> 1 & _LENGTH_MASK)]
        code = self._remembered.get((raw, domain))
        if code is None:
            decoded = json.loads(b'"' + raw + b'"') if text & 1 else raw.decode("utf-8")
            code = self._code_in[domain](decoded)
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[raw, domain] = code
        return code

    def _code_of_text(self, text: str) -> int:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair
            return REFUSED
        return self._strings.code(text)

    def _code_of_ip(self, text: str) -> int:
        canonical = canonical_ip(text)
        return REFUSED if canonical is None else self._strings.code(canonical)
