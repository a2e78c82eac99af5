"""Pass: what a condition may compute from several events at once.

Comparing, calculating and `in` work between events.  Functions of text, patterns and rounding look
at one event: they are computed before the rule's partial matches come into play.
"""

from __future__ import annotations

from dsl.check.context import Context, RuleDraft
from dsl.model import Aggregate, Call, Expr, FieldRef, KeyRef

ONE_EVENT = frozenset(
    {
        *("like", "regex", "in_cidr", "starts_with", "ends_with", "contains"),
        *("lower", "upper", "trim", "length", "floor", "ceil", "round"),
    }
)
ABOUT_NULL = frozenset({"and", "or", "is_null", "exists", "is_same", "coalesce", "if", "in"})


def check_across(context: Context, rule: RuleDraft) -> None:
    conditions = [step.condition for step in rule.steps] + [rule.where]
    for condition in conditions:
        if condition is not None and not _check(context, condition):
            rule.broken = True


def _check(context: Context, expr: Expr) -> bool:
    if not isinstance(expr, Call):
        return True
    if expr.op not in ONE_EVENT:
        sound = [_check(context, arg) for arg in expr.args]  # every part is reported
        return all(sound)
    events, about_null = _reads(expr)
    if len(events) > 1 or "many" in events:
        message = f"`{expr.op}` looks at one event, this one at several"
    elif about_null and events - {None}:
        message = f"`{expr.op}` of an earlier event cannot hold a test for null"
    else:
        return True
    context.report("E038", message, expr.span, "compare the fields themselves")
    return False


def _reads(expr: Expr) -> tuple[set[int | str | None], bool]:
    """(the steps read, None for the event being tested; whether null is tested anywhere inside)."""
    match expr:
        case FieldRef(step=step):
            return {step}, False
        case Aggregate() | KeyRef():
            return {"many"}, False
        case Call(op=op, args=args):
            parts = [_reads(arg) for arg in args]
            events = {event for read, _ in parts for event in read}
            return events, op in ABOUT_NULL or any(about_null for _, about_null in parts)
        case _:
            return set(), False
