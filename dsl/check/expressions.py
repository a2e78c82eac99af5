"""Expressions: names resolved, every operator typed, conversions inserted.

`check` returns the typed expression, or None after reporting what is wrong; an expression around
a wrong part reports nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any

from dsl import ast, limits
from dsl.check.access import item, named
from dsl.check.aggregates import list_of_step
from dsl.check.arithmetic import ARITHMETIC, arithmetic
from dsl.check.context import Context
from dsl.check.functions import call
from dsl.check.lookups import is_row, row_exists
from dsl.check.membership import contained
from dsl.check.nulls import Doubt, Place, doubts_of_not, doubts_of_unequal, known_by, undecided
from dsl.check.regexes import regex_problem
from dsl.check.scope import Scope, chain
from dsl.check.sizes import Sizes
from dsl.check.typing import (
    BOOL,
    DURATION,
    FLOAT,
    NUMBERS,
    ORDERED,
    STRING,
    Misfit,
    fold,
    joined,
    name_of,
    optional,
    unify,
)
from dsl.functions import TEXT
from dsl.model import Call, Const, Expr, FieldRef, Kind, Type
from dsl.source import Span

NODES_MAX = limits.EXPRESSION_NODES_MAX
_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
Operands = list[tuple[ast.Expression, Expr]]


class Checker:
    """Checks the expressions of one scope."""

    def __init__(self, context: Context, scope: Scope) -> None:
        self.context = context
        self.scope = scope
        self.doubts: list[Doubt] = []
        self._sizes = Sizes()

    # ---- entry points

    def check(self, node: ast.Expression, *, lists: bool = False) -> Expr | None:
        """`node` as one value; records and, unless `lists`, lists are refused."""
        expr = self.any(node)
        if expr is None or (lists and expr.type.kind is Kind.LIST):
            return expr
        if expr.type.kind is Kind.RECORD:
            hint = "name one of its fields"
            return self.error("E024", "a record where one value is needed", node.span, hint)
        if expr.type.kind is Kind.LIST:
            hint = "a list stands behind `in`, in `length` or `contains`, or has an index: `[0]`"
            return self.error("E024", "a list where one value is needed", node.span, hint)
        return expr

    def listed(self, node: ast.Expression) -> Expr | None:
        """`node` as a value or a list; `a.x` of a repeated step is the list of its values."""
        found = list_of_step(self, node)
        if found is True:
            return None
        return self.check(node, lists=True) if found is None else found

    def condition(self, node: ast.Expression) -> Expr | None:
        expr = self.check(node)
        return expr if expr is None else self.boolean(node, expr)

    def boolean(self, node: ast.Expression, expr: Expr) -> Expr | None:
        if expr.type.kind is Kind.BOOL:
            return expr
        message = f"a condition must be true or false, and this is {name_of(expr.type)}"
        return self.error("E021", message, node.span)

    def error(self, code: str, message: str, span: Span, hint: str | None = None) -> Expr | None:
        """Reports, and gives what the caller returns: no expression."""
        self.context.report(code, message, span, hint)
        return None

    def any(self, node: ast.Expression) -> Expr | None:
        handler: Callable[[Checker, Any], Expr | None] = _HANDLERS[type(node)]
        if self.context.depth == limits.TREE_DEPTH_MAX:
            return self.error("E005", "definitions nested too deeply", node.span)
        self.context.depth += 1
        try:
            expr = handler(self, node)
            if isinstance(expr, Call) and self._sizes.of(expr) > NODES_MAX:
                return self.error("E004", f"more than {NODES_MAX:,} parts", node.span)
            return expr
        except Misfit as misfit:
            return self.error(misfit.code, misfit.message, misfit.span, misfit.hint)
        finally:
            self.context.depth -= 1
            if not self.context.depth:
                self._sizes.clear()
                self._tell_doubts()

    def _tell_doubts(self) -> None:
        doubts, self.doubts = self.doubts, []
        for doubt in doubts:
            self.context.keep(doubt.warning)

    def takes(self, node: ast.Invoke, name: str, count: int) -> bool:
        """Whether a call has `count` arguments; reports it when not."""
        if len(node.arguments) == count:
            return True
        takes = f"{count} argument{'s' if count != 1 else ''}"
        self.error("E022", f"`{name}` takes {takes}, not {len(node.arguments)}", node.span)
        return False

    def operands(self, *nodes: ast.Expression) -> Operands | None:
        """All nodes checked; None if one is wrong, but only after checking them all."""
        checked = [(node, self.check(node)) for node in nodes]
        found = [(node, expr) for node, expr in checked if expr is not None]
        return found if len(found) == len(nodes) else None

    # ---- literals and names

    def number(self, node: ast.Number) -> Expr:
        if isinstance(node.value, int):
            return Const(Type(Kind.INT), node.value, node.span)
        return Const(FLOAT, float(node.value), node.span)

    def string(self, node: ast.String) -> Expr:
        return Const(STRING, node.value, node.span)

    def duration(self, node: ast.Duration) -> Expr:
        return Const(DURATION, node.ms, node.span)

    def truth(self, node: ast.Boolean) -> Expr:
        return Const(BOOL, node.value, node.span)

    def null(self, node: ast.Null) -> Expr:
        return Const(Type(Kind.NULL, optional=True), None, node.span)

    def name(self, node: ast.Variable | ast.AttributeOf) -> Expr | None:
        return named(self, node)

    def item(self, node: ast.Index) -> Expr | None:
        return item(self, node)

    # ---- operators

    def binary(self, node: ast.Binary) -> Expr | None:
        if node.op in _COMPARISONS:
            return self._compare(node)
        if node.op in ARITHMETIC:
            return arithmetic(self, node)
        if node.op == "in":
            return contained(self, node.left, node.right, node.span)
        if node.op == "is":
            return self._is(node.left, node.right, node.span)
        if node.op == "like":
            return self._like(node)
        return self._coalesce(node)

    def _compare(self, node: ast.Binary) -> Expr | None:
        operands = self.operands(node.left, node.right)
        return None if operands is None else self._compared(node.op, operands, node.span)

    def _compared(self, sign: str, operands: Operands, span: Span) -> Expr | None:
        if any(expr.type.kind is Kind.NULL for _, expr in operands):
            hint = "write `is null`" if sign == "==" else "write `is not null`"
            return self.error("E020", f"`{sign}` with null is never true", span, hint)
        both = self.unified(operands, sign, span)
        if both is None:
            return None
        op = _COMPARISONS[sign]
        if op not in {"eq", "ne"} and both[0].type.kind not in ORDERED:
            message = f"{name_of(both[0].type)} has no order, so `{sign}` cannot compare it"
            return self.error("E020", message, span)
        if op == "ne":
            self.doubts += doubts_of_unequal(both, span)
        return Call(optional(BOOL, *both), op, tuple(both), span)

    def unified(self, operands: Operands, sign: str, span: Span) -> list[Expr] | None:
        together = unify(operands)
        if together is None:
            types = " and ".join(name_of(expr.type) for _, expr in operands)
            self.error("E020", f"`{sign}` cannot take {types}", span, _advice(operands))
        return together

    def not_in(self, node: ast.NotIn) -> Expr | None:
        expr = contained(self, node.value, node.within, node.span)
        if expr is None:
            return None
        self.doubts += doubts_of_not(expr, node.span)
        return Call(expr.type, "not", (expr,), node.span)

    def _is(self, left: ast.Expression, right: ast.Expression, span: Span) -> Expr | None:
        if isinstance(right, ast.Null):
            found = self.any(left)
            return None if found is None else self._null_test("is_null", found, span)
        operands = self.operands(left, right)
        both = None if operands is None else self.unified(operands, "is", span)
        return None if both is None else Call(BOOL, "is_same", tuple(both), span)

    def is_not(self, node: ast.IsNot) -> Expr | None:
        if isinstance(node.right, ast.Null):
            return self.exists(ast.Unary(node.span, "exists", node.left))
        expr = self._is(node.left, node.right, node.span)
        return None if expr is None else Call(BOOL, "not", (expr,), node.span)

    def exists(self, node: ast.Unary) -> Expr | None:
        found = self.any(node.operand)
        return None if found is None else self._null_test("exists", found, node.span)

    def _null_test(self, op: str, found: Expr, span: Span) -> Expr:
        """A record exists when one of its fields does."""
        if is_row(found):
            there = row_exists(found, span)
            return there if op == "exists" else Call(BOOL, "not", (there,), span)
        if isinstance(found, FieldRef) and found.type.kind is Kind.RECORD:
            tests = [
                self._null_test(op, replace(found, type=f.type, path=(*found.path, f.name)), span)
                for f in found.type.fields
                if f.type.kind is not Kind.LIST
            ]
            return fold("and" if op == "is_null" else "or", tests, span)
        return Call(BOOL, op, (found,), span)

    def between(self, node: ast.Between) -> Expr | None:
        operands = self.operands(node.value, node.low, node.high)
        if operands is None:
            return None
        value, low, high = operands
        above = self._compared(">=", [value, low], node.span)
        below = self._compared("<=", [value, high], node.span) if above is not None else None
        return None if above is None or below is None else fold("and", [above, below], node.span)

    def _like(self, node: ast.Binary) -> Expr | None:
        operands = self.operands(node.left, node.right)
        if operands is None:
            return None
        text, pattern = (expr for _, expr in operands)
        if not isinstance(node.right, ast.String):
            return self.error("E026", "the pattern of `like` must be a string", node.right.span)
        if text.type.kind not in TEXT:
            return self.error("E020", f"`like` cannot take {name_of(text.type)}", node.span)
        return Call(optional(BOOL, text), "like", (text, pattern), node.span)

    def regex(self, node: ast.MatchesRegex) -> Expr | None:
        text = self.check(node.value)
        problem = regex_problem(node.pattern, node.flags)
        if problem is not None:
            self.error("E025", problem, node.span)
        if text is None or problem is not None:
            return None
        if text.type.kind not in TEXT:
            return self.error("E020", f"`=~` cannot take {name_of(text.type)}", node.span)
        flags = f"(?{''.join(sorted(set(node.flags)))})" if node.flags else ""
        const = Const(STRING, flags + node.pattern, node.span)
        return Call(optional(BOOL, text), "regex", (text, const), node.span)

    def _coalesce(self, node: ast.Binary) -> Expr | None:
        operands = self.operands(node.left, node.right)
        both = None if operands is None else self.unified(operands, "??", node.span)
        if both is None:
            return None
        type_ = replace(joined(both), optional=both[1].type.optional)
        return Call(type_, "coalesce", tuple(both), node.span)

    def unary(self, node: ast.Unary) -> Expr | None:
        if node.op == "exists":
            return self.exists(node)
        operand = self.check(node.operand)
        if operand is None:
            return None
        if node.op == "-":
            if isinstance(operand, Const) and isinstance(operand.value, int | float):
                return Const(operand.type, -operand.value, node.span)
            if operand.type.kind not in NUMBERS | {Kind.DURATION}:
                return self.error("E020", f"`-` cannot take {name_of(operand.type)}", node.span)
            return Call(operand.type, "neg", (operand,), node.span)
        if self.boolean(node.operand, operand) is None:
            return None
        self.doubts += doubts_of_not(operand, node.span)
        return Call(operand.type, "not", (operand,), node.span)

    def logic(self, node: ast.Logic) -> Expr | None:
        checked: list[Expr | None] = []
        doubts: list[list[Doubt]] = []
        for operand in node.operands:
            outer, self.doubts = self.doubts, []
            checked.append(self.condition(operand))
            doubts.append(self.doubts)
            self.doubts = outer
        found = [expr for expr in checked if expr is not None]
        if any(doubts):
            self._decide(doubts, node, checked)
        return fold(node.op, found, node.span) if len(found) == len(checked) else None

    def _decide(
        self, doubts: list[list[Doubt]], node: ast.Logic, checked: list[Expr | None]
    ) -> None:
        """Keep the doubts about each operand that stand in spite of those beside it."""
        known = [known_by(self.scope, *pair) for pair in zip(node.operands, checked, strict=True)]
        if node.op != "and":
            known = [frozenset()] * len(known)
        nothing = frozenset[Place]()
        before = accumulate(known, frozenset.union, initial=nothing)
        after = [*accumulate(reversed(known), frozenset.union, initial=nothing)][-2::-1]
        for inside, left, right in zip(doubts, before, after, strict=False):
            self.doubts += undecided(inside, left | right)

    def conditional(self, node: ast.Conditional) -> Expr | None:
        condition = self.condition(node.condition)
        operands = self.operands(node.then, node.otherwise)
        if condition is None or operands is None:
            return None
        both = self.unified(operands, "if … else", node.span)
        if both is None:
            return None
        return Call(joined(both), "if", (condition, *both), node.span)

    def invoke(self, node: ast.Invoke) -> Expr | None:
        return call(self, node)

    def misplaced(self, node: ast.Array | ast.Object) -> None:
        if isinstance(node, ast.Array):
            self.operands(*node.items)
            self.error("E024", "a list where one value is needed", node.span)
        else:
            self.error("E024", "a record where one value is needed", node.span)

    def step_field(self, node: ast.Expression) -> tuple[str, tuple[ast.Name, ...]] | None:
        """`a.x` with `a` a step in scope (the own one included): its label and the names."""
        parts = chain(node)
        if parts is None:
            return None
        label = parts[0].name
        known = label in self.scope.steps or label in self.scope.own_labels
        return (label, parts[1]) if known or label in self.scope.later else None


def _advice(operands: Operands) -> str | None:
    kinds = {expr.type.kind for _, expr in operands}
    if Kind.STRING in kinds and kinds & NUMBERS:
        return "numbers are written without quotes"
    if Kind.DURATION in kinds and kinds & NUMBERS:
        return "durations have a unit: `5m`"
    return None


_HANDLERS: dict[type[ast.Node], Callable[[Checker, Any], Expr | None]] = {
    ast.Variable: Checker.name,
    ast.AttributeOf: Checker.name,
    ast.Number: Checker.number,
    ast.String: Checker.string,
    ast.Duration: Checker.duration,
    ast.Boolean: Checker.truth,
    ast.Null: Checker.null,
    ast.Unary: Checker.unary,
    ast.Binary: Checker.binary,
    ast.NotIn: Checker.not_in,
    ast.IsNot: Checker.is_not,
    ast.Logic: Checker.logic,
    ast.Between: Checker.between,
    ast.MatchesRegex: Checker.regex,
    ast.Conditional: Checker.conditional,
    ast.Index: Checker.item,
    ast.Invoke: Checker.invoke,
    ast.Array: Checker.misplaced,
    ast.Object: Checker.misplaced,
}
