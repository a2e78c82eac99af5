"""Pass: the condition on the whole match.

An equality of two single steps' values is moved into the later step: `where b.user == a.user`
makes `b` wait for a fitting event, instead of binding the first one and then failing.  Of two steps
in any order each asks for it when the other one is bound.  A value is a field, or whatever is
computed from the fields of one step: `lower(b.user)`.
"""

from __future__ import annotations

from dataclasses import replace

from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft, StepDraft
from dsl.check.expressions import Checker
from dsl.check.typing import BOOL, INT, fold
from dsl.model import Aggregate, Call, Const, Expr, FieldRef
from dsl.source import Span


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
    found = [_single_step(rule, arg) for arg in part.args]
    steps = sorted(step for step in found if step is not None)
    if len(steps) < 2 or steps[0] == steps[1]:
        return False
    earlier, later = rule.steps[steps[0]], rule.steps[steps[1]]
    if rule.are_beside(earlier, later):
        _add(earlier, fold("or", [_unbound(later, part.span), _moved(part, earlier)], part.span))
        _add(later, fold("or", [_unbound(earlier, part.span), _moved(part, later)], part.span))
    else:
        _add(later, _moved(part, later))
    return True


def _add(step: StepDraft, condition: Expr) -> None:
    known = [] if step.condition is None else [step.condition]
    step.condition = fold("and", [*known, condition], condition.span)


def _unbound(step: StepDraft, span: Span) -> Expr:
    count = Aggregate(INT, "count", step.index, None, False, span)
    return Call(BOOL, "eq", (count, Const(INT, 0, span)), span)


def _moved(part: Call, step: StepDraft) -> Expr:
    """`part` as the condition of `step`."""
    return replace(part, args=tuple(_own(arg, step.index) for arg in part.args))


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
