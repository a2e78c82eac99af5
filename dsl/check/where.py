"""Pass: the condition on the whole match.

An equality of two single steps' values is moved into the later step: `where b.user == a.user`
makes `b` wait for a fitting event, instead of binding the first one and then failing.  A value is a
field, or whatever is computed from the fields of one step: `lower(b.user)`.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft
from dsl.check.expressions import Checker
from dsl.check.typing import fold
from dsl.model import Call, Const, Expr, FieldRef


def check_where(context: Context, rule: RuleDraft) -> None:
    clause = rule.where_clause
    if clause is None:
        return
    where = Checker(context, match_scope(rule)).condition(clause.condition)
    if where is None:
        rule.broken = True
        return
    if isinstance(where, Const):
        message = f"this condition is always {str(bool(where.value)).lower()}"
        context.report("W003", message, clause.condition.span)
    kept = [part for part in _conjuncts(where) if not _push(rule, part)]
    rule.where = fold("and", kept, where.span) if kept else None


def _conjuncts(expr: Expr) -> list[Expr]:
    if isinstance(expr, Call) and expr.op == "and":
        return [part for arg in expr.args for part in _conjuncts(arg)]
    return [expr]


def _push(rule: RuleDraft, part: Expr) -> bool:
    """Moves `part` into the later of its two steps, if it is an equality of single steps."""
    if not isinstance(part, Call) or part.op != "eq":
        return False
    steps = [_single_step(rule, arg) for arg in part.args]
    if None in steps or steps[0] == steps[1]:
        return False
    later = rule.steps[max(step for step in steps if step is not None)]
    moved = replace(part, args=tuple(_own(arg, later.index) for arg in part.args))
    known = [] if later.condition is None else [later.condition]
    later.condition = fold("and", [*known, moved], part.span)
    return True


def _single_step(rule: RuleDraft, expr: Expr) -> int | None:
    """The step that this is about alone, if every match binds it once."""
    read = _steps(expr)
    if len(read) != 1 or None in read:
        return None
    (index,) = read
    step = rule.steps[index or 0]
    return None if step.repeated or step.optional or step.absent else step.index


def _steps(expr: Expr) -> set[int | None]:
    """The steps whose fields `expr` reads; None for what is no field of a step."""
    if isinstance(expr, Call):
        return {step for arg in expr.args for step in _steps(arg)}
    if isinstance(expr, FieldRef):
        return {expr.step}
    return set() if isinstance(expr, Const) else {None}


def _own(expr: Expr, step: int) -> Expr:
    """`expr` as the condition of `step` sees it: that step's fields are the event's own."""
    if isinstance(expr, Call):
        return replace(expr, args=tuple(_own(arg, step) for arg in expr.args))
    if isinstance(expr, FieldRef) and expr.step == step:
        return replace(expr, step=None)
    return expr
