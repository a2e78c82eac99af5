"""`first_seen(x, y, over = 90d)`: whether these values are new, as a derived field of the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.context import Context
from dsl.check.typing import NO_KEYS, name_of
from dsl.model import (
    Aggregate,
    Call,
    Derived,
    Expr,
    FieldRef,
    KeyRef,
    Kind,
    Type,
    WindowKind,
    WindowShape,
)
from dsl.source import Span
from dsl.version import fingerprint

if TYPE_CHECKING:
    from dsl.check.expressions import Checker


def first_seen(checker: Checker, node: ast.Invoke) -> Expr | None:
    """`first_seen(x, y, over = 90d)`: no earlier event of this type had these values."""
    context, own = checker.context, checker.scope.own
    spans = [a.value for a in node.arguments if a.name is not None and a.name.text == "over"]
    values = [a.value for a in node.arguments if a.name is None]
    wrong = len(spans) + len(values) < len(node.arguments)
    if wrong or len(spans) != 1 or not isinstance(spans[0], ast.Duration) or not values:
        hint = "write `first_seen(user, country, over = 90d)`"
        message = "`first_seen` takes values and `over = …`, how long to look back"
        return checker.error("E022", message, node.span, hint)
    if own is None:
        message = "`first_seen` is about one event, and none is meant here"
        return checker.error("E022", message, node.span, "use it in the condition of an event")
    operands = checker.operands(*values)
    if operands is None:
        return None
    key = tuple(expr for _, expr in operands)
    before = len(context.diagnostics)
    for value, expr in operands:
        key_type(context, expr.type, value.span)
        plain(context, expr, value.span)
    if len(context.diagnostics) > before:
        return None
    shape = WindowShape(WindowKind.COUNT, count=1, every=1, cap_ms=spans[0].ms)
    derived = Derived(None, own.name, None, key, key, shape)
    type_ = Type(Kind.BOOL, optional=any(expr.type.optional for expr in key))
    return FieldRef(type_, None, ("first_seen", fingerprint(derived)), node.span, derived)


def key_type(context: Context, type_: Type, span: Span) -> None:
    """Reports a type that cannot be part of a key."""
    if type_.kind in NO_KEYS:
        context.report("E051", NO_KEYS[type_.kind], span)
    elif type_.kind is Kind.NULL:
        context.report("E051", f"{name_of(type_)} is no key", span)


def plain(context: Context, expr: Expr, span: Span) -> None:
    """Reports what is not computed from one event alone."""
    pending = [expr]
    while pending:
        node = pending.pop()
        if isinstance(node, Aggregate | KeyRef):
            context.report("E022", "this looks at several events", span, "name the event's fields")
            return
        if isinstance(node, FieldRef) and node.step is not None:
            context.report("E022", "this looks at an earlier event", span, "name its own fields")
            return
        if isinstance(node, FieldRef) and node.derived is not None:
            message = "a fact about a key cannot be made from another one"
            context.report("E018", message, span)
            return
        pending.extend(node.args if isinstance(node, Call) else ())
