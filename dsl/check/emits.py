"""`emit Event {field: value, …}`: every value brought to the type of its field.

A required field must be given a value that is there; a field left out is null.  The field of event
time is filled in: a derived event has the time of the match that it comes from.  No rule may feed
itself, be it through others.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsl import ast, limits
from dsl.check.context import Context
from dsl.check.expressions import Checker
from dsl.check.scope import find_field
from dsl.check.typing import TEXTS, Misfit, adapt, name_of, rescale, to_float
from dsl.diagnostics import one_of
from dsl.model import Const, Emit, EventType, Expr, Field, Kind, Path, Rule, Type
from dsl.source import Span
from dsl.strata import circle, events_read, strata

Value = tuple[Path, Expr]


def check_emit(checker: Checker, clause: ast.Emit) -> Emit | None:
    """The clause with every value typed; None after reporting."""
    context = checker.context
    event = context.events.get(clause.event.text)
    if event is None:
        if clause.event.text not in context.broken_names:
            message = f"unknown event `{clause.event.text}`"
            context.unknown("E010", message, clause.event, context.events)
        return None
    before = len(context.diagnostics)
    values = list(_fields(checker, clause.fields, clause.event, event.fields, (), event))
    sound = len(context.diagnostics) == before
    return Emit(event.name, tuple(values), clause.span) if sound else None


def _fields(
    checker: Checker,
    written: ast.Object,
    owner: ast.Name,
    fields: tuple[Field, ...],
    above: Path,
    event: EventType | None,
) -> Iterator[Value]:
    """The values of an object; `event` is given at the top, where the time field is."""
    context = checker.context
    seen: set[str] = set()
    for entry in written.entries:
        name = entry.name
        field = find_field(fields, name.text)
        value = entry.value or ast.Variable(name.span, name.text)
        if field is None:
            message = f"`{owner.text}` has no field `{name.text}`"
            context.unknown("E011", message, name, [f.name for f in fields])
        elif name.text in seen:
            context.report("E061", f"a second `{name.text}`", name.span)
        elif event is not None and name.text == event.time_field:
            hint = "leave it out: it is the time of the last event, or the deadline"
            context.report("E068", f"`{name.text}` is filled in", name.span, hint)
        elif field.type.kind is Kind.RECORD and isinstance(value, ast.Object):
            yield from _fields(checker, value, name, field.type.fields, (*above, name.text), None)
        else:
            expr = _value(checker, value, field.type)
            if expr is not None:
                yield (*above, name.text), expr
        seen.add(name.text)
    filled_in = {event.time_field} if event is not None else set()
    missing = [
        f"`{field.name}`"
        for field in fields
        if not field.type.optional and field.name not in seen | filled_in
    ]
    if missing:
        message = f"no value for {one_of(missing).replace(' or ', ' and ')} of `{owner.text}`"
        context.report("E068", message, owner.span)


def _value(checker: Checker, node: ast.Expression, target: Type) -> Expr | None:
    if target.kind is Kind.RECORD:
        hint = "write its fields: `{lat: …, lon: …}`"
        return checker.error("E024", "a record is given field by field", node.span, hint)
    found = checker.check(node, lists=target.kind is Kind.LIST)
    if found is None:
        return None
    try:
        expr = _converted(adapt(node, found, target), target, node.span)
    except Misfit as misfit:
        return checker.error(misfit.code, misfit.message, misfit.span, misfit.hint)
    if expr is None:
        message = f"the field is {name_of(target)}, and this is {name_of(found.type)}"
        return checker.error("E020", message, node.span)
    if expr.type.optional and not target.optional:
        hint = "give a default with `??`, or declare the field with `?`"
        return checker.error("E068", "this may be null, and the field may not", node.span, hint)
    return expr


def _converted(expr: Expr, target: Type, span: Span) -> Expr | None:
    """`expr` as a value of the kind and scale of `target`; None when it is none."""
    kind = expr.type.kind
    if kind is Kind.NULL:
        return Const(Type(target.kind, True, target.scale, target.values), None, span)
    if target.kind is Kind.FLOAT and kind in {Kind.INT, Kind.DECIMAL}:
        return to_float(expr)
    if target.kind is Kind.DECIMAL and kind in {Kind.INT, Kind.DECIMAL}:
        return rescale(expr, target.scale) if expr.type.scale <= target.scale else None
    if target.kind is Kind.ENUM and kind is Kind.ENUM:
        return expr if set(expr.type.values) <= set(target.values) else None
    if target.kind is Kind.STRING and kind in TEXTS:
        return expr
    if target.kind is Kind.LIST and kind is Kind.LIST:
        item, wanted = expr.type.item, target.item
        assert item is not None and wanted is not None, "a list knows its item type"
        same = (item.kind, item.scale) == (wanted.kind, wanted.scale)
        return expr if same or (wanted.kind is Kind.STRING and item.kind in TEXTS) else None
    return expr if kind is target.kind else None


def check_circles(context: Context, rules: tuple[Rule, ...]) -> None:
    """Rules that feed each other, and chains of rules that are longer than anybody follows."""
    found = circle(rules)
    if found:
        names = [f"`{rule.name}`" for rule in (*found, found[0])]
        emit = next(e for e in found[0].emits if e.event in events_read(found[1 % len(found)]))
        message = f"rules feed each other: {' → '.join(names)}"
        hint = f"`{found[1 % len(found)].name}` reads the `{emit.event}` that this emits"
        context.report("E018", message, emit.span, hint)
        return
    levels = strata(rules)
    if len(levels) > limits.STRATA_MAX:
        rule = levels[-1][0]
        message = f"a chain of more than {limits.STRATA_MAX} rules that read what others emit"
        context.report("E004", message, rule.span)
