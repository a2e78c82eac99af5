"""Columns of what rows usually hold, all values at once; the plain way decides the rest.

quick_column(values) = the column that reading value by value gives, or None: not sure
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dsl.model import Kind, Type
from matcher.batch import NULL, Column
from matcher.limits import INT_MAX
from matcher.strings import Strings

_DIGITS = frozenset("0123456789-")
_NUMERIC = _DIGITS | frozenset(".eE")


def quick_column(
    values: Sequence[Any], classes: set[type], type_: Type, as_text: bool, strings: Strings
) -> Column | None:
    """`classes` are those of the values; `as_text`: numbers are written as texts, null as ""."""
    nullable = type_.optional
    if type(None) in classes and (not nullable or type_.kind is not Kind.STRING):
        return None
    if type_.kind is Kind.STRING and classes <= {str, type(None)}:
        return _texts(values, nullable and as_text, strings)
    if type_.kind not in (Kind.INT, Kind.FLOAT):
        return None
    if as_text and classes == {str}:
        return _numbers_as_text(values, type_)
    if type_.kind is Kind.INT and classes == {int}:
        return _ints(values)
    return _floats(values) if type_.kind is Kind.FLOAT and classes == {float} else None


def _texts(values: Sequence[str | None], empty_is_null: bool, strings: Strings) -> Column | None:
    try:
        "".join([value for value in values if value is not None]).encode()
    except UnicodeEncodeError:  # half of a surrogate pair somewhere
        return None
    if empty_is_null and "" in values:
        values = [value or None for value in values]
    return strings.codes(values)


def _numbers_as_text(values: Sequence[str], type_: Type) -> Column | None:
    null = None
    if type_.optional and "" in values:
        null = np.array([not value for value in values])
        values = [value or "0" for value in values]
    whole = type_.kind is Kind.INT
    if not set("".join(values)) <= (_DIGITS if whole else _NUMERIC):
        return None
    column: Any
    try:
        column = _ints(list(map(int, values))) if whole else _floats(list(map(float, values)))
    except ValueError:
        return None
    if column is not None and null is not None:
        column[null] = NULL if whole else np.nan
    return column  # type: ignore[no-any-return]  # a column or None


def _ints(values: Sequence[int]) -> Column | None:
    try:
        column = np.array(values, np.int64)
    except OverflowError:
        return None
    return column if (column >= -INT_MAX).all() else None


def _floats(values: Sequence[float]) -> Column | None:
    column = np.array(values, np.float64)
    return column if np.isfinite(column).all() else None
