"""The value of an expression for one event and what is bound: naive, for one row, obviously right.

    evaluate(expr, environment) = the scalar, or None for null

The reference matcher and message rendering use it; the vectorised and compiled evaluators must
equal it.  Nothing raises on data: overflow of 64 bits, division by zero and NaN are null, and null
in gives null out, except in the operators that are about null (`NULL_AWARE`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from dsl.model import WINDOW, Aggregate, Call, Const, Expr, FieldRef, KeyRef
from dsl.operators import LOOKUPS
from dsl.registered import REGISTERED
from matcher import dates, statistics
from matcher import text_functions as texts
from matcher.geo import distance_km
from matcher.lookup.history import Rows
from matcher.record import Record
from matcher.shown import shown
from matcher.text_functions import TEXT_TEST, TEXT_TO_TEXT
from matcher.timestamps import timestamp_ms

INT_MAX = 2**63 - 1  # the least int64 is the sentinel of null


@dataclass(frozen=True, slots=True)
class Environment:
    """`own` is the event being tested; `bound` the events of each step, in binding order.

    `values` holds aggregates over a window that were computed while its events were at hand.
    `rows` is needed where something is looked up, and then the log positions of the events too:
    `positions` has those of `bound`, `last_position` is that of the event bound last.
    """

    own: Record | None
    bound: Mapping[int, Sequence[Record]]
    key: tuple[object, ...]
    rows: Rows | None = None
    own_position: int = 0
    positions: Mapping[int, Sequence[int]] = field(default_factory=dict)
    last_position: int = 0
    values: Mapping[Aggregate, object] = field(default_factory=dict)


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
            if env.values and expr in env.values:
                return env.values[expr]
            return aggregate(expr, env.bound.get(expr.step, ()), env)
        case Call() if expr.op in LOOKUPS:
            return _look_up(expr, env)
        case Call():
            return apply(expr, [evaluate(argument, env) for argument in expr.args])


# ----------------------------------------------------------------------------------- look-ups


def _look_up(call: Call, env: Environment) -> object:
    """`lookup(table, field, key …)` or `listed(table, key …)`, as of the position that counts.

    That is the position of the event whose fields the key reads.  When it reads several events, or
    none, as a part of the rule's key does, it is that of the event being tested, or else of the one
    bound last.
    """
    now = env.own_position if env.own is not None else env.last_position
    if call.op == "position":
        return now if env.rows is not None else None
    names, parts = lookup_parts(call)
    key = tuple(evaluate(part, env) for part in parts)
    events = _events_read(parts)
    if len(events) == 1:
        (step,) = events
        if step is not None and env.positions.get(step):
            now = env.positions[step][-1]
    return found_row(env.rows, names, key, now)


def lookup_parts(call: Call) -> tuple[list[str], tuple[Expr, ...]]:
    """(the names of the table and, of a `lookup`, the field; the parts of the key)."""
    names = 2 if call.op == "lookup" else 1
    texts = [str(argument.value) for argument in call.args[:names] if isinstance(argument, Const)]
    return texts, call.args[names:]


def found_row(
    rows: Rows | None, names: Sequence[str], key: tuple[object, ...], position: int
) -> object:
    """A field of the row, or whether there is one; null where a part of the key is."""
    if any(part is None for part in key):
        return None
    assert rows is not None, "a look-up where there are no tables"
    if len(names) > 1:
        return rows.value(names[0], names[1], key, position)
    return rows.holds(names[0], key, position)


def _events_read(parts: Sequence[Expr]) -> set[int | None]:
    """The steps whose fields are read, None for the event being tested; -1 for aggregates."""
    events: set[int | None] = set()
    pending = list(parts)
    while pending:
        match pending.pop():
            case FieldRef(step=step):
                events.add(step)
            case Aggregate():
                events.add(-1)
            case Call(args=args):
                pending.extend(args)
    return events


# ----------------------------------------------------------------------------------- aggregates


def aggregate(expr: Aggregate, events: Sequence[Record], env: Environment) -> object:
    """The aggregate over `events`; a `count` of neither a field nor a value counts events.

    `env` knows where the events are in the log, and rows to look up.
    """
    if expr.path is not None:
        return of_values(expr, [event.get(expr.path) for event in events])
    if expr.value is not None:
        positions = env.positions.get(expr.step) or [0] * len(events)
        alone = [
            Environment(event, {}, (), env.rows, position, {}, position)
            for event, position in zip(events, positions, strict=True)
        ]
        return of_values(expr, [evaluate(expr.value, event) for event in alone])
    assert expr.function == "count"
    return len(events)


def of_values(expr: Aggregate, values: Sequence[object]) -> object:
    """The aggregate over the values of a step's events, in binding order.

    All but first, last, nth and prev, which are of one event, leave out nulls; all but counts and
    lists are null over nothing.  Sums add in binding order, and one that leaves 64 bits on the way
    is null; over a window, where values leave again, they are exact: a sum of ints is null only
    when the total has no place in 64 bits, one of floats is the float nearest to the total.  The
    average of decimals is their exact sum, as a float, by their count; `type.scale` of an average
    is the scale of the field.
    """
    known: list[Any] = [value for value in values if value is not None]
    match expr.function:
        case "list":
            return tuple(known)
        case "first":
            return values[0] if values else None
        case "last":
            return values[-1] if values else None
        case "nth":
            place = int(expr.parameter or 0)
            return values[place] if place < len(values) else None
        case "prev":
            return values[-2] if len(values) > 1 else None
        case "count":
            return len(known)
        case "distinct":
            return len(set(known))
        case "min":
            return min(known, default=None)
        case "max":
            return max(known, default=None)
        case "sum":
            return _sum(known, expr.step)
        case "avg":
            total = _sum(known, expr.step)
            if total is None:
                return None
            return _number(to_float(total, expr.type.scale) / float(len(known)))
        case "stddev":
            return statistics.stddev(known)
        case "quantile":
            return statistics.quantile(known, float(expr.parameter or 0))
        case "top":
            return statistics.top(known, int(expr.parameter or 0))
    raise AssertionError(f"unknown aggregate {expr.function}")


def _sum(values: Sequence[object], step: int) -> int | float | None:
    total: int | float | None = None
    if step == WINDOW:
        return _exact_sum(values) if values else None
    for value in values:
        assert isinstance(value, int | float)
        total = value if total is None else _number(total + value)
        if total is None:
            return None
    return total


def _exact_sum(values: Sequence[Any]) -> int | float | None:
    """As if nothing was rounded but the result."""
    if all(isinstance(value, int) for value in values):
        return _number(sum(values))
    infinite = [value for value in values if math.isinf(value)]
    if infinite:
        return _number(sum(infinite))
    try:
        return math.fsum(values) + 0.0  # one zero
    except OverflowError:  # of some of the values, perhaps not of all
        total = sum(map(Fraction, values))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


# ------------------------------------------------------------------------------------ operators


def apply(call: Call, args: Sequence[object]) -> object:
    """The value of an operator for the values of its arguments."""
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
        except (ArithmeticError, ValueError):
            return None

    return strict


def _rounding(round_float: Callable[[float], float]) -> Callable[[Call, int | float], int | float]:
    def strict(_: Call, value: int | float) -> int | float:
        if isinstance(value, int) or not math.isfinite(value):
            return value
        return float(round_float(value))

    return strict


def _registered(_: Call, name: str, version: str, *args: object) -> object:
    return REGISTERED[name].call(args)


def _item(_: Call, items: tuple[object, ...], index: int) -> object:
    return items[index] if -len(items) <= index < len(items) else None


def _to_int(_: Call, value: float) -> int | None:
    """Cut off towards zero."""
    return int(value) if abs(value) < 2.0**63 else None


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
    "sqrt": _arithmetic(math.sqrt),
    "log": _arithmetic(math.log),
    "log10": _arithmetic(math.log10),
    "exp": _arithmetic(math.exp),
    "power": _arithmetic(math.pow),
    "distance_km": _arithmetic(distance_km),
    "eq": lambda _, x, y: x == y,
    "ne": lambda _, x, y: x != y,
    "lt": lambda _, x, y: x < y,
    "le": lambda _, x, y: x <= y,
    "gt": lambda _, x, y: x > y,
    "ge": lambda _, x, y: x >= y,
    "not": lambda _, x: not x,
    "in": _in,
    "to_float": lambda call, x: to_float(x, call.args[0].type.scale),
    "to_int": _to_int,
    "rescale": lambda call, x: _number(x * 10 ** (call.type.scale - call.args[0].type.scale)),
    "floor": _rounding(math.floor),
    "ceil": _rounding(math.ceil),
    "round": _rounding(round),  # a half goes to the even neighbour
    "round_to": lambda _, x, places: round(x, places),
    "length": lambda _, whole: len(whole),
    "item": _item,
    "concat": lambda _, *parts: texts.concat(*parts),
    "substring": lambda _, *args: texts.substring(*args),
    "replace": lambda _, *args: texts.replace(*args),
    "split": lambda _, *args: texts.split(*args),
    "join": lambda _, *args: texts.join(*args),
    "index_of": lambda _, *args: texts.index_of(*args),
    "extract": lambda _, *args: texts.extract(*args),
    "subnet": lambda _, *args: texts.subnet(*args),
    "is_private": lambda _, address: texts.is_private(address),
    "ip_version": lambda _, address: 6 if ":" in address else 4,
    "parse_int": lambda _, text: texts.parse_int(text),
    "parse_float": lambda _, text: texts.parse_float(text),
    "parse_timestamp": lambda _, text: timestamp_ms(text),
    "to_text": lambda call, value: shown(call.args[0].type, value),
    "day_text": lambda _, day: dates.day_text(day),
    "registered": _registered,
    **{op: lambda _, ms, zone, op=op: dates.part(op, ms, zone) for op in dates.PARTS},
    **{op: lambda _, text, convert=convert: convert(text) for op, convert in TEXT_TO_TEXT.items()},
    **{op: lambda _, x, y, test=test: test(x, y) for op, test in TEXT_TEST.items()},
}
