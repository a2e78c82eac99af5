"""Arithmetic of timestamps and durations, both whole numbers of milliseconds.

    timestamp - timestamp = duration        timestamp ± duration = timestamp
    duration ± duration = duration          duration * number, duration / number = duration
    duration / duration = number            duration % duration = duration

A product or quotient with a fraction is rounded to the nearest millisecond.
"""

from __future__ import annotations

from dsl.check.typing import NUMBERS, optional, to_float
from dsl.model import Call, Expr, Kind, Type
from dsl.source import Span

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


def time_arithmetic(op: str, left: Expr, right: Expr, span: Span) -> Expr | None:
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
