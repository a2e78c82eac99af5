"""Types of operands: how they are called, how literals adapt, how two of them become one.

Numbers convert one way, exactly: int → decimal → float.  A literal takes the type it stands next
to: `2.00` is a decimal beside a decimal, `"approved"` a value of the enum it is compared with,
`"2024-12-10T00:00:00Z"` a timestamp beside a timestamp, `"10.0.0.1"` an address beside an `ip`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dsl import ast, limits
from dsl.diagnostics import did_you_mean, one_of
from dsl.model import Call, Const, Expr, Kind, Type
from dsl.source import Span
from dsl.strings import timestamp_ms

BOOL = Type(Kind.BOOL)
INT = Type(Kind.INT)
FLOAT = Type(Kind.FLOAT)
STRING = Type(Kind.STRING)
DURATION = Type(Kind.DURATION)
NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
TEXTS = frozenset({Kind.STRING, Kind.ENUM})
ORDERED = NUMBERS | {Kind.TIMESTAMP, Kind.DURATION}
NO_KEYS = {
    Kind.FLOAT: "a float is no key: equal amounts may differ in the last bit",
    Kind.RECORD: "a record is no key",
    Kind.LIST: "a list is no key",
}


class Misfit(Exception):
    """A literal that its type does not allow: what a diagnostic needs to say so."""

    def __init__(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.hint = code, message, span, hint


def name_of(type_: Type) -> str:
    """The type as rules write it, without the mark of optional ones."""
    if type_.kind is Kind.DECIMAL:
        return f"decimal({type_.scale})"
    if type_.kind is Kind.ENUM and type_.values:
        return f"enum({', '.join(type_.values[:4])}{', …' if len(type_.values) > 4 else ''})"
    if type_.kind is Kind.LIST and type_.item is not None:
        return f"list of {name_of(type_.item)}"
    return type_.kind.value


def optional(type_: Type, *operands: Expr) -> Type:
    """`type_`, optional when an operand may be null."""
    maybe_null = any(operand.type.optional for operand in operands)
    return type_ if type_.optional is maybe_null else replace(type_, optional=maybe_null)


def literal(node: ast.Expression) -> Decimal | int | str | None:
    """The value when `node` is a written number (its sign included) or string."""
    if isinstance(node, ast.Number | ast.String):
        return node.value
    if isinstance(node, ast.Unary) and node.op == "-" and isinstance(node.operand, ast.Number):
        return -node.operand.value
    return None


def adapt(node: ast.Expression, expr: Expr, target: Type) -> Expr:
    """`expr`, as a value of `target` if it is a literal that can be one; else unchanged.

    Raises Misfit when the literal clearly means a value of `target` that does not exist.
    """
    value = literal(node)
    if value is None:
        return expr
    if isinstance(value, str):
        return _adapt_text(value, expr, target)
    if isinstance(value, Decimal) and target.kind is Kind.DECIMAL:
        exponent = value.normalize().as_tuple().exponent
        assert isinstance(exponent, int)
        scale = max(target.scale, -exponent)
        scaled = int(value.scaleb(scale)) if scale <= limits.DECIMAL_SCALE_MAX else 0
        if scale <= limits.DECIMAL_SCALE_MAX and abs(scaled) < limits.DECIMAL_SCALED_MAX:
            return Const(Type(Kind.DECIMAL, scale=scale), scaled, expr.span)
    return expr


def _adapt_text(value: str, expr: Expr, target: Type) -> Expr:
    if target.kind is Kind.ENUM:
        if value not in target.values:
            hint = did_you_mean(value, target.values) or f"it is {one_of(target.values[:8])}"
            raise Misfit("E023", f"`{value}` is not a value of this enum", expr.span, hint)
        return Const(replace(target, optional=False), value, expr.span)
    if target.kind is Kind.TIMESTAMP:
        ms = timestamp_ms(value)
        if ms is None:
            hint = 'write it as "2024-12-10T06:55:46Z"'
            raise Misfit("E023", f"`{value}` is not a timestamp", expr.span, hint)
        return Const(Type(Kind.TIMESTAMP), ms, expr.span)
    if target.kind is Kind.IP:
        try:
            return Const(Type(Kind.IP), canonical_ip(value), expr.span)
        except ValueError:
            advice = "for a network, write `in_cidr(ip, …)`" if is_network(value) else None
            raise Misfit("E023", f"`{value}` is not an IP address", expr.span, advice) from None
    return expr


def canonical_ip(text: str) -> str:
    """The one spelling of an address: IPv6 compressed, IPv4 inside IPv6 as IPv4."""
    from ipaddress import ip_address  # loaded only for rules that name addresses

    address = ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return True


def to_float(expr: Expr) -> Expr:
    if expr.type.kind is Kind.FLOAT:
        return expr
    if isinstance(expr, Const) and isinstance(expr.value, int):
        return Const(FLOAT, float(expr.value) / float(10**expr.type.scale), expr.span)
    return Call(optional(FLOAT, expr), "to_float", (expr,), expr.span)


def rescale(expr: Expr, scale: int) -> Expr:
    """`expr`, an int or a decimal of at most `scale` places, as a decimal of `scale` places."""
    if expr.type.kind is Kind.DECIMAL and expr.type.scale == scale:
        return expr
    target = Type(Kind.DECIMAL, scale=scale)
    if isinstance(expr, Const) and isinstance(expr.value, int):
        return Const(target, expr.value * 10 ** (scale - expr.type.scale), expr.span)
    return Call(optional(target, expr), "rescale", (expr,), expr.span)


def unify_numbers(operands: list[Expr]) -> list[Expr]:
    """Numbers brought to the widest kind among them; decimals to the greatest scale."""
    kinds = {operand.type.kind for operand in operands}
    if Kind.FLOAT in kinds:
        return [to_float(operand) for operand in operands]
    if Kind.DECIMAL not in kinds:
        return operands
    scale = max(operand.type.scale for operand in operands)
    for operand in operands:  # a literal too large for the scale is compared as a float
        value = operand.value if isinstance(operand, Const) else 0
        grown = abs(value) * 10 ** (scale - operand.type.scale) if isinstance(value, int) else 0
        if grown > limits.INTEGER_MAX:
            return [to_float(operand) for operand in operands]
    return [rescale(operand, scale) for operand in operands]


def unify(operands: list[tuple[ast.Expression, Expr]]) -> list[Expr] | None:
    """All operands as one type, literals adapted; None when they do not go together."""
    exprs = [expr for _, expr in operands]
    fixed = [expr.type for node, expr in operands if literal(node) is None]
    for target in fixed:
        exprs = [adapt(node, expr, target) for (node, _), expr in zip(operands, exprs, strict=True)]
        break
    typed = [e for e in exprs if e.type.kind is not Kind.NULL]
    kinds = {expr.type.kind for expr in typed}
    if kinds <= NUMBERS:
        numbers = iter(unify_numbers(typed))
        return [e if e.type.kind is Kind.NULL else next(numbers) for e in exprs]
    if len(kinds) <= 1 or kinds <= TEXTS:
        return exprs
    return None


def fold(op: str, operands: list[Expr], span: Span) -> Expr:
    """`and` or `or` over a chain, as a balanced tree so that long chains stay shallow."""
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    left, right = fold(op, operands[:middle], span), fold(op, operands[middle:], span)
    return Call(optional(BOOL, left, right), op, (left, right), span)


def joined(exprs: list[Expr]) -> Type:
    """The type of a value that may be any of `exprs`, which `unify` has brought together."""
    types = [expr.type for expr in exprs]
    typed = [type_ for type_ in types if type_.kind is not Kind.NULL]
    maybe_null = any(t.optional or t.kind is Kind.NULL for t in types)
    if not typed:
        return Type(Kind.NULL, optional=True)
    if typed[0].kind in TEXTS and any(t.values != typed[0].values for t in typed):
        return Type(Kind.STRING, maybe_null)
    return replace(typed[0], optional=maybe_null)
