"""Arithmetic: of numbers, and of timestamps and durations, both whole numbers of milliseconds.

    timestamp - timestamp = duration        timestamp ± duration = timestamp
    duration ± duration = duration          duration * number, duration / number = duration
    duration / duration = number            duration % duration = duration

A product or quotient with a fraction is rounded to the nearest millisecond.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.typing import (
    NUMBERS,
    STRING,
    TEXTS,
    adapt,
    name_of,
    optional,
    to_float,
    unify_numbers,
)
from dsl.model import Call, Expr, Kind, Type
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker, Operands

ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_TIMESTAMP, _DURATION = Kind.TIMESTAMP, Kind.DURATION
_EXACT: dict[tuple[Kind, str, Kind], tuple[str, Kind]] = {
    (_TIMESTAMP, "-", _TIMESTAMP): ("sub", _DURATION),
    (_TIMESTAMP, "+", _DURATION): ("add", _TIMESTAMP),
    (_TIMESTAMP, "-", _DURATION): ("sub", _TIMESTAMP),
    (_DURATION, "+", _DURATION): ("add", _DURATION),
    (_DURATION, "-", _DURATION): ("sub", _DURATION),
    (_DURATION, "*", Kind.INT): ("mul", _DURATION),
    (_DURATION, "%", _DURATION): ("mod", _DURATION),
}


def arithmetic(checker: Checker, node: ast.Binary) -> Expr | None:
    """`+ - * / %`; `+` also joins texts."""
    operands = checker.operands(node.left, node.right)
    if operands is None:
        return None
    left, right = (expr for _, expr in operands)
    kinds = (left.type.kind, right.type.kind)
    if set(kinds) <= NUMBERS:
        return _numeric(node, operands)
    if node.op == "+" and set(kinds) <= TEXTS | {Kind.IP}:
        return Call(replace(STRING, optional=True), "concat", (left, right), node.span)
    found = _of_times(node.op, left, right, node.span)
    if found is not None:
        return found
    types = " and ".join(name_of(expr.type) for expr in (left, right))
    return checker.error("E020", f"`{node.op}` cannot take {types}", node.span, _sum_advice(kinds))


def _numeric(node: ast.Binary, operands: Operands) -> Expr:
    op = ARITHMETIC[node.op]
    left, right = (expr for _, expr in operands)
    exact = {left.type.kind, right.type.kind} == {Kind.INT}
    if op in {"add", "sub"}:
        (a, x), (b, y) = operands
        x, y = adapt(a, x, y.type), adapt(b, y, x.type)
        both = unify_numbers([x, y])
    elif op == "div" or not exact:
        both = [to_float(left), to_float(right)]
    else:
        both = [left, right]
    type_ = optional(both[0].type, *both)
    if op in {"div", "mod"}:
        type_ = replace(type_, optional=True)
    return Call(type_, op, tuple(both), node.span)


def _of_times(op: str, left: Expr, right: Expr, span: Span) -> Expr | None:
    """The typed operation; None if the operands have no such arithmetic."""
    if (
        op in {"+", "*"}
        and right.type.kind in {_TIMESTAMP, _DURATION}
        and (left.type.kind in NUMBERS or right.type.kind is _TIMESTAMP)
    ):
        left, right = right, left
    kinds = (left.type.kind, op, right.type.kind)
    if kinds in _EXACT:
        name, kind = _EXACT[kinds]
        type_ = optional(Type(kind), left, right)
        if name == "mod":
            type_ = Type(kind, optional=True)
        return Call(type_, name, (left, right), span)
    if left.type.kind is not _DURATION or op not in {"*", "/"}:
        return None
    name = "mul" if op == "*" else "div"
    maybe = Type(Kind.FLOAT, optional=True)
    if right.type.kind in NUMBERS:
        product = Call(maybe, name, (to_float(left), to_float(right)), span)
        whole = Call(maybe, "round", (product,), span)
        return Call(Type(_DURATION, optional=True), "to_int", (whole,), span)
    if right.type.kind is _DURATION and op == "/":
        return Call(maybe, "div", (to_float(left), to_float(right)), span)
    return None


def _sum_advice(kinds: tuple[Kind, Kind]) -> str | None:
    if set(kinds) & TEXTS:
        return "`string(x)` is a value as text"
    if {Kind.TIMESTAMP, Kind.DURATION} & set(kinds) and set(kinds) & NUMBERS:
        return "durations have a unit: `5m`"
    return None
