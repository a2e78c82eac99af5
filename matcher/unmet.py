"""Why a condition is not true: its parts that are false or null, with the values they read.

unmet(condition, environment) = the operands of its outermost `and` that are not true, in order
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dsl.model import Aggregate, Call, Expr, FieldRef
from dsl.operators import LOOKUPS
from matcher.evaluate import Environment, evaluate

_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@dataclass(frozen=True, slots=True)
class Unmet:
    """`part` came out False, or None for null; `read` are the values it is made of.

    `apart` is how far two numbers are apart that it compares, as a share of the larger one.
    """

    part: Expr
    value: object
    read: tuple[tuple[Expr, object], ...]
    apart: float = 1.0


def unmet(condition: Expr | None, environment: Environment) -> tuple[Unmet, ...]:
    """See the module head; empty when the condition is true or there is none."""
    found = []
    for part in _operands(condition):
        value = evaluate(part, environment)
        if value is not True:
            read = tuple((leaf, evaluate(leaf, environment)) for leaf in _leaves(part))
            found.append(Unmet(part, value, read, _apart(part, environment)))
    return tuple(found)


def _apart(part: Expr, environment: Environment) -> float:
    if not isinstance(part, Call) or part.op not in _COMPARISONS:
        return 1.0
    left, right = (evaluate(side, environment) for side in part.args)
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return 1.0
    return abs(left - right) / max(abs(left), abs(right), 1)


def _operands(condition: Expr | None) -> Iterator[Expr]:
    if isinstance(condition, Call) and condition.op == "and":
        for operand in condition.args:
            yield from _operands(operand)
    elif condition is not None:
        yield condition


def _leaves(part: Expr) -> dict[Expr, None]:
    """What is read from events and tables, each once, in the order it is written."""
    found: dict[Expr, None] = {}
    pending = [part]
    while pending:
        expr = pending.pop()
        if isinstance(expr, FieldRef | Aggregate):
            found[expr] = None
        elif isinstance(expr, Call):
            if expr.op in LOOKUPS:
                found[expr] = None
            pending.extend(reversed(expr.args))
    return found
