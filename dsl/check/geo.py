"""`distance_km` and `speed_kmh` over records with a latitude and a longitude, or over numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.special import unnamed, wrong
from dsl.check.typing import FLOAT, NUMBERS, adapt, name_of, optional, to_float
from dsl.model import Aggregate, Call, Const, Expr, FieldRef, Kind, Type

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_LATITUDE = ("lat", "latitude")
_LONGITUDE = ("lon", "lng", "long", "longitude")
_HOUR_MS = 3_600_000.0
_FLOAT_MAYBE = Type(Kind.FLOAT, optional=True)
_DURATION_MAYBE = Type(Kind.DURATION, optional=True)


def distance_km(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`distance_km(a.geo, b.geo)`, or of the four numbers latitude, longitude, twice."""
    values = unnamed(checker, node, 2, 4)
    if not values:
        return None
    if len(values) == 3:
        hint = "two records {lat, lon}, or latitude, longitude, latitude, longitude"
        return checker.error("E022", "`distance_km` takes two places", node.span, hint)
    half = len(values) // 2
    first, second = _point(checker, node, values[:half]), _point(checker, node, values[half:])
    if first is None or second is None:
        return None
    return Call(_FLOAT_MAYBE, "distance_km", (*first, *second), node.span)


def speed_kmh(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`speed_kmh(a.geo, a.ts, b.geo, b.ts)`, or with two numbers for each place.

    What is less than a millisecond apart counts as one: sources that know the time only to the
    second still show who is in two cities at once.
    """
    values = unnamed(checker, node, 4, 6)
    if not values:
        return None
    if len(values) == 5:
        hint = "a place and a time, twice"
        return checker.error("E022", "`speed_kmh` takes two places and times", node.span, hint)
    half = len(values) // 2
    places = [values[: half - 1], values[half:-1]]
    points = [_point(checker, node, place) for place in places]
    times = [_time(checker, node, value) for value in (values[half - 1], values[-1])]
    if points[0] is None or points[1] is None or times[0] is None or times[1] is None:
        return None
    span = node.span
    distance = Call(_FLOAT_MAYBE, "distance_km", (*points[0], *points[1]), span)
    between = Call(_DURATION_MAYBE, "sub", (times[1], times[0]), span)
    apart = Call(_DURATION_MAYBE, "abs", (between,), span)
    least = Const(Type(Kind.DURATION), 1, span)
    apart = Call(_DURATION_MAYBE, "max2", (apart, least), span)
    hours = Call(_FLOAT_MAYBE, "div", (to_float(apart), Const(FLOAT, _HOUR_MS, span)), span)
    return Call(_FLOAT_MAYBE, "div", (distance, hours), span)


def _time(checker: Checker, node: ast.Invoke, value: ast.Expression) -> Expr | None:
    expr = checker.check(value)
    if expr is None:
        return None
    expr = adapt(value, expr, Type(Kind.TIMESTAMP))
    if expr.type.kind is Kind.TIMESTAMP:
        return expr
    wrong(checker, node, "a timestamp here", value, expr)
    return None


def _point(
    checker: Checker, node: ast.Invoke, values: list[ast.Expression]
) -> tuple[Expr, Expr] | None:
    """(latitude, longitude) of a record, or of two numbers."""
    if len(values) == 2:
        operands = checker.operands(*values)
        for value, expr in operands or ():
            if expr.type.kind not in NUMBERS:
                wrong(checker, node, "degrees", value, expr)
                return None
        return None if operands is None else (to_float(operands[0][1]), to_float(operands[1][1]))
    (value,) = values
    record = checker.any(value)
    if record is None:
        return None
    if record.type.kind is not Kind.RECORD or not isinstance(record, FieldRef | Aggregate):
        wrong(checker, node, "a record {lat, lon}", value, record)
        return None
    latitude, longitude = _degrees(record, _LATITUDE), _degrees(record, _LONGITUDE)
    if latitude is None or longitude is None:
        message = f"{name_of(record.type)} `{'.'.join(record.path or ())}` is no place"
        checker.error("E022", message, value.span, "it needs the numbers `lat` and `lon`")
        return None
    return latitude, longitude


def _degrees(record: FieldRef | Aggregate, names: tuple[str, ...]) -> Expr | None:
    for field in record.type.fields:
        if field.name in names and field.type.kind in NUMBERS:
            path = (*(record.path or ()), field.name)
            type_ = optional(field.type, record)
            type_ = replace(type_, optional=type_.optional or field.type.optional)
            return to_float(replace(record, type=type_, path=path))
    return None
