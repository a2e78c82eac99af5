"""Expressions back to text; parentheses exactly where the grammar needs them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dsl import ast

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"if", "not", "exists", "true", "false", "null"})
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "is", "like"})

# Levels of the grammar, loosest first; an operand below the level it stands at gets parentheses.
_CONDITIONAL, _OR, _AND, _NOT, _COMPARISON = 0, 1, 2, 3, 4
_SUM, _PRODUCT, _NEGATIVE, _COALESCE, _POSTFIX, _PRIMARY = 5, 6, 7, 8, 9, 10


def expression(node: ast.Expression, level: int = _CONDITIONAL) -> str:
    """`node` as an operand of the given level."""
    text = _EXPRESSIONS[type(node)](node)
    return f"({text})" if _level(node) < level else text


def _level(node: ast.Expression) -> int:
    if isinstance(node, ast.Conditional):
        return _CONDITIONAL
    if isinstance(node, ast.Logic):
        return _OR if node.op == "or" else _AND
    if isinstance(node, ast.Unary):
        return {"not": _NOT, "exists": _COMPARISON, "-": _NEGATIVE}[node.op]
    if isinstance(node, ast.NotIn | ast.IsNot | ast.Between | ast.MatchesRegex):
        return _COMPARISON
    if isinstance(node, ast.Binary):
        return _binary_level(node.op)
    return _POSTFIX if isinstance(node, ast.AttributeOf | ast.Index | ast.Invoke) else _PRIMARY


def _binary_level(op: str) -> int:
    if op in _COMPARISONS:
        return _COMPARISON
    return _SUM if op in "+-" else _COALESCE if op == "??" else _PRODUCT


def _binary(node: ast.Binary) -> str:
    level = _binary_level(node.op)
    left = level + 1 if level == _COMPARISON else level
    return f"{expression(node.left, left)} {node.op} {expression(node.right, level + 1)}"


def _unary(node: ast.Unary) -> str:
    if node.op == "-":
        return f"-{expression(node.operand, _NEGATIVE)}"
    if node.op == "not":
        return f"not {expression(node.operand, _NOT)}"
    return f"exists {expression(node.operand, _POSTFIX)}"


def logic_operands(node: ast.Logic) -> list[str]:
    """The operands of a chain, without its words."""
    level = (_OR if node.op == "or" else _AND) + 1
    return [expression(operand, level) for operand in node.operands]


def _between(node: ast.Between) -> str:
    value, low, high = (expression(x, _SUM) for x in (node.value, node.low, node.high))
    return f"{value} between {low} and {high}"


def _regex(node: ast.MatchesRegex) -> str:
    pattern = node.pattern.replace("/", "\\/")
    return f"{expression(node.value, _SUM)} =~ /{pattern}/{node.flags}"


def _conditional(node: ast.Conditional) -> str:
    condition, then = expression(node.condition), expression(node.then)
    return f"if {condition} then {then} else {expression(node.otherwise)}"


def _attribute(node: ast.AttributeOf) -> str:
    sign = "?." if node.optional else "."
    return f"{expression(node.base, _POSTFIX)}{sign}{quoted(node.name.text)}"


def _index(node: ast.Index) -> str:
    keys = ", ".join(expression(key) for key in (node.index, *node.more))
    return f"{expression(node.base, _POSTFIX)}[{keys}]"


def _invoke(node: ast.Invoke) -> str:
    return f"{expression(node.function, _POSTFIX)}({arguments(node.arguments)})"


def arguments(given: Iterable[ast.Argument]) -> str:
    return ", ".join(
        (f"{argument.name.text} = " if argument.name else "") + expression(argument.value)
        for argument in given
    )


def entry(node: ast.Entry) -> str:
    name = quoted(node.name.text)
    return name if node.value is None else f"{name}: {expression(node.value)}"


def object_(node: ast.Object) -> str:
    return f"{{{', '.join(entry(item) for item in node.entries)}}}"


def quoted(name: str, reserved: frozenset[str] = frozenset()) -> str:
    """`name`, in back-ticks if the grammar needs them."""
    return name if _NAME.fullmatch(name) and name not in reserved else f"`{name}`"


_EXPRESSIONS: dict[type[ast.Node], Callable[..., str]] = {
    ast.Variable: lambda n: quoted(n.name, _RESERVED),
    ast.Number: lambda n: n.text,
    ast.String: lambda n: n.text,
    ast.Duration: lambda n: n.text,
    ast.Boolean: lambda n: "true" if n.value else "false",
    ast.Null: lambda n: "null",
    ast.Unary: _unary,
    ast.Binary: _binary,
    ast.NotIn: lambda n: f"{expression(n.value, _SUM)} not in {expression(n.within, _SUM)}",
    ast.IsNot: lambda n: f"{expression(n.left, _SUM)} is not {expression(n.right, _SUM)}",
    ast.Logic: lambda n: f" {n.op} ".join(logic_operands(n)),
    ast.Between: _between,
    ast.MatchesRegex: _regex,
    ast.Conditional: _conditional,
    ast.AttributeOf: _attribute,
    ast.Index: _index,
    ast.Invoke: _invoke,
    ast.Array: lambda n: f"[{', '.join(expression(item) for item in n.items)}]",
    ast.Object: object_,
}
