"""`any`, `all`, `median` and `zscore`: put together from the aggregates of `dsl.operators`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.aggregates import Values, aggregated, values_of
from dsl.check.special import unnamed
from dsl.check.typing import BOOL, FLOAT, INT, NUMBERS, name_of, to_float
from dsl.model import Aggregate, Call, Const, Expr, Kind

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_FLOAT_MAYBE = replace(FLOAT, optional=True)


def any_or_all(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`any(a.x > 3)`: true for at least one event; `all(a.x > 3)`: for every one."""
    assert isinstance(node.function, ast.Variable), "only names are called"
    name = node.function.name
    values = unnamed(checker, node, 1, 1)
    of_step = values_of(checker, node, name, values[0]) if values else None
    if of_step is None:
        return None
    if of_step.value.type.kind is not Kind.BOOL:
        message = f"`{name}` takes a condition, and this is {name_of(of_step.value.type)}"
        return checker.error("E022", message, values[0].span, f"e.g. `{name}(a.x > 3)`")
    holds = aggregated(of_step, "count", node.span)
    if name == "any":
        return Call(BOOL, "gt", (holds, Const(INT, 0, node.span)), node.span)
    every = Aggregate(INT, "count", of_step.step.index, None, of_step.own, node.span)
    return Call(BOOL, "eq", (holds, every), node.span)


def median(checker: Checker, node: ast.Invoke) -> Expr | None:
    values = unnamed(checker, node, 1, 1)
    of_step = _numbers(checker, node, "median", values[0]) if values else None
    return None if of_step is None else aggregated(of_step, "quantile", node.span, 0.5)


def zscore(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`zscore(x, a.x)`: how many standard deviations x lies above the mean of a.x.

    `zscore(a.x)` is that of the last value among all of them.
    """
    values = unnamed(checker, node, 1, 2)
    of_step = _numbers(checker, node, "zscore", values[-1]) if values else None
    if of_step is None:
        return None
    value: Expr | None = aggregated(of_step, "last", node.span)
    if len(values) == 2:
        value = checker.check(values[0])
        if value is None:
            return None
        if value.type.kind not in NUMBERS:
            message = f"`zscore` takes a number, and this is {name_of(value.type)}"
            return checker.error("E022", message, values[0].span)
    elif of_step.own:
        value = of_step.value
    assert value is not None, "an aggregate, or checked above"
    mean = aggregated(of_step, "avg", node.span)
    spread = aggregated(of_step, "stddev", node.span)
    above = Call(_FLOAT_MAYBE, "sub", (to_float(value), mean), node.span)
    return Call(_FLOAT_MAYBE, "div", (above, spread), node.span)


def _numbers(checker: Checker, node: ast.Invoke, name: str, value: ast.Expression) -> Values | None:
    of_step = values_of(checker, node, name, value)
    if of_step is None:
        return None
    if of_step.value.type.kind not in NUMBERS:
        message = f"`{name}` cannot take {name_of(of_step.value.type)}"
        checker.error("E022", message, value.span)
        return None
    number = to_float(of_step.value)
    return replace(of_step, value=number, path=of_step.path if number is of_step.value else None)
