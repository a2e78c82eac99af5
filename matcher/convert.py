"""JSON values of one field, as decoded by msgspec, → a column, a whole chunk at a time.

A converter takes the values (None for null), and whether the wide structs decoded them.  It gives
the column and, if there are any, the rows it cannot vouch for.  Those are read again by
`matcher.record`, which knows what is wrong with them or reads them exactly; so a converter may be
strict, but never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.batch import Column, storage_dtype
from matcher.limits import DECIMAL_SCALED_MAX, TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.record import BadEvent, scalar_of
from matcher.strings import NULL, Strings
from matcher.text_functions import canonical_ip
from matcher.timestamps import BAD_TIMESTAMP, timestamps_ms

Doubtful: TypeAlias = NDArray[np.bool_] | None
Converter: TypeAlias = Callable[[Sequence[object], bool], tuple[Column, Doubtful]]

REFUSED = -1
"""The code of a text that is not allowed in its column."""

_PLAIN_NUMBER = frozenset("0123456789.-")


def converter(declared: Type, strings: Strings) -> Converter:
    """The converter for values that msgspec has checked against the JSON type of `declared`."""
    match declared.kind:
        case Kind.FLOAT:
            return _floats
        case Kind.BOOL | Kind.INT | Kind.DURATION:
            return _ints
        case Kind.DECIMAL:
            return lambda values, wide: _decimals(values, wide, declared.scale)
        case Kind.STRING:
            return lambda values, _: (strings.codes(values), None)  # type: ignore[arg-type]  # texts
        case Kind.ENUM:
            return _EnumCodes(declared, strings).convert
        case Kind.IP:
            return _IpCodes(strings).convert
        case Kind.TIMESTAMP:
            return _timestamps
        case _:
            return loose_converter(declared, strings)


def loose_converter(declared: Type, strings: Strings) -> Converter:
    """One value at a time, whatever its JSON type: for fields that event types disagree about."""
    dtype = storage_dtype(declared.kind)

    def convert(values: Sequence[object], wide: bool) -> tuple[Column, Doubtful]:
        column = nulls(declared.kind, len(values))
        doubtful = np.zeros(len(values), np.bool_)
        for row, value in enumerate(values):
            if isinstance(value, float) and dtype is not np.float64:
                doubtful[row] = True  # the text is gone, and may have said more
            elif value is not None:
                try:
                    column[row] = to_storage(scalar_of(value, declared), strings)
                except BadEvent:
                    doubtful[row] = True
        return column, doubtful

    return convert


def nulls(kind: Kind, count: int) -> Column:
    """A column of nulls."""
    if storage_dtype(kind) is np.float64:
        return np.full(count, np.nan, np.float64)
    return np.full(count, NULL, np.int64)


def to_storage(scalar: object, strings: Strings) -> int | float:
    """A scalar other than None as it is kept in a column; a list is 1, for being there."""
    match scalar:
        case str():
            return strings.code(scalar)
        case tuple():
            return 1
        case int() | float():
            return scalar
    raise TypeError(f"no storage form for {scalar!r}")


def _ints(values: Sequence[object], wide: bool = False) -> tuple[NDArray[np.int64], Doubtful]:
    try:
        column = np.fromiter(values, np.int64, len(values))
        nulls = 0
    except (TypeError, OverflowError):  # there are nulls, or integers out of 64 bits
        known = [NULL if _no_int64(value) else value for value in values]
        column = np.array(known, np.int64)
        nulls = values.count(None)
    doubtful = column == NULL
    if np.count_nonzero(doubtful) == nulls:
        return column, None
    return column, doubtful & _known(values)


def _no_int64(value: object) -> bool:
    return value is None or not -NULL > value > NULL  # type: ignore[operator]  # an int


def _known(values: Sequence[object]) -> NDArray[np.bool_]:
    return np.fromiter((value is not None for value in values), np.bool_, len(values))


def _floats(values: Sequence[object], wide: bool = False) -> tuple[NDArray[np.float64], Doubtful]:
    try:
        return np.fromiter(values, np.float64, len(values)), None
    except TypeError:
        return np.array(values, np.float64), None  # None becomes NaN


def _decimals(
    values: Sequence[object], wide: bool, scale: int
) -> tuple[NDArray[np.int64], Doubtful]:
    """Numbers, or with some events numeric texts, scaled and rounded half to even."""
    if not (wide and str in set(map(type, values))):
        return scaled(_floats(values)[0], scale)
    numbers = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        if not isinstance(value, str):
            numbers[row] = value  # type: ignore[call-overload]  # None becomes NaN
            continue
        try:
            numbers[row] = float(value) if _PLAIN_NUMBER.issuperset(value) else np.inf
        except ValueError:
            numbers[row] = np.inf
    return scaled(numbers, scale)


def scaled(numbers: NDArray[np.float64], scale: int) -> tuple[NDArray[np.int64], Doubtful]:
    """Doubles read from texts as the decimals of these texts; NaN is null.

    A double times 10**scale is off the scaled text by less than |scaled| * 2**-51 (half a unit in
    the last place each for reading and for multiplying).  Unless that may lead across a tie, the
    nearest integer is that of the text; where it may, the row is doubtful.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        product = numbers * float(10**scale)
        nearest = np.rint(product)
        sure = np.abs(product - nearest) + np.abs(product) * 2.0**-51 < 0.5
    sure &= np.abs(nearest) < DECIMAL_SCALED_MAX
    if sure.all():
        return nearest.astype(np.int64), None
    nearest[~sure] = 0.0
    column = nearest.astype(np.int64)
    column[~sure] = NULL
    return column, ~(np.isnan(numbers) | sure)


def _timestamps(values: Sequence[object], wide: bool) -> tuple[NDArray[np.int64], Doubtful]:
    """RFC 3339 texts, or with some events whole ms since the epoch."""
    if not wide or int not in set(map(type, values)):
        column = timestamps_ms(values)  # type: ignore[arg-type]  # texts
        return column, column == BAD_TIMESTAMP
    texts = [value if isinstance(value, str) else None for value in values]
    column = timestamps_ms(texts)
    doubtful = column == BAD_TIMESTAMP
    numbers = np.fromiter((type(value) is int for value in values), np.bool_, len(values))
    rows = np.flatnonzero(numbers)
    ms, too_big = _ints([values[row] for row in rows.tolist()])
    outside = (ms < TIMESTAMP_MS_MIN) | (ms > TIMESTAMP_MS_MAX)
    column[rows] = ms
    doubtful[rows] = outside if too_big is None else outside | too_big
    return column, doubtful


class _EnumCodes(dict[object, int]):
    """Code of each allowed value; REFUSED for any other text."""

    def __init__(self, declared: Type, strings: Strings) -> None:
        super().__init__({value: strings.code(value) for value in declared.values})
        self[None] = NULL

    def __missing__(self, text: object) -> int:
        return REFUSED

    def convert(self, values: Sequence[object], wide: bool) -> tuple[NDArray[np.int64], Doubtful]:
        column = np.fromiter(map(self.__getitem__, values), np.int64, len(values))
        return column, column == REFUSED


class _IpCodes(dict[object, int]):
    """Code of the canonical form of each address seen so far; other texts are not remembered."""

    def __init__(self, strings: Strings) -> None:
        super().__init__({None: NULL})
        self._strings = strings
        self._generation = strings.generation

    def __missing__(self, text: object) -> int:
        assert isinstance(text, str)
        canonical = canonical_ip(text)
        if canonical is None:
            return REFUSED
        code = self[text] = self._strings.code(canonical)
        return code

    def convert(self, values: Sequence[object], wide: bool) -> tuple[NDArray[np.int64], Doubtful]:
        if self._generation != self._strings.generation:
            self.clear()
            self[None] = NULL
            self._generation = self._strings.generation
        column = np.fromiter(map(self.__getitem__, values), np.int64, len(values))
        return column, column == REFUSED
