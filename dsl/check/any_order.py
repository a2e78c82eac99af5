"""`A & B` and `n of (A, B, C)`: events in any order, each part one event or a repeated one."""

from __future__ import annotations

from dsl import ast, limits
from dsl.check.lowering import Lowering, Where
from dsl.model import AnyOrder, Contiguity, Pattern
from dsl.source import Span


def conjunction(lowering: Lowering, node: ast.Conjunction, where: Where) -> Pattern | None:
    parts = list(_flat(node))
    return _any_order(lowering, parts, len(parts), where, node.span)


def some_of(lowering: Lowering, node: ast.SomeOf, where: Where) -> Pattern | None:
    if not 1 <= node.count <= len(node.options):
        message = f"{node.count} of {len(node.options)} is none that can be chosen"
        lowering.error("E035", message, node.span, f"write 1 to {len(node.options)}")
        return None
    return _any_order(lowering, list(node.options), node.count, where, node.span)


def _flat(node: ast.Pattern) -> list[ast.Pattern]:
    if isinstance(node, ast.Conjunction):
        return [part for inner in node.parts for part in _flat(inner)]
    return [node]


def _any_order(
    lowering: Lowering, written: list[ast.Pattern], count: int, where: Where, span: Span
) -> Pattern | None:
    if len(written) > limits.ANY_ORDER_MAX:
        message = f"more than {limits.ANY_ORDER_MAX} parts in any order"
        lowering.error("E004", message, span)
        return None
    everything = count == len(written)
    inside = where if everything else where.as_optional()
    begin = len(lowering.rule.steps)
    parts = []
    for part in written:
        if not _is_part(lowering, part, everything):
            continue
        lowered = lowering.lower(part, inside)
        if lowered is not None:
            parts.append(lowered)
    lowering.rule.beside.append(lowering.bound_since(begin))
    if len(parts) != len(written):
        return None
    return AnyOrder(tuple(parts), count, lowering.arrow(Contiguity.NEXT, None))


def _is_part(lowering: Lowering, part: ast.Pattern, everything: bool) -> bool:
    """Whether `part` is one event, some of whose kind may be wanted; reports what it is not."""
    if isinstance(part, ast.Repetition):
        if not everything:
            message = "each option of `n of` is bound at most once"
            lowering.error("E039", message, part.span, "leave out the quantifier")
            return False
        if part.modifiers or part.preference != "greedy":
            message = "a part of `&` is repeated as its events come, whatever lies between"
            lowering.error("E039", message, part.span, "write the quantifier alone: `A{3}`")
            return False
        part = part.pattern
    options = part.options if isinstance(part, ast.Alternation) else (part,)
    if all(isinstance(option, ast.Step) for option in options):
        return True
    message = "what is taken in any order is single events, and repeated ones"
    hint = "write the orders as alternatives: `(A -> B -> C | C -> A -> B)`"
    lowering.error("E039", message, part.span, hint)
    return False
