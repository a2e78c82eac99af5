"""Functions of time: calendar parts in a time zone, business hours, rounding down."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.typing import BOOL, DURATION, INT, STRING, fold, optional
from dsl.diagnostics import did_you_mean
from dsl.functions import ZONE, Parameter
from dsl.model import Call, Const, Expr, Kind, Type
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_TIME = Parameter("time", frozenset({Kind.TIMESTAMP}))
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = frozenset({Kind.DURATION})


@cache
def zones() -> frozenset[str]:
    """The names of all time zones; those of the package `tzdata`, whatever the machine has."""
    from importlib.resources import files  # loaded only for rules that name time zones

    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def checked_zone(checker: Checker, node: ast.Expression, expr: Expr) -> Expr | None:
    name = expr.value if isinstance(expr, Const) else None
    if name in zones():
        return expr
    nearest = did_you_mean(str(name), (z for z in zones() if z[:1] == str(name)[:1]))
    hint = nearest or 'e.g. "Europe/Paris" or "UTC"'
    return checker.error("E023", f"`{name}` is not a time zone", node.span, hint)


def _arguments(
    checker: Checker, node: ast.Invoke, *parameters: Parameter
) -> list[Expr | None] | None:
    """Each argument checked, None where it is left out; None after reporting."""
    from dsl.check.functions import matched, passed

    assert isinstance(node.function, ast.Variable), "only names are called"
    name = node.function.name
    given = matched(checker, node, name, parameters)
    if given is None:
        return None
    found = [
        None if argument is None else passed(checker, name, parameter, argument)
        for parameter, argument in zip(parameters, given, strict=True)
    ]
    wrong = [g is not None and f is None for g, f in zip(given, found, strict=True)]
    return None if any(wrong) else found


def _part(op: str, time: Expr, zone: Expr | None, span: Span) -> Call:
    kind = Kind.DURATION if op == "time_of_day" else Kind.INT
    args = (time, zone or Const(STRING, "UTC", span))
    return Call(Type(kind, optional=True), op, args, span)


def date(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`date(time [, zone])`: the day as `2024-12-10`."""
    found = _arguments(checker, node, _TIME, ZONE)
    if found is None or found[0] is None:
        return None
    day = _part("local_day", found[0], found[1], node.span)
    return Call(Type(Kind.STRING, optional=True), "day_text", (day,), node.span)


def is_weekend(checker: Checker, node: ast.Invoke) -> Expr | None:
    found = _arguments(checker, node, _TIME, ZONE)
    if found is None or found[0] is None:
        return None
    return _among_days(_part("weekday", found[0], found[1], node.span), (6, 7), node.span)


def business_hours(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`business_hours(time [, zone, opens, closes, days])`.

    From `opens` (9h) to before `closes` (17h) on `days` ("mon-fri"), by the clock of the zone.  A
    shift over midnight (`opens` after `closes`) counts with each day's own hours.
    """
    opens = Parameter("opens", _CLOCK, required=False)
    closes = Parameter("closes", _CLOCK, required=False)
    days = Parameter("days", frozenset({Kind.STRING}), literal=True, required=False)
    found = _arguments(checker, node, _TIME, ZONE, opens, closes, days)
    if found is None or found[0] is None:
        return None
    span = node.span
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    if isinstance(found[4], Const):
        parsed = _weekdays(str(found[4].value))
        if parsed is None:
            message = f"`{found[4].value}` does not say which days"
            return checker.error("E023", message, found[4].span, 'e.g. "mon-fri" or "sat,sun"')
        weekdays = parsed
    begin = found[2] or Const(DURATION, 9 * 3_600_000, span)
    end = found[3] or Const(DURATION, 17 * 3_600_000, span)
    clock = _part("time_of_day", found[0], found[1], span)
    from_begin = Call(optional(BOOL, clock, begin), "ge", (clock, begin), span)
    until_end = Call(optional(BOOL, clock, end), "lt", (clock, end), span)
    overnight = Call(optional(BOOL, begin, end), "gt", (begin, end), span)
    if isinstance(begin, Const) and isinstance(end, Const):
        over_midnight = _ms(begin) > _ms(end)
        hours: Expr = fold("or" if over_midnight else "and", [from_begin, until_end], span)
    else:
        either, both = (fold(op, [from_begin, until_end], span) for op in ("or", "and"))
        hours = Call(optional(BOOL, either), "if", (overnight, either, both), span)
    weekday = _part("weekday", found[0], found[1], span)
    return fold("and", [_among_days(weekday, weekdays, span), hours], span)


def truncate(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`truncate(time, 5m)`: the last multiple of the duration since 1970, in UTC."""
    step = Parameter("step", _CLOCK)
    found = _arguments(checker, node, _TIME, step)
    if found is None or found[0] is None or found[1] is None:
        return None
    if isinstance(found[1], Const) and _ms(found[1]) <= 0:
        return checker.error("E023", "a step of no time", found[1].span)
    rest = Call(Type(Kind.DURATION, optional=True), "mod", (found[0], found[1]), node.span)
    return Call(Type(Kind.TIMESTAMP, optional=True), "sub", (found[0], rest), node.span)


def _ms(expr: Const) -> int:
    return expr.value if isinstance(expr.value, int) else 0


def _among_days(weekday: Call, days: tuple[int, ...], span: Span) -> Expr:
    listed = Const(Type(Kind.LIST, item=INT), days, span)
    return Call(optional(BOOL, weekday), "in", (weekday, listed), span)


def _weekdays(text: str) -> tuple[int, ...] | None:
    """`mon-fri,sun` as 1 for Monday to 7 for Sunday; a range may go over the end of the week."""
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            return None
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update(day % 7 + 1 for day in range(begin, begin + (end - begin) % 7 + 1))
    return tuple(sorted(found))
