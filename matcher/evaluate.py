"""The value of an expression for one event and what is bound: naive, for one row, obviously right.

    evaluate(expr, environment) = the scalar, or None for null

The reference matcher and message rendering use it; the vectorised and compiled evaluators must
equal it.  Nothing raises on data: overflow of 64 bits, division by zero and NaN are null, and null
in gives null out, except in the operators that are about null (`NULL_AWARE`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dsl.model import Aggregate, Call, Const, Expr, FieldRef, KeyRef
from matcher.record import Record
from matcher.text_functions import TEXT_TEST, TEXT_TO_TEXT

INT_MAX = 2**63 - 1  # the least int64 is the sentinel of null


@dataclass(frozen=True, slots=True)
class Environment:
    """`own` is the event being tested; `bound` the events of each step, in binding order."""

    own: Record | None
    bound: Mapping[int, Sequence[Record]]
    key: tuple[object, ...]


def evaluate(expr: Expr, env: Environment) -> object:
    """See the module head.  A list is a tuple of scalars."""
    match expr:
        case Const():
            return expr.value
        case FieldRef():
            if expr.step is None:
                assert env.own is not None, "a field of the tested event where none is tested"
                return env.own.get(expr.path)
            events = env.bound.get(expr.step, ())
            return events[-1].get(expr.path) if events else None
        case KeyRef():
            return env.key[expr.index]
        case Aggregate():
            return aggregate(expr, env.bound.get(expr.step, ()))
        case Call():
            return _call(expr, [evaluate(argument, env) for argument in expr.args])


# ----------------------------------------------------------------------------------- aggregates


def aggregate(expr: Aggregate, events: Sequence[Record]) -> object:
    """The aggregate over `events`.

    count without a path counts events.  All but first and last, which are of one event, leave out
    nulls; sum, avg, min and max are null over nothing.  Sums add in binding order, and one that
    leaves 64 bits on the way is null.  The average of decimals is their exact sum, as a float, by
    their count; `type.scale` of an average is the scale of the field.
    """
    if expr.path is None:
        assert expr.function == "count"
        return len(events)
    values = [event.get(expr.path) for event in events]
    known = [value for value in values if value is not None]
    match expr.function:
        case "list":
            return tuple(known)
        case "first":
            return values[0] if values else None
        case "last":
            return values[-1] if values else None
        case "count":
            return len(known)
        case "distinct":
            return len(set(known))
        case "min":
            return min(known, default=None)  # type: ignore[type-var]  # one type per field
        case "max":
            return max(known, default=None)  # type: ignore[type-var]  # one type per field
        case "sum":
            return _sum(known)
        case "avg":
            total = _sum(known)
            if total is None:
                return None
            scale = expr.type.scale
            return _number(to_float(total, scale) / float(len(known)))
    raise AssertionError(f"unknown aggregate {expr.function}")


def _sum(values: Sequence[object]) -> int | float | None:
    total: int | float | None = None
    for value in values:
        assert isinstance(value, int | float)
        total = value if total is None else _number(total + value)
        if total is None:
            return None
    return total


# ------------------------------------------------------------------------------------ operators


def _call(call: Call, args: list[object]) -> object:
    aware = NULL_AWARE.get(call.op)
    if aware is not None:
        return aware(*args)
    if any(argument is None for argument in args):
        return None
    return STRICT[call.op](call, *args)


def _number(value: int | float) -> int | float | None:
    """`value`, or null if it has no place in a column: out of 64 bits, or not a number."""
    if isinstance(value, int):
        return value if -INT_MAX <= value <= INT_MAX else None
    return None if math.isnan(value) else value


def to_float(value: int | float, scale: int) -> float:
    """A number as a float; decimals are integers scaled by 10**scale."""
    return float(value) / float(10**scale) if scale else float(value)


def kleene_and(x: object, y: object) -> bool | None:
    if x is False or y is False:
        return False
    return None if x is None or y is None else True


def kleene_or(x: object, y: object) -> bool | None:
    if x is True or y is True:
        return True
    return None if x is None or y is None else False


def _in(_: Call, x: object, items: tuple[object, ...]) -> bool:
    return x in items  # no member that is null is equal to x, which is not null


NULL_AWARE: dict[str, Callable[..., object]] = {
    "and": kleene_and,
    "or": kleene_or,
    "is_null": lambda x: x is None,
    "exists": lambda x: x is not None,
    "is_same": lambda x, y: x == y,
    "coalesce": lambda x, y: y if x is None else x,
    "if": lambda condition, x, y: x if condition is True else y,
    "array": lambda *items: items,
}


def _arithmetic(compute: Callable[..., int | float]) -> Callable[..., object]:
    """`compute` on numbers; what has no place in a column is null."""

    def strict(_: Call, *args: int | float) -> int | float | None:
        try:
            return _number(compute(*args))
        except ZeroDivisionError:
            return None

    return strict


def _rounding(round_float: Callable[[float], float]) -> Callable[[Call, int | float], int | float]:
    def strict(_: Call, value: int | float) -> int | float:
        if isinstance(value, int) or not math.isfinite(value):
            return value
        return float(round_float(value))

    return strict


STRICT: dict[str, Callable[..., object]] = {
    "add": _arithmetic(lambda x, y: x + y),
    "sub": _arithmetic(lambda x, y: x - y),
    "mul": _arithmetic(lambda x, y: x * y),
    "div": _arithmetic(lambda x, y: x / y),
    "mod": _arithmetic(lambda x, y: x % y),
    "neg": _arithmetic(lambda x: -x),
    "abs": _arithmetic(abs),
    "min2": _arithmetic(min),
    "max2": _arithmetic(max),
    "eq": lambda _, x, y: x == y,
    "ne": lambda _, x, y: x != y,
    "lt": lambda _, x, y: x < y,
    "le": lambda _, x, y: x <= y,
    "gt": lambda _, x, y: x > y,
    "ge": lambda _, x, y: x >= y,
    "not": lambda _, x: not x,
    "in": _in,
    "to_float": lambda call, x: to_float(x, call.args[0].type.scale),
    "rescale": lambda call, x: _number(x * 10 ** (call.type.scale - call.args[0].type.scale)),
    "floor": _rounding(math.floor),
    "ceil": _rounding(math.ceil),
    "round": _rounding(round),  # a half goes to the even neighbour
    "length": lambda _, text: len(text),
    **{op: lambda _, text, convert=convert: convert(text) for op, convert in TEXT_TO_TEXT.items()},
    **{op: lambda _, x, y, test=test: test(x, y) for op, test in TEXT_TEST.items()},
}
