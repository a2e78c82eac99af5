"""Where null makes a condition silently not true: for the warnings about `!=` and `not`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dsl.diagnostics import Diagnostic
from dsl.model import Call, Expr, FieldRef, Path

Place: TypeAlias = tuple[int | None, Path]
"""A field of a step, or of the event being tested (None)."""

_ABOUT_NULL = frozenset({"is_null", "exists", "is_same", "coalesce", "if", "and", "or"})


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


@dataclass(frozen=True, slots=True)
class Doubt:
    """A warning that stands unless something beside it rules the field's null out."""

    field: FieldRef
    warning: Diagnostic


def undecided(doubts: list[Doubt], known: frozenset[Place]) -> list[Doubt]:
    return [doubt for doubt in doubts if may_be_null(doubt.field, known)]
