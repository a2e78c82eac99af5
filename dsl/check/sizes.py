"""How large checked expressions are, counted as trees though they share parts."""

from __future__ import annotations

from dsl.model import Aggregate, Call, Expr, FieldRef


class Sizes:
    """The sizes of the expressions measured since the last `clear`, each measured once.

    They are kept alive until then, so that no other takes the identity of one.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Expr]] = {}

    def of(self, expr: Expr) -> int:
        """The parts of `expr`; one that stands in it twice counts twice."""
        inside = _inside(expr)
        if not inside:
            return 1
        known = self._known.get(id(expr))
        if known is not None:
            return known[0]
        size = 1 + sum(map(self.of, inside))
        self._known[id(expr)] = (size, expr)
        return size

    def clear(self) -> None:
        self._known.clear()


def _inside(expr: Expr) -> tuple[Expr, ...]:
    if isinstance(expr, Call):
        return expr.args
    if isinstance(expr, Aggregate):
        return () if expr.value is None else (expr.value,)
    if isinstance(expr, FieldRef) and expr.derived is not None:
        derived = expr.derived
        condition = () if derived.condition is None else (derived.condition,)
        aggregate = () if derived.aggregate is None else (derived.aggregate,)
        return (*condition, *aggregate, *derived.key, *derived.reads)
    return ()
