"""Functions with rules of their own: overloaded, with any number of arguments, or of literals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsl import ast, limits
from dsl.check.membership import in_list, in_network
from dsl.check.regexes import regex_groups, regex_problem
from dsl.check.typing import (
    BOOL,
    INT,
    NUMBERS,
    ORDERED,
    STRING,
    adapt,
    fold,
    joined,
    literal,
    name_of,
    optional,
    to_float,
    unify,
)
from dsl.diagnostics import one_of
from dsl.functions import TEXT
from dsl.model import Call, Const, Expr, Kind, Type

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

STRING_MAYBE = Type(Kind.STRING, optional=True)
TIMESTAMP = Type(Kind.TIMESTAMP)


def unnamed(checker: Checker, node: ast.Invoke, least: int, most: int) -> list[ast.Expression]:
    """The arguments, if they are without names and as many as wanted; else [] after reporting."""
    assert isinstance(node.function, ast.Variable), "only names are called"
    name = node.function.name
    for argument in node.arguments:
        if argument.name is not None:
            checker.error("E022", f"`{name}` takes no named arguments", argument.span)
            return []
    if least <= len(node.arguments) <= most:
        return [argument.value for argument in node.arguments]
    count = f"{least}" if least == most else f"{least} to {most}"
    if most >= limits.DECLARATION_TOKENS_MAX:
        count = f"at least {least}"
    takes = f"{count} argument{'s' if most != 1 else ''}"
    checker.error("E022", f"`{name}` takes {takes}, not {len(node.arguments)}", node.span)
    return []


def wrong(
    checker: Checker, node: ast.Invoke, wanted: str, argument: ast.Expression, expr: Expr
) -> None:
    """Reports an argument of the wrong type."""
    assert isinstance(node.function, ast.Variable), "only names are called"
    message = f"`{node.function.name}` takes {wanted}, and this is {name_of(expr.type)}"
    checker.error("E022", message, argument.span)


def contains(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`contains(text, part)` or `contains(list, item)`."""
    values = unnamed(checker, node, 2, 2)
    if not values:
        return None
    whole = checker.listed(values[0])
    if whole is None:
        return None
    if whole.type.kind is Kind.LIST:
        return in_list(checker, values[1], values[0], whole, node.span)
    part = checker.check(values[1])
    if part is None:
        return None
    for argument, expr in zip(values, (whole, part), strict=True):
        if expr.type.kind not in TEXT:
            wrong(checker, node, "a string or a list", argument, expr)
            return None
    return Call(optional(BOOL, whole, part), "contains", (whole, part), node.span)


def concat(checker: Checker, node: ast.Invoke) -> Expr | None:
    values = unnamed(checker, node, 2, limits.DECLARATION_TOKENS_MAX)
    operands = checker.operands(*values) if values else None
    if operands is None:
        return None
    for argument, expr in operands:
        if expr.type.kind not in TEXT:
            wrong(checker, node, "strings", argument, expr)
            return None
    return Call(STRING_MAYBE, "concat", tuple(expr for _, expr in operands), node.span)


def extract(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`extract(text, "pattern" [, group])`: the first group if there is one, else all of it."""
    values = unnamed(checker, node, 2, 3)
    if not values:
        return None
    text, pattern = checker.check(values[0]), values[1]
    if text is None:
        return None
    if text.type.kind not in TEXT:
        wrong(checker, node, "a string", values[0], text)
        return None
    if not isinstance(pattern, ast.String):
        return checker.error("E026", "the pattern must be written as a literal", pattern.span)
    problem = regex_problem(pattern.value, "")
    if problem is not None:
        return checker.error("E025", problem, pattern.span)
    groups = regex_groups(pattern.value)
    group = literal(values[2]) if len(values) == 3 else min(groups, 1)
    if not isinstance(group, int) or not 0 <= group <= groups:
        message = f"the group is a number from 0 to {groups}, the groups of the pattern"
        return checker.error("E023", message, values[2].span)
    place = pattern.span
    args = (text, Const(STRING, pattern.value, place), Const(INT, group, place))
    return Call(STRING_MAYBE, "extract", args, node.span)


def round_(checker: Checker, node: ast.Invoke) -> Expr | None:
    values = unnamed(checker, node, 1, 2)
    number = checker.check(values[0]) if values else None
    if number is None:
        return None
    if number.type.kind not in NUMBERS:
        wrong(checker, node, "a number", values[0], number)
        return None
    if number.type.kind is Kind.DECIMAL or len(values) == 2:
        number = to_float(number)
    if len(values) == 1:
        return Call(number.type, "round", (number,), node.span)
    places = literal(values[1])
    if not isinstance(places, int) or not 0 <= places <= limits.DECIMAL_SCALE_MAX:
        message = f"the places are a number from 0 to {limits.DECIMAL_SCALE_MAX}"
        return checker.error("E023", message, values[1].span)
    return Call(number.type, "round_to", (number, Const(INT, places, values[1].span)), node.span)


def to_int(checker: Checker, node: ast.Invoke) -> Expr | None:
    """Of a number, cut off towards zero; of a text, the number written there."""
    values = unnamed(checker, node, 1, 1)
    value = checker.check(values[0]) if values else None
    if value is None or value.type.kind is Kind.INT:
        return value
    maybe = Type(Kind.INT, optional=True)
    if value.type.kind in TEXT:
        return Call(maybe, "parse_int", (value,), node.span)
    if value.type.kind in NUMBERS:
        return Call(maybe, "to_int", (to_float(value),), node.span)
    wrong(checker, node, "a number or a string", values[0], value)
    return None


def to_float_(checker: Checker, node: ast.Invoke) -> Expr | None:
    values = unnamed(checker, node, 1, 1)
    value = checker.check(values[0]) if values else None
    if value is None or value.type.kind in NUMBERS:
        return None if value is None else to_float(value)
    if value.type.kind in TEXT:
        return Call(Type(Kind.FLOAT, optional=True), "parse_float", (value,), node.span)
    wrong(checker, node, "a number or a string", values[0], value)
    return None


def to_timestamp(checker: Checker, node: ast.Invoke) -> Expr | None:
    """Of a text in RFC 3339, or of whole ms since 1970."""
    values = unnamed(checker, node, 1, 1)
    value = checker.check(values[0]) if values else None
    if value is None:
        return None
    value = adapt(values[0], value, TIMESTAMP)
    if value.type.kind is Kind.TIMESTAMP:
        return value
    if value.type.kind in TEXT:
        return Call(Type(Kind.TIMESTAMP, optional=True), "parse_timestamp", (value,), node.span)
    if value.type.kind is Kind.INT:
        epoch = Const(TIMESTAMP, 0, node.span)
        return Call(optional(TIMESTAMP, value), "add", (epoch, value), node.span)
    wrong(checker, node, "a string, or ms as an int", values[0], value)
    return None


def extreme(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`min` and `max` of several values."""
    assert isinstance(node.function, ast.Variable), "only names are called"
    name = node.function.name
    values = unnamed(checker, node, 2, limits.DECLARATION_TOKENS_MAX)
    operands = checker.operands(*values) if values else None
    if operands is None:
        return None
    exprs = unify(operands)
    if exprs is None or exprs[0].type.kind not in ORDERED:
        types = one_of(dict.fromkeys(name_of(expr.type) for _, expr in operands))
        return checker.error("E022", f"`{name}` cannot compare {types}", node.span)
    least = exprs[0]
    for expr in exprs[1:]:
        least = Call(joined([least, expr]), f"{name}2", (least, expr), node.span)
    return least


def in_cidr(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`in_cidr(address, "10.0.0.0/8", …)`."""
    values = unnamed(checker, node, 2, limits.DECLARATION_TOKENS_MAX)
    operands = checker.operands(*values) if values else None
    if operands is None:
        return None
    address = adapt(values[0], operands[0][1], Type(Kind.IP))
    if address.type.kind is not Kind.IP:
        wrong(checker, node, "an ip", values[0], address)
        return None
    networks = [in_network(checker, address, n, expr, node.span) for n, expr in operands[1:]]
    found = [network for network in networks if network is not None]
    return fold("or", found, node.span) if len(found) == len(networks) else None
