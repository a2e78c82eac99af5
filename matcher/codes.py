"""From places of texts in the data to codes: the second pass over the columns of texts.

The scanner notes where a text lies (`packed`).  Here a kernel looks up one column at a time, so
that the processor waits for several slots of the interner's table at once.  Unusual ways to write
an address become the code of what was written, and Python finds the code of the address; each
spelling once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import inlined, kernel, outlined
from matcher.interner import CODE, PLAIN_IPV4, Interner, code_at, intern, prefetch_text
from matcher.json_escapes import unescape
from matcher.scan_plan import IP_DOMAIN, Plan
from matcher.strings import NULL, Strings
from matcher.text_functions import canonical_ip
from matcher.text_tables import TextTable

Octets = NDArray[np.uint8]
Ints = NDArray[np.int64]

REFUSED = -1
"""The code of a text that has no place in its domain."""

ROWS_AHEAD = 16
"""How far ahead of the row at hand slots are fetched."""

BLOCK_TEXTS = 4096
"""For so many texts at a time is room made."""

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
    data: Octets,
    columns: Ints,
    types: NDArray[np.int16],
    begin: int,
    end: int,
    plan: Plan,
    in_enum: NDArray[np.bool_],
    interner: Interner,
) -> bool:
    """Turn the packed texts of rows begin:end into codes; there is room for all.

    Texts that have no place in their domain become REFUSED, and an address that is not plain
    -2 - the code of its spelling.  Returns whether there is any of these.
    """
    unsettled = False
    for column in range(len(columns)):
        if not plan.column_is_text[column]:
            continue
        for row in range(begin, end):
            ahead = row + ROWS_AHEAD
            if ahead < end and columns[column, ahead] != NULL:
                text = columns[column, ahead]
                prefetch_text(data, text >> _PLACE_SHIFT, text >> 1 & _LENGTH_MASK, interner)
            text = columns[column, row]
            if text == NULL:
                continue
            start, length = text >> _PLACE_SHIFT, text >> 1 & _LENGTH_MASK
            domain = plan.domains[column, types[row]]
            if text & 1:
                code = _intern_escaped(data, start, length, domain, in_enum, interner)
            else:
                code = _intern_in(data, start, length, domain, in_enum, interner)
            columns[column, row] = code
            unsettled = unsettled or code < 0
    return unsettled


@kernel
def intern_texts(
    data: Octets,
    bounds: Ints,
    null: NDArray[np.bool_],
    domain: int,
    in_enum: NDArray[np.bool_],
    interner: Interner,
    codes: Ints,
) -> bool:
    """codes[i] = the code of data[bounds[i]:bounds[i + 1]], as `intern_rows` writes it.

    There is room for all.  Returns whether there is any that is refused or an address not plain.
    """
    unsettled = False
    for row in range(len(codes)):
        ahead = row + ROWS_AHEAD
        if ahead < len(codes) and not null[ahead]:
            prefetch_text(data, bounds[ahead], bounds[ahead + 1] - bounds[ahead], interner)
        if null[row]:
            codes[row] = NULL
        else:
            length = bounds[row + 1] - bounds[row]
            code = _intern_in(data, bounds[row], length, domain, in_enum, interner)
            codes[row] = code
            unsettled = unsettled or code < 0
    return unsettled


@outlined
def _intern_escaped(
    data: Octets,
    start: int,
    length: int,
    domain: int,
    in_enum: NDArray[np.bool_],
    interner: Interner,
) -> int:
    """As `_intern_in`, for a text with escapes: it is written out where the arena is free."""
    place = interner.begin[interner.used[0]]
    length = unescape(data, start, length, interner.arena, place)
    if length < 0:
        return REFUSED
    return _intern_in(interner.texts, place, length, domain, in_enum, interner)


@inlined
def _intern_in(
    data: Octets,
    start: int,
    length: int,
    domain: int,
    in_enum: NDArray[np.bool_],
    interner: Interner,
) -> int:
    """The code of a text in its domain; as `intern_rows` writes it."""
    slot = intern(data, start, length, interner)
    code = code_at(slot, interner)
    if domain == IP_DOMAIN:
        if not interner.slots[slot, CODE] & PLAIN_IPV4:
            if not _is_plain_ipv4(data, start, length):
                return -2 - code  # type: ignore[no-any-return]  # an int64
            interner.slots[slot, CODE] |= PLAIN_IPV4
    elif domain > IP_DOMAIN and not (code < in_enum.shape[1] and in_enum[domain, code]):
        return REFUSED
    return code  # type: ignore[no-any-return]  # an int64


@inlined
def _is_plain_ipv4(data: Octets, start: int, length: int) -> bool:
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
        codes = [strings.codes(values) for values in enums]
        highest = max((int(of_enum.max(initial=0)) for of_enum in codes), default=0)
        self._in_enum = np.zeros((len(enums) + 2, highest + 1), np.bool_)
        for domain, of_enum in enumerate(codes, start=2):
            self._in_enum[domain, of_enum] = True
        self._addresses = TextTable(strings, self._codes_of_ips)

    def settle(
        self,
        octets: Octets,
        size: int,
        columns: Ints,
        types: NDArray[np.int16],
        plan: Plan,
        rows: slice,
        wrong: NDArray[np.bool_],
    ) -> None:
        """Gives the texts of the rows just scanned their codes; they are of so many bytes in all.

        Rows with a text that is refused are marked in `wrong`.
        """
        self._strings.make_room((rows.stop - rows.start) * len(columns), 2 * size)
        if not intern_rows(
            octets,
            columns,
            types,
            rows.start,
            rows.stop,
            plan,
            self._in_enum,
            self._strings.interner,
        ):
            return
        for column in np.flatnonzero(plan.column_is_text).tolist():
            wrong[rows] |= self._refused(columns[column, rows])

    def of_texts(self, octets: Octets, bounds: Ints, null: NDArray[np.bool_], domain: int) -> Ints:
        """The codes of octets[bounds[i]:bounds[i + 1]], NULL where `null`; REFUSED as above.

        The texts are UTF-8.
        """
        codes = np.empty(len(null), np.int64)
        for begin in range(0, len(codes), BLOCK_TEXTS):
            rows = slice(begin, begin + BLOCK_TEXTS)
            part = bounds[begin : begin + BLOCK_TEXTS + 1]
            self._strings.make_room(len(part) - 1, int(part[-1] - part[0]))
            interner = self._strings.interner
            if intern_texts(octets, part, null[rows], domain, self._in_enum, interner, codes[rows]):
                self._refused(codes[rows])
        return codes

    def _refused(self, codes: Ints) -> NDArray[np.bool_]:
        """Gives addresses that are not plain their codes; which texts have none."""
        left = np.flatnonzero((codes < REFUSED) & (codes != NULL))
        codes[left] = self._addresses.of(-2 - codes[left])
        refused: NDArray[np.bool_] = codes == REFUSED
        return refused

    def _codes_of_ips(self, spellings: Ints) -> Ints:
        """The codes of the canonical forms of addresses, REFUSED for what is no address."""
        texts = map(self._strings.text, spellings.tolist())
        codes = self._strings.codes([canonical_ip(text) for text in texts])
        codes[codes == NULL] = REFUSED
        return codes
