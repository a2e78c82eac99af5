"""Literals as the JSON a source would send: events of tests, values of parameters."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dsl import ast
from dsl.check.context import Context
from dsl.check.typing import Misfit, adapt, literal, name_of
from dsl.model import Const, Field, Kind, Type

BAD = object()
"""What is no value: it has been reported."""


def json_record(
    context: Context,
    written: ast.Object,
    fields: tuple[Field, ...],
    owner: str,
    into: dict[str, object],
) -> None:
    """Puts the values of `written` into the JSON object `into`, each at its source path."""
    seen: set[str] = set()
    known = {field.name: field for field in fields}
    for entry in written.entries:
        name = entry.name
        declared = known.get(name.text)
        if declared is None:
            context.unknown("E011", f"`{owner}` has no field `{name.text}`", name, known)
        elif name.text in seen:
            context.report("E061", f"a second `{name.text}`", name.span)
        elif entry.value is None:
            context.report("E071", f"`{name.text}` has no value", name.span)
        elif declared.type.kind is Kind.RECORD and isinstance(entry.value, ast.Object):
            json_record(context, entry.value, declared.type.fields, name.text, into)
        else:
            found = json_literal(context, entry.value, declared.type)
            if found is not BAD:
                put(into, declared.source, found)
        seen.add(name.text)


def put(into: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        below = into.setdefault(name, {})
        if not isinstance(below, dict):
            return
        into = below
    into[path[-1]] = value


def json_literal(context: Context, node: ast.Expression, type_: Type) -> object:
    """A literal as JSON; `BAD` after reporting that it is none, or not of this type."""
    if isinstance(node, ast.Null):
        if not type_.optional:
            message = f"{name_of(type_)} cannot be null here"
            context.report("E023", message, node.span, "write its type with `?`")
            return BAD
        return None
    if isinstance(node, ast.Array) and type_.kind is Kind.LIST and type_.item is not None:
        items = [json_literal(context, item, type_.item) for item in node.items]
        return BAD if any(item is BAD for item in items) else items
    value = scalar(node)
    if value is None or not _fits(value, type_.kind):
        message = f"expected a literal of type {name_of(type_)}"
        context.report("E023", message, node.span)
        return BAD
    try:
        adapt(node, Const(type_, value, node.span), replace(type_, optional=False))
    except Misfit as misfit:
        context.report(misfit.code, misfit.message, misfit.span, misfit.hint)
        return BAD
    return float(value) if isinstance(value, Decimal) else value


def scalar(node: ast.Expression) -> bool | int | Decimal | str | None:
    """The value of a literal other than null; None when `node` is none."""
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
