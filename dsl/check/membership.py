"""`in`: a value in a written list, in the values of a repeated step, an address in networks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dsl import ast
from dsl.check.lookups import in_declared_list, names_list, unknown_list
from dsl.check.typing import (
    BOOL,
    STRING,
    fold,
    is_network,
    joined,
    literal,
    name_of,
    optional,
    unify,
)
from dsl.model import Call, Const, Expr, FieldRef, Kind, Type
from dsl.source import Span

if TYPE_CHECKING:
    from dsl.check.expressions import Checker, Operands


def contained(
    checker: Checker, value: ast.Expression, within: ast.Expression, span: Span
) -> Expr | None:
    """`value in within`."""
    if isinstance(within, ast.Variable) and names_list(checker, within):
        return in_declared_list(checker, value, within, span)
    if unknown_list(checker, within):
        checker.check(value)
        return None
    if not isinstance(within, ast.Array):
        listed = checker.listed(within)
        if listed is None:
            checker.check(value)
            return None
        return in_list(checker, value, within, listed, span)
    tested = checker.check(value)
    if not within.items:
        return checker.error("E023", "an empty list contains nothing", within.span)
    items = checker.operands(*within.items)
    if tested is None or items is None:
        return None
    return _in_items(checker, value, tested, items, span)


def in_list(
    checker: Checker, value: ast.Expression, within: ast.Expression, listed: Expr, span: Span
) -> Expr | None:
    """`value` among the items of an expression that is a list."""
    tested = checker.check(value)
    if tested is None:
        return None
    if listed.type.kind is not Kind.LIST or listed.type.item is None:
        hint = "write a list such as `[1, 2]`, or the field of a repeated step"
        return checker.error("E020", "`in` needs a list on its right", within.span, hint)
    item = replace(listed.type.item, optional=False)
    stand_in = FieldRef(item, None, (), span)
    both = unify([(value, tested), (within, stand_in)])
    if both is None or both[1] is not stand_in:
        types = f"{name_of(tested.type)} and {name_of(item)}"
        return checker.error("E020", f"`in` cannot compare {types}", span)
    maybe_null = (both[0], listed) if isinstance(listed, FieldRef | Call) else (both[0],)
    return Call(optional(BOOL, *maybe_null), "in", (both[0], listed), span)


def _in_items(
    checker: Checker, value: ast.Expression, tested: Expr, items: Operands, span: Span
) -> Expr | None:
    networks: list[Expr] = []
    if tested.type.kind is Kind.IP:
        cidrs = [x for x in items if isinstance(text := literal(x[0]), str) and "/" in text]
        items = [item for item in items if item not in cidrs]
        for node, expr in cidrs:
            found = in_network(checker, tested, node, expr, span)
            if found is None:
                return None
            networks.append(found)
    if items:
        all_ = [(value, tested), *items]
        together = checker.unified(all_, "in", span)
        if together is None:
            return None
        networks.append(_member(together[0], together[1:], span))
    return fold("or", networks, span)


def in_network(
    checker: Checker, address: Expr, node: ast.Expression, network: Expr, span: Span
) -> Expr | None:
    """`address` (an ip) in a network that must be a literal."""
    text = literal(node)
    if not isinstance(text, str):
        return checker.error("E026", "the network must be written as a literal", node.span)
    if not is_network(text):
        return checker.error("E023", f"`{text}` is not a network", node.span, 'e.g. "10.0.0.0/8"')
    const = Const(STRING, text.strip(), network.span)
    return Call(optional(BOOL, address), "in_cidr", (address, const), span)


def _member(tested: Expr, items: list[Expr], span: Span) -> Expr:
    item = joined(items)
    if all(isinstance(expr, Const) for expr in items):
        values = tuple(expr.value for expr in items if isinstance(expr, Const))
        listed: Expr = Const(Type(Kind.LIST, item=item), values, span)
    else:
        listed = Call(Type(Kind.LIST, item=item), "array", tuple(items), span)
    return Call(optional(BOOL, tested), "in", (tested, listed), span)
