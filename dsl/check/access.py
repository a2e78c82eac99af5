"""What a name with dots and indices is: a field, a field of one event of a step, or an item."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.aggregates import aggregate_field, nth_field
from dsl.check.lookups import looks_up, lookup_field, names_data, row_of
from dsl.check.scope import resolve
from dsl.check.typing import name_of
from dsl.model import Call, Expr, Kind
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker


def named(checker: Checker, node: ast.Variable | ast.AttributeOf) -> Expr | None:
    """A name, a dotted one, or a field of one event of a step."""
    if isinstance(node, ast.AttributeOf):
        base = node.base
        names, optional_dot = [node.name], node.optional
        while isinstance(base, ast.AttributeOf):
            names.append(base.name)
            optional_dot = base.optional
            base = base.base
        if isinstance(base, ast.Index) and looks_up(checker, base):
            found = tuple(reversed(names))
            return lookup_field(checker, base, found, optional_dot, node.span)
        if isinstance(base, ast.Invoke):  # first(a).x
            return aggregate_field(checker, base, tuple(reversed(names)), node.span)
        if isinstance(base, ast.Index):  # a[2].x
            return _field_of_item(checker, base, tuple(reversed(names)), node.span)
    if isinstance(node, ast.Variable) and names_data(checker, node):
        return None
    return resolve(checker.context, checker.scope, node)


def _field_of_item(
    checker: Checker, node: ast.Index, names: tuple[ast.Name, ...], span: Span
) -> Expr | None:
    base = node.base
    if isinstance(base, ast.Variable) and checker.step_field(base) is not None:
        return nth_field(checker, node, names, span)
    found = item(checker, node)
    if found is None:
        return None
    message = f"{name_of(found.type)} is no record and has no field `{names[0].text}`"
    return checker.error("E011", message, names[0].span)


def item(checker: Checker, node: ast.Index) -> Expr | None:
    """`list[2]`; `list[-1]` is the last item."""
    base = node.base
    if looks_up(checker, node):
        return row_of(checker, node)
    if isinstance(base, ast.Variable) and checker.step_field(base) is not None:
        hint = f"name one of its fields: `{base.name}[…].…`"
        return checker.error("E024", f"`{base.name}[…]` is an event, not a value", node.span, hint)
    listed, place = checker.listed(base), checker.check(node.index)
    if listed is None or place is None:
        return None
    if listed.type.kind is not Kind.LIST or listed.type.item is None:
        return checker.error("E020", f"{name_of(listed.type)} has no items", node.span)
    if place.type.kind is not Kind.INT:
        return checker.error("E020", "the place of an item is an int", node.index.span)
    type_ = replace(listed.type.item, optional=True)
    return Call(type_, "item", (listed, place), node.span)
