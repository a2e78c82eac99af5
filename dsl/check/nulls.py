"""Where null makes a condition silently not true: for the warnings about `!=` and `not`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dsl import ast
from dsl.check.scope import Scope, chain
from dsl.diagnostics import Diagnostic
from dsl.model import Call, Expr, FieldRef, Path
from dsl.source import Span

Place: TypeAlias = tuple[int | None, Path]
"""A field of a step, or of the event being tested (None)."""

_ABOUT_NULL = frozenset({"is_null", "exists", "is_same", "coalesce", "if", "and", "or", "array"})


@dataclass(frozen=True, slots=True)
class Doubt:
    """A warning that stands unless something beside it rules the field's null out."""

    field: FieldRef
    warning: Diagnostic


def doubts_of_unequal(operands: list[Expr], span: Span) -> list[Doubt]:
    """About `!=` at `span`."""
    found = []
    for operand in operands:
        if isinstance(operand, FieldRef) and operand.type.optional:
            name = operand.path[0] if operand.derived else ".".join(operand.path)
            message = f"`{name}` may be null, and then `!=` is not true"
            hint = f"`is not` is true for null; or say `exists {name} and …`"
            found.append(Doubt(operand, Diagnostic("W002", message, span, hint)))
    return found


def doubts_of_not(operand: Expr, span: Span) -> list[Doubt]:
    """About `not` at `span`."""
    field = first_null(operand)
    if field is None:
        return []
    name = field.path[0] if field.derived else ".".join(field.path)
    message = f"`{name}` may be null, and then `not` is not true"
    hint = f"say `{name} is null or …`, or `exists {name} and …`"
    if field is operand:
        hint = f"`not ({name} ?? false)` is"
    return [Doubt(field, Diagnostic("W002", message, span, hint))]


def undecided(doubts: list[Doubt], known: frozenset[Place]) -> list[Doubt]:
    """Those that stand where the fields `known` are not null."""
    return [doubt for doubt in doubts if may_be_null(doubt.field, known)]


def may_be_null(field: FieldRef, known: frozenset[Place]) -> bool:
    """Whether the field can be null where the fields `known`, and what is inside them, are not."""
    inside = [(field.step, field.path[:size]) for size in range(1, len(field.path) + 1)]
    return field.type.optional and not any(place in known for place in inside)


def first_null(expr: Expr) -> FieldRef | None:
    """A field that may be null and whose null makes all of `expr` null."""
    if isinstance(expr, FieldRef):
        return expr if expr.type.optional else None
    if isinstance(expr, Call) and expr.op not in _ABOUT_NULL:
        found = (first_null(arg) for arg in expr.args)
        return next((field for field in found if field is not None), None)
    return None


def known_when_true(expr: Expr) -> frozenset[Place]:
    """Fields that are not null where the condition `expr` is true."""
    if not isinstance(expr, Call):
        return frozenset({(expr.step, expr.path)}) if isinstance(expr, FieldRef) else frozenset()
    if expr.op == "not" and not (isinstance(expr.args[0], Call) and expr.args[0].op in _ABOUT_NULL):
        return known_when_true(expr.args[0])
    if expr.op in _ABOUT_NULL - {"and", "or", "exists"} or expr.op == "not":
        return frozenset()
    parts = [known_when_true(arg) for arg in expr.args]
    if expr.op == "or":
        return frozenset.intersection(*parts)
    return frozenset().union(*parts)


def known_by(scope: Scope, node: ast.Expression, expr: Expr | None) -> frozenset[Place]:
    """Fields that are not null where the condition is true; a record when it is asked for."""
    found = frozenset() if expr is None else known_when_true(expr)
    if isinstance(node, ast.Unary) and node.op == "exists":
        tested = node.operand
    elif isinstance(node, ast.IsNot) and isinstance(node.right, ast.Null):
        tested = node.left
    else:
        return found
    parts = chain(tested)
    if parts is None:
        return found
    head, names = parts
    path = tuple(name.text for name in names)
    step = scope.steps.get(head.name)
    if step is not None and names:
        return found | {(step.index, path)}
    return found | {(None, path if head.name in scope.own_labels else (head.name, *path))}
