"""Look-ups: `table[key]?.field`, `exists table[key]`, `value in list`.

A look-up is null when there is no such row, so a field is read with `?.`.  It becomes a call:
`lookup(table, field, key …)` gives the field, `listed(table, key …)` whether there is a row; both
are null when a part of the key is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.scope import find_field
from dsl.check.typing import BOOL, STRING, TEXTS, adapt, name_of, optional, rescale
from dsl.model import Call, Const, Expr, Kind, Table, Type
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker

_ROW = Type(Kind.RECORD, optional=True)


def looks_up(checker: Checker, node: ast.Index) -> bool:
    """Whether `base[…]` is a look-up, by what `base` names: a table, a list, or nothing at all."""
    base, scope = node.base, checker.scope
    if not isinstance(base, ast.Variable):
        return False
    near = {*scope.names(), *scope.later}
    return base.name not in near or base.name in {*checker.context.tables, *checker.context.lists}


def lookup_field(
    checker: Checker, row: ast.Index, names: tuple[ast.Name, ...], has_mark: bool, span: Span
) -> Expr | None:
    """`table[key]?.field`; `has_mark` says whether the first dot was `?.`."""
    found = _table(checker, row)
    if found is None:
        return None
    name = names[0]
    field = find_field(found.fields, name.text)
    key = _key(checker, found, row)
    if field is None:
        message = f"`{found.name}` has no field `{name.text}`"
        checker.context.unknown("E011", message, name, [f.name for f in found.fields])
        return None
    if len(names) > 1:
        message = f"`{name.text}` is no record and has no field `{names[1].text}`"
        return checker.error("E011", message, names[1].span)
    if not has_mark:
        message = f"there may be no such row in `{found.name}`"
        written = checker.context.sources[row.span.path].text[row.span.start : row.span.end]
        return checker.error("E087", message, span, f"write `{written}?.{name.text}`")
    if key is None:
        return None
    type_ = STRING if field.type.kind is Kind.CIDR else field.type
    args = (Const(STRING, found.name, span), Const(STRING, field.name, span), *key)
    return Call(replace(type_, optional=True), "lookup", args, span)


def row_of(checker: Checker, node: ast.Index) -> Expr | None:
    """`table[key]` alone: a row, which only `exists` and `is null` take; see `row_exists`."""
    found = _table(checker, node)
    key = None if found is None else _key(checker, found, node)
    if found is None or key is None:
        return None
    return Call(_ROW, "listed", (Const(STRING, found.name, node.span), *key), node.span)


def is_row(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.op == "listed" and expr.type.kind is Kind.RECORD


def row_exists(row: Expr, span: Span) -> Expr:
    """Whether the row is there; false, not null, when a part of its key is null."""
    assert isinstance(row, Call), "made by `row_of`"
    held = Call(optional(BOOL, *row.args), "listed", row.args, span)
    if not held.type.optional:
        return held
    return Call(BOOL, "coalesce", (held, Const(BOOL, False, span)), span)


def in_declared_list(
    checker: Checker, value: ast.Expression, within: ast.Variable, span: Span
) -> Expr | None:
    """`value in list`."""
    listed = checker.context.lists[within.name]
    key = _part(checker, listed, listed.fields[0].type, value)
    if key is None:
        return None
    return Call(optional(BOOL, key), "listed", (Const(STRING, listed.name, span), key), span)


def names_list(checker: Checker, node: ast.Expression) -> bool:
    """Whether `node` is the name of a list, and of nothing nearer."""
    return (
        isinstance(node, ast.Variable)
        and node.name in checker.context.lists
        and node.name not in set(checker.scope.names())
    )


def names_data(checker: Checker, node: ast.Variable) -> bool:
    """Reports the name of a list or table where one value is needed."""
    name, context = node.name, checker.context
    if name not in context.lists and name not in context.tables:
        return False
    if name in {*checker.scope.names(), *checker.scope.later}:
        return False
    if name in context.lists:
        message, hint = f"`{name}` is a list, not a value", f"write `… in {name}`"
        context.report("E024", message, node.span, hint)
    else:
        message, hint = f"`{name}` is a table, not a value", f"write `{name}[…]?.…`"
        context.report("E024", message, node.span, hint)
    return True


def unknown_list(checker: Checker, node: ast.Expression) -> bool:
    """Reports what stands behind `in` if it is a name that nothing has, or that of a table."""
    if not isinstance(node, ast.Variable) or node.name in set(checker.scope.names()):
        return False
    context, name = checker.context, ast.Name(node.span, node.name)
    if node.name in context.broken_names or node.name in checker.scope.later:
        return node.name in context.broken_names
    if node.name in context.tables:
        message = f"`{node.name}` is a table, and `in` takes a list"
        context.report("E020", message, node.span, f"write `exists {node.name}[…]`")
    else:
        known = [*context.lists, *checker.scope.names()]
        context.unknown("E013", f"unknown list `{node.name}`", name, known)
    return True


# ------------------------------------------------------------------------------------- parts


def _table(checker: Checker, node: ast.Index) -> Table | None:
    """The table that `node` looks into; None after reporting that it looks into none."""
    context, base = checker.context, node.base
    if isinstance(base, ast.Variable):
        name = base.name
        if name in context.tables:
            return context.tables[name]
        if name in context.broken_names:
            return None
        if name in context.lists:
            hint = f"write `… in {name}`"
            checker.error("E020", f"`{name}` is a list, which has no rows", node.span, hint)
            return None
        place = ast.Name(base.span, name)
        known = [*context.tables, *checker.scope.names()]
        context.unknown("E010", f"unknown table `{name}`", place, known)
    return None


def _key(checker: Checker, table: Table, node: ast.Index) -> tuple[Expr, ...] | None:
    written = (node.index, *node.more)
    if len(written) != len(table.key):
        parts = ", ".join(table.key)
        message = f"the key of `{table.name}` has {len(table.key)} parts, not {len(written)}"
        if len(table.key) == 1:
            message = f"the key of `{table.name}` is one value, not {len(written)}"
        checker.error("E022", message, node.span, f"write `{table.name}[{parts}]`")
        return None
    parts_ = [
        _part(checker, table, table.field(name).type, value)
        for name, value in zip(table.key, written, strict=True)
    ]
    found = tuple(part for part in parts_ if part is not None)
    return found if len(found) == len(parts_) else None


def _part(checker: Checker, table: Table, declared: Type, node: ast.Expression) -> Expr | None:
    """`node` as a part of the key, which is declared as `declared`."""
    expr = checker.check(node)
    if expr is None:
        return None
    wanted = Type(Kind.IP) if declared.kind is Kind.CIDR else declared
    expr = adapt(node, expr, wanted)
    kinds = (expr.type.kind, wanted.kind)
    if kinds[0] is kinds[1] and (wanted.kind is not Kind.DECIMAL or expr.type == wanted):
        return expr
    if set(kinds) <= TEXTS:
        return expr
    exact = wanted.kind is Kind.DECIMAL and kinds[0] in {Kind.INT, Kind.DECIMAL}
    if exact and expr.type.scale <= wanted.scale:
        return rescale(expr, wanted.scale)
    message = f"`{table.name}` is looked up by {name_of(wanted)}, and this is {name_of(expr.type)}"
    checker.error("E020", message, node.span)
    return None
