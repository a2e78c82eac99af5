"""Scalars → the storage form of columns; see `matcher.batch` for what that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind, Type
from matcher.batch import Column, storage_dtype
from matcher.limits import DECIMAL_SCALED_MAX
from matcher.lists import list_text
from matcher.record import BadEvent, scalar_of
from matcher.strings import NULL, Strings

Doubtful: TypeAlias = NDArray[np.bool_] | None
"""The rows of a column that need a second look by `matcher.record`; None if there are none."""


def nulls(kind: Kind, count: int) -> Column:
    """A column of nulls."""
    if storage_dtype(kind) is np.float64:
        return np.full(count, np.nan, np.float64)
    return np.full(count, NULL, np.int64)


def to_storage(scalar: object, strings: Strings) -> int | float:
    """A scalar other than None as it is kept in a column."""
    match scalar:
        case str():
            return strings.code(scalar)
        case tuple():
            return strings.code(list_text(scalar))
        case int() | float():
            return scalar
    raise TypeError(f"no storage form for {scalar!r}")


def column_of(
    values: Iterable[object], count: int, declared: Type, strings: Strings
) -> tuple[Column, Doubtful]:
    """`count` values as they are in JSON or Python, one at a time."""
    column = nulls(declared.kind, count)
    doubtful = np.zeros(count, np.bool_)
    texts: dict[int, str] = {}  # by row: they are given their codes together
    for row, value in enumerate(values):
        if value is not None:
            try:
                scalar = scalar_of(value, declared)
            except BadEvent:
                doubtful[row] = True
                continue
            if isinstance(scalar, str | tuple):
                texts[row] = scalar if isinstance(scalar, str) else list_text(scalar)
            else:
                column[row] = to_storage(scalar, strings)
    if texts:
        column[list(texts)] = strings.codes(list(texts.values()))
    return column, doubtful


def scaled(numbers: NDArray[np.float64], scale: int) -> tuple[NDArray[np.int64], Doubtful]:
    """Doubles as the decimals of their shortest texts; NaN is null.

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
