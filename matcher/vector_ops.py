"""The operators of expressions on whole columns; `matcher.evaluate` is their meaning.

A value that is not a bool is an array in storage form, or a scalar of the same form for a constant:
null is the sentinel, so the operators keep it where they would lose it.  A bool is a `Truth`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matcher.strings import NULL

Values: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]
LazyMask: TypeAlias = Callable[[], Mask] | None


class Truth:
    """Three-valued bools: `values` is True where true; `null` where unknown, found when needed.

    `values` is False where null.  `never_null` says so without a look.
    """

    __slots__ = ("_lazy", "_null", "values")

    def __init__(self, values: Mask, lazy_null: LazyMask = None) -> None:
        self.values = values
        self._lazy = lazy_null
        self._null: Mask | None = None

    @property
    def never_null(self) -> bool:
        return self._lazy is None

    @property
    def null(self) -> Mask:
        if self._null is None:
            self._null = np.zeros_like(self.values) if self._lazy is None else self._lazy()
        return self._null


def is_null(x: Values) -> Mask:
    """Where a column in storage form is null."""
    return np.isnan(x) if x.dtype == np.float64 else x == NULL


# --------------------------------------------------------------------------------- three values


def truth_of_column(x: Values) -> Truth:
    return Truth(x == 1, lambda: x == NULL)


def column_of_truth(x: Truth) -> NDArray[np.int64]:
    column = x.values.astype(np.int64)
    return column if x.never_null else np.where(x.null, NULL, column)


def logical_and(x: Truth, y: Truth) -> Truth:
    values = x.values & y.values
    if x.never_null and y.never_null:
        return Truth(values)
    return Truth(values, lambda: (x.values | x.null) & (y.values | y.null) & ~values)


def logical_or(x: Truth, y: Truth) -> Truth:
    values = x.values | y.values
    if x.never_null and y.never_null:
        return Truth(values)
    return Truth(values, lambda: (x.null | y.null) & ~values)


def logical_not(x: Truth) -> Truth:
    if x.never_null:
        return Truth(~x.values)
    return Truth(~(x.values | x.null), lambda: x.null)


# --------------------------------------------------------------------------------- comparison

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def compare(op: str, x: Values, y: Values, x_nullable: bool, y_nullable: bool) -> Truth:
    """x op y; the flags say whether a side can be null at all."""
    values = _COMPARE[op](x, y)
    if not (x_nullable or y_nullable):
        return Truth(values)

    def null() -> Mask:
        if x_nullable and y_nullable:
            return is_null(x) | is_null(y)
        return is_null(x) if x_nullable else is_null(y)

    if _false_with_null(op, x, x_nullable, y_nullable):
        return Truth(values, null)
    found = null()
    return Truth(values & ~found, lambda: found)


def _false_with_null(op: str, x: Values, x_nullable: bool, y_nullable: bool) -> bool:
    """Whether the plain comparison of sentinels is false anyway: NULL is the least int64."""
    if x.dtype == np.float64:
        return op != "ne"
    match op:
        case "eq":
            return not (x_nullable and y_nullable)
        case "gt" | "ge":
            return not y_nullable
        case "lt" | "le":
            return not x_nullable
    return False


def compare_truths(op: str, x: Truth, y: Truth) -> Truth:
    """eq and ne of bools."""
    values = x.values == y.values if op == "eq" else x.values != y.values
    if x.never_null and y.never_null:
        return Truth(values)
    null = x.null | y.null
    return Truth(values & ~null, lambda: null)


def same(x: Values, y: Values) -> Truth:
    if x.dtype == np.float64:
        return Truth((x == y) | (np.isnan(x) & np.isnan(y)))
    return Truth(x == y)


def same_truths(x: Truth, y: Truth) -> Truth:
    return Truth((x.values == y.values) & (x.null == y.null))


# --------------------------------------------------------------------------------- choice


def coalesce(x: Values, y: Values) -> Values:
    return np.where(is_null(x), y, x)


def coalesce_truths(x: Truth, y: Truth) -> Truth:
    return Truth(x.values | (x.null & y.values), lambda: x.null & y.null)


def choose(condition: Truth, x: Values, y: Values) -> Values:
    return np.where(condition.values, x, y)


def choose_truths(condition: Truth, x: Truth, y: Truth) -> Truth:
    values = np.where(condition.values, x.values, y.values)
    return Truth(values, lambda: np.where(condition.values, x.null, y.null))


# --------------------------------------------------------------------------------- arithmetic


_quiet = np.errstate(all="ignore")  # overflow and the like are null or infinite, not news


@_quiet
def add(x: Values, y: Values) -> Values:
    total = x + y
    if total.dtype == np.float64:
        return total
    overflow = ((x ^ total) & (y ^ total)) < 0
    return np.where(overflow | is_null(x) | is_null(y), NULL, total)


@_quiet
def subtract(x: Values, y: Values) -> Values:
    difference = x - y
    if difference.dtype == np.float64:
        return difference
    overflow = ((x ^ y) & (x ^ difference)) < 0
    return np.where(overflow | is_null(x) | is_null(y), NULL, difference)


@_quiet
def multiply(x: Values, y: Values) -> Values:
    product = x * y
    if product.dtype == np.float64:
        return product
    product = np.where(is_null(x) | is_null(y), NULL, product)
    size = np.abs(x.astype(np.float64) * y.astype(np.float64))
    unsure = (size > 2.0**62) & (product != NULL)
    if unsure.any():  # near or beyond 64 bits: again, exactly
        product = np.atleast_1d(product)
        xs, ys = np.broadcast_arrays(np.atleast_1d(x), np.atleast_1d(y))
        for i in np.flatnonzero(unsure):
            exact = int(xs[i]) * int(ys[i])
            product[i] = exact if abs(exact) < -NULL else NULL
        return product if size.ndim else product[0]
    return product


@_quiet
def divide(x: Values, y: Values) -> Values:
    """Of floats."""
    return np.where(y == 0, np.nan, x / y)


@_quiet
def modulo(x: Values, y: Values) -> Values:
    if x.dtype == np.float64:
        return np.mod(x, y)
    null = (y == 0) | is_null(x) | is_null(y)
    return np.where(null, NULL, np.mod(np.where(null, 0, x), np.where(null, 1, y)))


@_quiet
def negate(x: Values) -> Values:
    return -x  # the sentinel is its own negative


@_quiet
def absolute(x: Values) -> Values:
    return np.abs(x)  # the sentinel is its own magnitude


def least(x: Values, y: Values) -> Values:
    return np.minimum(x, y)  # of int64 the sentinel is the least; NaN goes through


def greatest(x: Values, y: Values) -> Values:
    if x.dtype == np.float64:
        return np.maximum(x, y)
    return np.where(is_null(x) | is_null(y), NULL, np.maximum(x, y))


@_quiet
def to_float(x: Values, scale: int) -> Values:
    number = x.astype(np.float64)
    return np.where(is_null(x), np.nan, number / float(10**scale) if scale else number)


@_quiet
def to_int(x: Values) -> Values:
    """Floats cut off towards zero; null beyond 64 bits."""
    fits = np.abs(x) < 2.0**63
    return np.where(fits, np.trunc(np.where(fits, x, 0.0)).astype(np.int64), NULL)


@_quiet
def square_root(x: Values) -> Values:
    return np.sqrt(x)  # of a negative number: not a number


ROUND: dict[str, Callable[[Any], Any]] = {"floor": np.floor, "ceil": np.ceil, "round": np.rint}
ARITHMETIC: dict[str, Callable[..., Values]] = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "div": divide,
    "mod": modulo,
    "neg": negate,
    "abs": absolute,
    "min2": least,
    "max2": greatest,
    "to_int": to_int,
    "sqrt": square_root,
}
