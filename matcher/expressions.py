"""Compile conditions: what one event decides becomes an atom, the rest byte code.

A condition is cut at its `and`s.  A part that reads only the event being tested is an atom, tested
for the whole batch at once; a part that also reads bound events becomes code over the run's
registers.  Inside such code, anything that depends on a single event is still computed as a column
(and captured in a register when that event was bound earlier), so the code does only what must be
done per run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from dsl.model import Aggregate, Call, Const, Expr, FieldRef, KeyRef, Kind, Rule, Type
from matcher.batch import NULL
from matcher.bytecode import Action, Compare, Op
from matcher.evaluate import NULL_AWARE
from matcher.layout import NAN_BITS, Layout, is_float, is_text
from matcher.schema import walk
from matcher.strings import Strings

SLOTS_MAX = 60  # the kernel's scratch has 64, of which the last are its own


class UnsupportedRule(ValueError):
    """A sound rule that the tables cannot hold: too large, or an expression code cannot say."""


class UnsupportedExpression(UnsupportedRule):
    """An expression across events that the byte code cannot say; `expr.span` is the place."""

    def __init__(self, reason: str, expr: Expr) -> None:
        super().__init__(reason)
        self.expr = expr


@dataclass(slots=True)
class Code:
    """All programs of one rule, as rows of (op, target, a, b), and their constants (bits)."""

    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    begin: list[int] = field(default_factory=lambda: [0])
    results: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)


def conjuncts(condition: Expr | None) -> Iterator[Expr]:
    """The parts that must all be true."""
    if isinstance(condition, Call) and condition.op == "and":
        for part in condition.args:
            yield from conjuncts(part)
    elif condition is not None:
        yield condition


def about(expr: Expr, rule: Rule) -> set[int | None]:
    """Which events `expr` reads: None for the one being tested, a step, or -1 for many."""
    read: set[int | None] = set()
    for node in walk(expr):
        if isinstance(node, FieldRef):
            read.add(node.step)
        elif isinstance(node, Aggregate | KeyRef):
            read.add(-1)
    return read


def _null_in_null_out(expr: Expr) -> bool:
    """Whether `expr` is null when its event is not there, as a register without a value is."""
    return all(node.op not in NULL_AWARE for node in walk(expr) if isinstance(node, Call))


def conjoin(parts: list[Expr]) -> Expr | None:
    if not parts:
        return None
    whole = parts[0]
    for part in parts[1:]:
        optional = whole.type.optional or part.type.optional
        whole = Call(Type(Kind.BOOL, optional=optional), "and", (whole, part), part.span)
    return whole


Test = tuple[int, int, int]
SIDES_SWAPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def split_tests(
    condition: Expr | None, step: int, layout: Layout
) -> tuple[list[Test], Expr | None]:
    """(comparisons of the event with one earlier event, what is left for the byte code)."""
    tests: list[Test] = []
    rest: list[Expr] = []
    for part in conjuncts(condition):
        test = _test(part, step, layout)
        if test is None:
            rest.append(part)
        else:
            tests.append(test)
    return tests, conjoin(rest)


def _test(part: Expr, step: int, layout: Layout) -> Test | None:
    if not isinstance(part, Call) or part.op not in SIDES_SWAPPED:
        return None
    op, (own, bound) = part.op, part.args
    if None not in about(own, layout.rule):
        op, own, bound = SIDES_SWAPPED[op], bound, own
    earlier = about(bound, layout.rule)
    if about(own, layout.rule) != {None} or len(earlier) != 1 or earlier & {None, -1}:
        return None
    if not _null_in_null_out(bound) or (is_text(own.type) and op not in ("eq", "ne")):
        return None
    (bound_step,) = earlier
    assert bound_step is not None
    compare = Compare[f"{op.upper()}_{'FLOAT' if is_float(own.type) else 'INT'}"]
    return int(compare), layout.column(step, own), layout.capture(bound_step, bound)


def own_parts(condition: Expr | None, rule: Rule) -> tuple[list[Expr], Expr | None]:
    """(the parts one event decides, what is left for the byte code)."""
    own: list[Expr] = []
    rest: list[Expr] = []
    for part in conjuncts(condition):
        (own if about(part, rule) <= {None} else rest).append(part)
    return own, conjoin(rest)


def compile_program(
    expr: Expr, step: int | None, layout: Layout, code: Code, strings: Strings
) -> int:
    """Append the program for `expr`, tested when an event is offered to `step`; returns its number.

    `step` is None for `where`, which reads registers only.
    """
    compiler = _Compiler(step, layout, code, strings)
    result = compiler.slot(expr)
    if compiler.most > SLOTS_MAX:
        raise UnsupportedExpression("condition is too large", expr)
    code.results.append(result)
    code.begin.append(len(code.rows))
    return len(code.results) - 1


INT_OPS = {
    "eq": Op.EQ_INT,
    "lt": Op.LT_INT,
    "le": Op.LE_INT,
    "add": Op.ADD_INT,
    "sub": Op.SUB_INT,
    "mul": Op.MUL_INT,
    "mod": Op.MOD_INT,
    "neg": Op.NEG_INT,
    "abs": Op.ABS_INT,
    "is_same": Op.SAME_INT,
    "is_null": Op.IS_NULL_INT,
    "coalesce": Op.OR_ELSE_INT,
}
FLOAT_OPS = {
    "eq": Op.EQ_FLOAT,
    "lt": Op.LT_FLOAT,
    "le": Op.LE_FLOAT,
    "add": Op.ADD_FLOAT,
    "sub": Op.SUB_FLOAT,
    "mul": Op.MUL_FLOAT,
    "div": Op.DIV_FLOAT,
    "mod": Op.MOD_FLOAT,
    "neg": Op.NEG_FLOAT,
    "abs": Op.ABS_FLOAT,
    "is_same": Op.SAME_FLOAT,
    "is_null": Op.IS_NULL_FLOAT,
    "coalesce": Op.OR_ELSE_FLOAT,
}
SWAPPED = {"gt": "lt", "ge": "le"}
ORDERED = frozenset({"lt", "le", "gt", "ge", "min2", "max2"})


@dataclass(slots=True)
class _Compiler:
    step: int | None
    layout: Layout
    code: Code
    strings: Strings
    used: int = 0
    most: int = 0

    def slot(self, expr: Expr) -> int:
        """Emit code for `expr`; returns the slot that holds it."""
        if isinstance(expr, Const):
            return self.constant(self._bits(expr, expr.value))
        read = about(expr, self.layout.rule)
        if read == {None} and self.step is not None:
            return self.emit(Op.COLUMN, self.layout.column(self.step, expr))
        if len(read) == 1 and not read & {None, -1} and _null_in_null_out(expr):
            (bound,) = read
            assert bound is not None
            return self.emit(Op.REGISTER, self.layout.capture(bound, expr))
        if isinstance(expr, Aggregate):
            return self.aggregate(expr)
        if isinstance(expr, KeyRef):
            return self.key_part(expr)
        if isinstance(expr, Call):
            return self.call(expr)
        raise UnsupportedExpression("a condition cannot read this here", expr)

    def key_part(self, expr: KeyRef) -> int:
        """Every bound event agrees on the key, so the first way in that binds one will do."""
        rule = self.layout.rule
        found = None
        for step in rule.steps:
            if step.absent:
                continue
            value = FieldRef(expr.type, None, step.key[expr.index], expr.span)
            held = self.emit(Op.REGISTER, self.layout.capture(step.index, value))
            found = held if found is None else self.emit(Op.OR_ELSE_INT, found, held)
        assert found is not None
        return found

    def call(self, expr: Call) -> int:
        op, args = expr.op, expr.args
        if op in ORDERED | {"in"} and is_text(args[0].type) and op != "in":
            raise UnsupportedExpression("texts of different events have no order", expr)
        match op:
            case "and" | "or":
                base = self.used
                left = self.settle(base, self.slot(args[0]))
                right = self.slot(args[1])
                return self.settle(base, self.emit(Op[op.upper()], left, right))
            case "not":
                return self.emit(Op.NOT, self.slot(args[0]))
            case "ne":
                return self.emit(Op.NOT, self.typed("eq", args))
            case "gt" | "ge":
                return self.typed(SWAPPED[op], (args[1], args[0]))
            case "exists":
                return self.emit(Op.NOT, self.typed("is_null", args))
            case "to_float":
                divisor = float(10 ** args[0].type.scale)
                return self.emit(Op.TO_FLOAT, self.slot(args[0]), self._constant(int(divisor)))
            case "rescale":
                factor = 10 ** (expr.type.scale - args[0].type.scale)
                return self.emit(Op.MUL_INT, self.slot(args[0]), self.constant(factor))
            case "if":
                return self.choose(args)
            case "in":
                return self.member(args[0], args[1])
            case "min2" | "max2":
                return self.extreme(op, args)
            case _:
                return self.typed(op, args)

    def typed(self, op: str, args: tuple[Expr, ...]) -> int:
        ops = FLOAT_OPS if is_float(args[0].type) else INT_OPS
        if op not in ops or (is_text(args[0].type) and op in ("add", "lt", "le")):
            raise UnsupportedExpression(
                f"{op.replace('_', ' ')} cannot be used between texts of different events",
                args[0],
            )
        slots = [self.slot(arg) for arg in args]
        return self.emit(ops[op], *slots)

    def choose(self, args: tuple[Expr, ...]) -> int:
        condition, then, other = (self.slot(arg) for arg in args)
        result = self.emit(Op.MOVE, other)
        self.code.rows.append((int(Op.MOVE_IF), result, condition, then))
        return result

    def extreme(self, op: str, args: tuple[Expr, ...]) -> int:
        """The smaller or larger of two, null when either is."""
        first, second = self.slot(args[0]), self.slot(args[1])
        ops = FLOAT_OPS if is_float(args[0].type) else INT_OPS
        pair = (first, second) if op == "min2" else (second, first)
        smaller = self.emit(ops["le"], *pair)
        result = self.emit(Op.CONST, self._constant(self._null(args[0].type)))
        larger = self.emit(Op.NOT, smaller)
        self.code.rows.append((int(Op.MOVE_IF), result, smaller, first))
        self.code.rows.append((int(Op.MOVE_IF), result, larger, second))
        return result

    def member(self, value: Expr, group: Expr) -> int:
        if isinstance(group, Aggregate) and group.function == "list":
            assert group.path is not None
            field = FieldRef(self._item_type(group), None, group.path, group.span)
            wanted = self.slot(value)
            found = self.emit(Op.IN_BOUND, wanted, self.layout.walk(group.step, field))
            if not group.own:
                return found
            own = self.emit(Op.COLUMN, self.layout.column(group.step, field))
            same = self.emit(Op.SAME_FLOAT if is_float(field.type) else Op.SAME_INT, wanted, own)
            return self.null_with(value, self.emit(Op.OR, found, same))
        if isinstance(group, Const):
            assert isinstance(group.value, tuple)
            item = group.type.item or value.type
            members: list[Expr] = [Const(item, each, group.span) for each in group.value]
        elif isinstance(group, Call) and group.op == "array":
            members = list(group.args)
        else:
            raise UnsupportedExpression("not a list that can be searched here", group)
        return self.equal_to_any(value, members)

    def equal_to_any(self, value: Expr, members: list[Expr]) -> int:
        """Null when the value is; a member that is null equals nothing."""
        result = self.constant(0)
        for each in members:
            result = self.emit(Op.OR, result, self.typed("is_same", (value, each)))
        return self.null_with(value, result)

    def null_with(self, value: Expr, result: int) -> int:
        """`result`, or null when `value` is null."""
        unknown, null = self.typed("is_null", (value,)), self.constant(NULL)
        self.code.rows.append((int(Op.MOVE_IF), result, unknown, null))
        return result

    def aggregate(self, expr: Aggregate) -> int:
        layout, step = self.layout, expr.step
        if expr.function == "count" and expr.path is None:
            total = self.emit(Op.REGISTER, layout.count(step))
            return self.emit(Op.ADD_INT, total, self.constant(1)) if expr.own else total
        assert expr.path is not None
        value = FieldRef(self._item_type(expr), None, expr.path, expr.span)
        candidate = self.emit(Op.COLUMN, layout.column(step, value)) if expr.own else None
        match expr.function:
            case "sum" | "min" | "max":
                return self.fold(expr.function, step, value, candidate)
            case "avg":
                return self.average(step, value, candidate)
            case "count":
                return self.count_values(step, value, candidate)
            case "last":
                if candidate is not None:
                    return candidate
                return self.emit(Op.REGISTER, layout.capture(step, value))
            case "first":
                held = self.emit(Op.REGISTER, layout.first(step, value))
                if candidate is None:
                    return held
                count = self.emit(Op.REGISTER, layout.count(step))
                none = self.emit(Op.EQ_INT, count, self.constant(0))
                self.code.rows.append((int(Op.MOVE_IF), held, none, candidate))
                return held
            case "distinct":
                held = self.emit(Op.REGISTER, layout.distinct(step, value))
                if candidate is None:
                    return held
                new = self.emit(Op.NEW_VALUE, candidate, layout.walk(step, value))
                return self.emit(Op.ADD_INT, held, new)
            case _:
                raise UnsupportedExpression("a list can only be searched with `in`", expr)

    def fold(self, function: str, step: int, value: FieldRef, candidate: int | None) -> int:
        if is_text(value.type):
            raise UnsupportedExpression(f"{function} of texts", value)
        kind = "FLOAT" if is_float(value.type) else "INT"
        register = self.layout.fold(Action[f"{function.upper()}_{kind}"], step, value)
        held = self.emit(Op.REGISTER, register)
        if candidate is None:
            return held
        name = "PLUS" if function == "sum" else function.upper()
        return self.emit(Op[f"{name}_{kind}"], held, candidate)

    def count_values(self, step: int, value: FieldRef, candidate: int | None) -> int:
        held = self.emit(Op.REGISTER, self.layout.count_values(step, value))
        if candidate is None:
            return held
        null = Op.IS_NULL_FLOAT if is_float(value.type) else Op.IS_NULL_INT
        present = self.emit(Op.NOT, self.emit(null, candidate))
        return self.emit(Op.ADD_INT, held, present)

    def average(self, step: int, value: FieldRef, candidate: int | None) -> int:
        total = self.fold("sum", step, value, candidate)
        if not is_float(value.type):
            total = self.emit(Op.TO_FLOAT, total, self._constant(10**value.type.scale))
        count = self.count_values(step, value, candidate)
        number = self.emit(Op.TO_FLOAT, count, self._constant(1))
        return self.emit(Op.DIV_FLOAT, total, number)

    def _item_type(self, expr: Aggregate) -> Type:
        assert expr.path is not None
        event = self.layout.rule.steps[expr.step].event
        return self.layout.schema.type_of(event, expr.path)

    def settle(self, base: int, slot: int) -> int:
        """Move a result down to `base` and give the slots above it back."""
        if slot != base:
            self.code.rows.append((int(Op.MOVE), base, slot, 0))
        self.used = base + 1
        return base

    def emit(self, op: Op, a: int, b: int = 0) -> int:
        target = self.used
        self.used += 1
        self.most = max(self.most, self.used)
        self.code.rows.append((int(op), target, a, b))
        return target

    def constant(self, bits: int) -> int:
        return self.emit(Op.CONST, self._constant(bits))

    def _constant(self, bits: int) -> int:
        self.code.constants.append(bits)
        return len(self.code.constants) - 1

    def _bits(self, expr: Expr, value: object) -> int:
        if value is None:
            return self._null(expr.type)
        if is_float(expr.type):
            return int(np.float64(value).view(np.int64))  # type: ignore[arg-type]  # a number
        if is_text(expr.type):
            return self.strings.code(str(value))
        return int(value)  # type: ignore[call-overload, no-any-return]  # bool, int or ms

    def _null(self, type: Type) -> int:
        return NAN_BITS if is_float(type) else NULL
