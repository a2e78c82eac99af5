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
    Table,
    TestAdvance,
    TestEvent,
    TestExpect,
    TestGiven,
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
    if isinstance(step, ast.TestGiven):
        return _given(context, step)
    return _expect(context, rule, step)


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


def _given(context: Context, step: ast.TestGiven) -> TestGiven | None:
    """The rows of a table or the values of a list that the test begins with."""
    name = step.name.text
    table = context.tables.get(name) or context.lists.get(name)
    if table is None:
        if name not in context.broken_names:
            known = [*context.tables, *context.lists]
            context.unknown("E010", f"unknown table or list `{name}`", step.name, known)
        return None
    listed = name in context.lists
    what = "values" if listed else "rows"
    if not isinstance(step.value, ast.Array):
        hint = f"e.g. `given {name} = [{'' if listed else '{…}'}]`"
        context.report("E071", f"expected a list of {what}", step.value.span, hint)
        return None
    rows: list[object] = []
    for item in step.value.items:
        if listed:
            rows.append(json_literal(context, item, table.fields[0].type))
        elif isinstance(item, ast.Object):
            rows.append(_row(context, table, item))
        else:
            context.report("E071", f"expected a row of `{name}`", item.span, "e.g. `{…}`")
            rows.append(BAD)
    return None if any(row is BAD for row in rows) else TestGiven(name, tuple(rows), step.span)


def _row(context: Context, table: Table, written: ast.Object) -> object:
    """A row as JSON; fields that a test leaves out are null, but not those of the key."""
    row: dict[str, object] = {}
    before = len(context.diagnostics)
    json_record(context, written, table.fields, table.name, row)
    missing = [name for name in table.key if not any(name == e.name.text for e in written.entries)]
    if missing:
        context.report("E071", f"the row has no `{missing[0]}`, which is its key", written.span)
    return row if len(context.diagnostics) == before else BAD


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
