"""Pass: `test` blocks: the events they feed, and the alerts they expect.

Events are checked against their declaration; a field left out is null.  Their values come out as
the JSON object a source would send, with every value at its `@path`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dsl import ast
from dsl.check.conditions import match_scope
from dsl.check.context import Context, RuleDraft
from dsl.check.expressions import Checker
from dsl.check.scope import find_field
from dsl.check.typing import Misfit, adapt, literal, name_of
from dsl.model import (
    Const,
    Expr,
    Field,
    InlineTest,
    Kind,
    TestAdvance,
    TestEvent,
    TestExpect,
    TestStep,
    Type,
)

_BAD = object()


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
    _record(context, step.value, event.fields, event.name, value)
    return TestEvent(step.at.ms, event.name, value, step.span)


def _record(
    context: Context,
    written: ast.Object,
    fields: tuple[Field, ...],
    owner: str,
    into: dict[str, object],
) -> None:
    """Puts the values of `written` into the JSON object `into`, each at its source path."""
    seen: set[str] = set()
    for entry in written.entries:
        name = entry.name
        declared = find_field(fields, name.text)
        if declared is None:
            message = f"`{owner}` has no field `{name.text}`"
            context.unknown("E011", message, name, [f.name for f in fields])
        elif name.text in seen:
            context.report("E061", f"a second `{name.text}`", name.span)
        elif entry.value is None:
            context.report("E071", f"`{name.text}` has no value", name.span)
        elif declared.type.kind is Kind.RECORD and isinstance(entry.value, ast.Object):
            _record(context, entry.value, declared.type.fields, name.text, into)
        else:
            found = _value(context, entry.value, declared.type)
            if found is not _BAD:
                _put(into, declared.source, found)
        seen.add(name.text)


def _put(into: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        below = into.setdefault(name, {})
        if not isinstance(below, dict):
            return
        into = below
    into[path[-1]] = value


def _value(context: Context, node: ast.Expression, type_: Type) -> object:
    """A literal as JSON; `_BAD` after reporting that it is none, or not of this type."""
    if isinstance(node, ast.Null):
        if not type_.optional:
            message = f"{name_of(type_)} cannot be null here"
            context.report("E023", message, node.span, "write its type with `?`")
            return _BAD
        return None
    if isinstance(node, ast.Array) and type_.kind is Kind.LIST and type_.item is not None:
        items = [_value(context, item, type_.item) for item in node.items]
        return _BAD if any(item is _BAD for item in items) else items
    value = _scalar(node)
    if value is None or not _fits(value, type_.kind):
        message = f"expected a literal of type {name_of(type_)}"
        context.report("E023", message, node.span)
        return _BAD
    try:
        adapt(node, Const(type_, value, node.span), replace(type_, optional=False))
    except Misfit as misfit:
        context.report(misfit.code, misfit.message, misfit.span, misfit.hint)
        return _BAD
    return float(value) if isinstance(value, Decimal) else value


def _scalar(node: ast.Expression) -> bool | int | Decimal | str | None:
    if isinstance(node, ast.Boolean):
        return node.value
    if isinstance(node, ast.Duration):
        return node.ms
    return literal(node)


_LITERALS: dict[Kind, tuple[type, ...]] = {
    Kind.BOOL: (bool,),
    Kind.INT: (int,),
    Kind.FLOAT: (int, Decimal),
    Kind.DECIMAL: (int, Decimal),
    Kind.STRING: (str,),
    Kind.ENUM: (str,),
    Kind.IP: (str,),
    Kind.TIMESTAMP: (str, int),
    Kind.DURATION: (int,),
}


def _fits(value: object, kind: Kind) -> bool:
    if isinstance(value, bool):
        return kind is Kind.BOOL
    return isinstance(value, _LITERALS.get(kind, ()))


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
        found = _value(context, entry.value, type_) if type_ else _plain(context, entry.value)
        if found is not _BAD:
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
    value = _scalar(node)
    if value is None:
        context.report("E071", "expected a literal", node.span)
        return _BAD
    return float(value) if isinstance(value, Decimal) else value
