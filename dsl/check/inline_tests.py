"""Pass: `test` blocks: the events they feed, and the alerts they expect.

Events are checked against their declaration; a field left out is null.  Their values come out as
the JSON object a source would send, with every value at its `@path`.
"""

from __future__ import annotations

from decimal import Decimal

from dsl import ast
from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft
from dsl.check.expressions import Checker
from dsl.check.literals import BAD, json_literal, json_record, scalar
from dsl.model import (
    Expr,
    InlineTest,
    TestAdvance,
    TestEvent,
    TestExpect,
    TestStep,
)


def check_inline_tests(context: Context) -> None:
    for declaration in context.test_declarations:
        rule = context.rules.get(declaration.rule.text)
        if rule is None:
            if declaration.rule.text not in context.broken_names:
                message = f"no rule `{declaration.rule.text}`"
                context.unknown("E070", message, declaration.rule, context.rules)
            continue
        if rule.broken:
            continue
        steps = [_step(context, rule, step) for step in declaration.steps]
        title = declaration.title.value if declaration.title else None
        found = tuple(step for step in steps if step is not None)
        context.tests.append(InlineTest(rule.name, title, found, declaration.span))
        if not any(isinstance(step, ast.TestExpect) for step in declaration.steps):
            message, hint = "this test expects nothing", "end it with `expect 1 alert`"
            context.report("E071", message, declaration.rule.span, hint)


def _step(context: Context, rule: RuleDraft, step: ast.TestStep) -> TestStep | None:
    if isinstance(step, ast.TestAdvance):
        return TestAdvance(step.by.ms, step.span)
    if isinstance(step, ast.TestEvent):
        return _event(context, step)
    if isinstance(step, ast.TestExpect):
        return _expect(context, rule, step)
    return None


def _event(context: Context, step: ast.TestEvent) -> TestEvent | None:
    event = context.events.get(step.event.text)
    if event is None:
        if step.event.text not in context.broken_names:
            message = f"unknown event `{step.event.text}`"
            context.unknown("E010", message, step.event, context.events)
        return None
    value: dict[str, object] = {}
    json_record(context, step.value, event.fields, event.name, value)
    return TestEvent(step.at.ms, event.name, value, step.span)


def _expect(context: Context, rule: RuleDraft, step: ast.TestExpect) -> TestExpect:
    fields: dict[str, object] = {}
    keys = {key.name: key.type for key in rule.keys}
    known = [*keys, "severity", "message", *(name for name, _ in rule.attributes)]
    for entry in step.fields.entries if step.fields else ():
        name = entry.name
        if name.text not in known:
            message = f"alerts of `{rule.name}` have no `{name.text}`"
            context.unknown("E065", message, name, known)
            continue
        if entry.value is None:
            context.report("E071", f"`{name.text}` has no value", name.span)
            continue
        type_ = keys.get(name.text)
        found = json_literal(context, entry.value, type_) if type_ else _plain(context, entry.value)
        if found is not BAD:
            fields[name.text] = found
    where: Expr | None = None
    if step.where is not None:
        where = Checker(context, match_scope(rule)).condition(step.where)
    at = step.at.ms if step.at is not None else None
    return TestExpect(at, step.count, fields, where, step.span)


def _plain(context: Context, node: ast.Expression) -> object:
    """A literal whose type only the alert knows."""
    if isinstance(node, ast.Null):
        return None
    value = scalar(node)
    if value is None:
        context.report("E071", "expected a literal", node.span)
        return BAD
    return float(value) if isinstance(value, Decimal) else value
