"""Calls: functions of values, and aggregates over the events of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.aggregates import aggregate
from dsl.check.membership import in_network
from dsl.check.typing import FLOAT, ORDERED, adapt, joined, name_of, optional, to_float, unify
from dsl.diagnostics import one_of
from dsl.model import Call, Expr, Kind, Type
from dsl.operators import AGGREGATES, FUNCTIONS, LATER_FUNCTIONS

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_SPECIAL = ("in_cidr", "min", "max")
_INDEX_KINDS = {Kind.LIST, Kind.RECORD}


def call(checker: Checker, node: ast.Invoke) -> Expr | None:
    """A call to its typed form; None after reporting."""
    if not isinstance(node.function, ast.Variable):
        return checker.error("E012", "only a name can be called", node.function.span)
    name = node.function.name
    if name in LATER_FUNCTIONS:
        return checker.error("E090", f"`{name}` is not available yet", node.span)
    for argument in node.arguments:
        if argument.name is not None:
            return checker.error("E022", f"`{name}` takes no named arguments", argument.span)
    values = [argument.value for argument in node.arguments]
    if name in {"min", "max"} and len(values) > 1:
        return _extreme(checker, node, f"{name}2", values)
    if name in AGGREGATES:
        return aggregate(checker, node, name, values)
    if name == "in_cidr":
        return _in_cidr(checker, node, values)
    if name in FUNCTIONS:
        return _function(checker, node, name, values)
    known = [*FUNCTIONS, *AGGREGATES, *_SPECIAL]
    function = ast.Name(node.function.span, name)
    checker.context.unknown("E012", f"unknown function `{name}`", function, known)
    return None


def _function(
    checker: Checker, node: ast.Invoke, name: str, values: list[ast.Expression]
) -> Expr | None:
    function = FUNCTIONS[name]
    if not checker.takes(node, name, len(function.takes)):
        return None
    operands = checker.operands(*values)
    if operands is None:
        return None
    exprs = [expr for _, expr in operands]
    for argument, expr, kinds in zip(values, exprs, function.takes, strict=True):
        if expr.type.kind not in kinds:
            wanted = one_of(sorted(kind.value for kind in kinds if kind is not Kind.ENUM))
            message = f"`{name}` takes {wanted}, and this is {name_of(expr.type)}"
            return checker.error("E022", message, argument.span)
    type_ = exprs[0].type if function.gives is None else Type(function.gives)
    if name in {"floor", "ceil", "round"} and type_.kind is Kind.DECIMAL:
        exprs, type_ = [to_float(exprs[0])], FLOAT
    return Call(optional(type_, *exprs), function.op, tuple(exprs), node.span)


def _extreme(
    checker: Checker, node: ast.Invoke, op: str, values: list[ast.Expression]
) -> Expr | None:
    operands = checker.operands(*values)
    exprs = None if operands is None else unify(operands)
    if operands is None:
        return None
    if exprs is None or exprs[0].type.kind not in ORDERED:
        types = one_of(dict.fromkeys(name_of(expr.type) for _, expr in operands))
        return checker.error("E022", f"`{op[:-1]}` cannot compare {types}", node.span)
    least = exprs[0]
    for expr in exprs[1:]:
        least = Call(joined([least, expr]), op, (least, expr), node.span)
    return least


def _in_cidr(checker: Checker, node: ast.Invoke, values: list[ast.Expression]) -> Expr | None:
    if not checker.takes(node, "in_cidr", 2):
        return None
    operands = checker.operands(*values)
    if operands is None:
        return None
    address = adapt(values[0], operands[0][1], Type(Kind.IP))
    if address.type.kind is not Kind.IP:
        message = f"`in_cidr` takes an ip, and this is {name_of(address.type)}"
        return checker.error("E022", message, values[0].span)
    return in_network(checker, address, values[1], operands[1][1], node.span)
