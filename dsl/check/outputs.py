"""Pass: what a rule says and to whom: message, attributes, suppression, derived events."""

from __future__ import annotations

from dsl import ast, limits
from dsl.check.clauses import SEVERITIES
from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft
from dsl.check.emits import check_emit
from dsl.check.expressions import Checker
from dsl.check.templates import check_template
from dsl.check.typing import TEXTS
from dsl.diagnostics import did_you_mean, one_of
from dsl.model import Call, Const, Expr, KeyRef, Suppress, Template


def check_outputs(context: Context, rule: RuleDraft) -> None:
    before = len(context.diagnostics)
    checker = Checker(context, match_scope(rule))
    if rule.alert is None:  # it only emits; what is recorded of it needs some words all the same
        title = rule.declaration.title
        rule.message = Template((title.value if title is not None else rule.name,))
    else:
        rule.message = check_template(checker, rule.alert.message)
        if rule.alert.attributes is not None:
            rule.attributes = _attributes(context, checker, rule.alert.attributes)
    if rule.suppress_clause is not None:
        rule.suppress = _suppress(rule, checker, rule.suppress_clause)
    if len(rule.emit_clauses) > limits.EMITS_MAX:
        message = f"more than {limits.EMITS_MAX} `emit` clauses"
        context.report("E004", message, rule.emit_clauses[limits.EMITS_MAX].span)
    rule.emits = tuple(
        emit for clause in rule.emit_clauses if (emit := check_emit(checker, clause)) is not None
    )
    rule.broken = rule.broken or len(context.diagnostics) > before


def _attributes(
    context: Context, checker: Checker, written: ast.Object
) -> tuple[tuple[str, Expr | Template], ...]:
    found: dict[str, Expr | Template] = {}
    for entry in written.entries:
        name = entry.name.text
        if name in found:
            context.report("E061", f"a second `{name}`", entry.name.span)
            continue
        value: ast.Expression = entry.value or ast.Variable(entry.name.span, name)
        if isinstance(value, ast.String):
            found[name] = check_template(checker, value)
            if name == "severity":
                _severity(context, value.value, value)
            continue
        expr = checker.check(value, lists=True)
        if expr is None:
            continue
        if name == "severity":
            _severity_of(context, expr, value)
        found[name] = expr
    return tuple(found.items())


def _severity_of(context: Context, expr: Expr, node: ast.Expression) -> None:
    if expr.type.kind not in TEXTS:
        context.report("E060", "a severity is a string", node.span)
    for text in _outcomes(expr):
        _severity(context, text, node)


def _outcomes(expr: Expr) -> list[str]:
    """The literal strings a severity may come out as."""
    if isinstance(expr, Const):
        return [expr.value] if isinstance(expr.value, str) else []
    if isinstance(expr, Call) and expr.op in {"if", "coalesce"}:
        args = expr.args[1:] if expr.op == "if" else expr.args
        return [text for arg in args for text in _outcomes(arg)]
    return []


def _severity(context: Context, text: str, node: ast.Expression) -> None:
    if text not in SEVERITIES:
        hint = did_you_mean(text, SEVERITIES) or f"it is {one_of(SEVERITIES)}"
        context.report("E060", f"unknown severity `{text}`", node.span, hint)


def _suppress(rule: RuleDraft, checker: Checker, clause: ast.Suppress) -> Suppress:
    if clause.by is None:
        by: list[Expr | None] = [
            KeyRef(key.type, index, clause.span) for index, key in enumerate(rule.keys)
        ]
    else:
        by = [_value_of(checker, name) for name in clause.by]
    return Suppress(tuple(expr for expr in by if expr is not None), clause.lasting.ms)


def _value_of(checker: Checker, name: ast.Name) -> Expr | None:
    """A name behind `suppress by`; of a window, a field is that of its last event."""
    node: ast.Expression = ast.Variable(name.span, name.text)
    if checker.scope.window and checker.scope.key(name.text) is None:
        last = ast.Variable(name.span, "last")
        node = ast.Invoke(name.span, last, (ast.Argument(name.span, None, node),))
    return checker.check(node)
