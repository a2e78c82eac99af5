"""Conditions across events as programs for `matcher.vm`: expressions → rows of byte code.

A program reads the run's registers and, for a step's condition, the columns of the event being
tested.  What depends on a single event is computed as a column (and captured in a register when
that event was bound earlier), so a program does only what must be done per run.  What then has no
instruction is a call back to Python (`matcher.host`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dsl.model import Aggregate, Call, Const, Expr, FieldRef, KeyRef, Kind, Rule, Type
from dsl.operators import LOOKUPS
from matcher.batch import NULL
from matcher.bytecode import Action, Op
from matcher.evaluate import NULL_AWARE, apply, found_row, lookup_parts, of_values
from matcher.host import Bound, Fixed, HostCall, Slot
from matcher.layout import Layout, bits_of, is_float, null_bits
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
    """All programs of one rule, as rows of (op, target, a, b).

    Beside them their constants (bits), and the calls of the instruction HOST.
    """

    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    begin: list[int] = field(default_factory=lambda: [0])
    results: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    calls: list[HostCall] = field(default_factory=list)


def about(expr: Expr, rule: Rule) -> set[int | None]:
    """Which events `expr` reads: None for the one being tested, a step, or -1 for many.

    A look-up that reads no event is about the one being tested, as of which it is.
    """
    read: set[int | None] = set()
    for node in walk(expr):
        if isinstance(node, FieldRef):
            read.add(node.step)
        elif isinstance(node, Aggregate | KeyRef):
            read.add(-1)
        elif isinstance(node, Call) and node.op in LOOKUPS and not reads_events(node):
            read.add(None)
    return read


def reads_events(expr: Expr) -> bool:
    """Whether anything but the rule's key is read."""
    return any(isinstance(node, FieldRef | Aggregate) for node in walk(expr))


def can_be_captured(expr: Expr) -> bool:
    """Whether `expr`, about one earlier event, can be computed when that event comes.

    Not if something is looked up even where there is no such event: as of the event tested, then.
    """
    return not any(
        isinstance(inner, Call) and inner.op in NULL_AWARE
        for node in walk(expr)
        if isinstance(node, Call) and node.op in LOOKUPS
        for inner in walk(node)
    )


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
    "sqrt": Op.SQRT,
    "floor": Op.FLOOR,
    "ceil": Op.CEIL,
    "round": Op.ROUND,
    "to_int": Op.TO_INT,
    "is_same": Op.SAME_FLOAT,
    "is_null": Op.IS_NULL_FLOAT,
    "coalesce": Op.OR_ELSE_FLOAT,
}
SWAPPED = {"gt": "lt", "ge": "le"}
POSITION_TYPE = Type(Kind.INT, optional=True)
OF_ALL = frozenset({"list", "stddev", "quantile", "top"})
"""Aggregates computed from all values of a step, which are kept beside the evidence."""

WHOLE = frozenset({"floor", "ceil", "round"})


@dataclass(slots=True)
class _Compiler:
    step: int | None
    layout: Layout
    code: Code
    strings: Strings
    used: int = 0
    most: int = 0

    def slot(self, expr: Expr) -> int:
        """Emit code for `expr`; returns the slot that holds it, which is the next one free."""
        if isinstance(expr, Const):
            return self.constant(bits_of(expr.type, expr.value, self.strings))
        read = about(expr, self.layout.rule)
        if read == {None} and self.step is not None:
            return self.emit(Op.COLUMN, self.layout.column(self.step, expr))
        if len(read) == 1 and not read & {None, -1} and can_be_captured(expr):
            (bound,) = read
            assert bound is not None
            return self.emit(Op.REGISTER, self.layout.capture(bound, expr))
        if isinstance(expr, Call) and expr.op in LOOKUPS and not reads_events(expr):
            return self.emit(Op.REGISTER, self.layout.capture_last(expr))
        if isinstance(expr, Aggregate):
            base = self.used
            return self.settle(base, self.aggregate(expr))
        if isinstance(expr, KeyRef):
            return self.key_part(expr)
        if isinstance(expr, Call):
            base = self.used
            return self.settle(base, self.call(expr))
        raise UnsupportedExpression("a condition cannot read this here", expr)

    def key_part(self, expr: KeyRef) -> int:
        """Every bound event agrees on the key, so the first way in that binds one will do."""
        rule, base = self.layout.rule, self.used
        found = None
        for step in rule.steps:
            if step.absent:
                continue
            value = FieldRef(expr.type, None, step.key[expr.index], expr.span)
            held = self.emit(Op.REGISTER, self.layout.capture(step.index, value))
            found = held if found is None else self.emit(Op.OR_ELSE_INT, found, held)
        assert found is not None
        return self.settle(base, found)

    def call(self, expr: Call) -> int:
        op, args = expr.op, _of_one_kind(expr)
        match op:
            case "and" | "or":
                left, right = self.slot(args[0]), self.slot(args[1])
                return self.emit(Op[op.upper()], left, right)
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
                return self.contained(expr)
            case "lookup" | "listed":
                return self.look_up(expr)
            case "min2" | "max2":
                return self.extreme(op, args)
            case "distance_km":
                first, *_ = [self.slot(arg) for arg in args]
                return self.emit(Op.DISTANCE_KM, first)
            case op if op in WHOLE and not is_float(args[0].type):
                return self.slot(args[0])
            case op if op in (FLOAT_OPS if is_float(args[0].type) else INT_OPS):
                return self.typed(op, args)
        return self.host(expr)

    def typed(self, op: str, args: tuple[Expr, ...]) -> int:
        ops = FLOAT_OPS if is_float(args[0].type) else INT_OPS
        slots = [self.slot(arg) for arg in args]
        return self.emit(ops[op], *slots)

    def host(self, expr: Call) -> int:
        """An operator without an instruction: computed by `matcher.evaluate` itself."""
        arguments: list[Slot | Fixed | Bound] = []
        for arg in expr.args:
            if isinstance(arg, Const):
                arguments.append(Fixed(arg.value))
            elif isinstance(arg, Aggregate) and arg.function in OF_ALL:
                arguments.append(self.bound(arg))
            else:
                arguments.append(Slot(self.slot(arg), arg.type.kind))
        return self.emit_call(expr.type.kind, arguments, lambda values: apply(expr, values))

    def look_up(self, expr: Call) -> int:
        """By a key of several events: as of the event tested, or bound last."""
        rows = self.layout.atoms.tables
        assert rows is not None, "a rule that looks rows up needs tables"
        names, keys = lookup_parts(expr)
        now = Call(POSITION_TYPE, "position", (), expr.span)
        at = self.slot(now)
        read = about(expr, self.layout.rule)
        if len(read) == 1 and not read & {None, -1}:  # one earlier event, if there is one
            (bound,) = read
            assert bound is not None
            held = self.emit(Op.REGISTER, self.layout.capture(bound, now))
            at = self.emit(Op.OR_ELSE_INT, held, at)
        arguments: list[Slot | Fixed | Bound] = [Slot(at, Kind.INT)]
        for key in keys:
            if isinstance(key, Const):
                arguments.append(Fixed(key.value))
            else:
                arguments.append(Slot(self.slot(key), key.type.kind))

        def find(values: list[object]) -> object:
            position, *key = values
            assert isinstance(position, int), "some event is bound"
            return found_row(rows, names, tuple(key), position)

        return self.emit_call(expr.type.kind, arguments, find)

    def bound(self, expr: Aggregate) -> Bound:
        """An aggregate that looks at all values each time it is asked for."""
        value = self.value_of(expr)
        walk = self.layout.walks[self.layout.walk(expr.step, value)]
        candidate = None
        if expr.own:
            column = self.layout.column(expr.step, value)
            candidate = Slot(self.emit(Op.COLUMN, column), value.type.kind)
        return Bound(
            walk.step, walk.place, value.type.kind, candidate, lambda found: of_values(expr, found)
        )

    def emit_call(
        self,
        kind: Kind,
        arguments: list[Slot | Fixed | Bound],
        function: Callable[[list[object]], object],
    ) -> int:
        target = self.emit(Op.HOST, len(self.code.calls))
        self.code.calls.append(HostCall(function, tuple(arguments), kind, target))
        return target

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
        result = self.emit(Op.CONST, self._constant(null_bits(args[0].type)))
        larger = self.emit(Op.NOT, smaller)
        self.code.rows.append((int(Op.MOVE_IF), result, smaller, first))
        self.code.rows.append((int(Op.MOVE_IF), result, larger, second))
        return result

    def among(self, value: Expr, group: Aggregate) -> int:
        """Whether a value is among those of the events bound to a step."""
        field = self.value_of(group)
        wanted = self.slot(value)
        found = self.emit(Op.IN_BOUND, wanted, self.layout.walk(group.step, field))
        if not group.own:
            return found
        own = self.emit(Op.COLUMN, self.layout.column(group.step, field))
        same = self.emit(_same(field.type), wanted, own)
        return self.null_with(field.type, wanted, self.emit(Op.OR, found, same))

    def contained(self, expr: Call) -> int:
        tested, group = expr.args
        value = _of_kind(group.type.item or tested.type, tested)
        match group:
            case Const(value=tuple(members)):
                item = group.type.item or value.type
                return self.equal_to_any(value, [Const(item, each, group.span) for each in members])
            case Call(op="array", args=args):
                return self.equal_to_any(value, list(args))
            case Aggregate(function="list"):
                return self.among(value, group)
        return self.host(expr)

    def equal_to_any(self, value: Expr, members: list[Expr]) -> int:
        """Null when the value is; a member that is null equals nothing."""
        wanted, result = self.slot(value), self.constant(0)
        for each in members:
            other = self.slot(_of_kind(value.type, each))
            same = self.emit(_same(value.type), wanted, other)
            self.settle(result, self.emit(Op.OR, result, same))
        return self.null_with(value.type, wanted, result)

    def null_with(self, type: Type, wanted: int, result: int) -> int:
        """`result`, or null when the slot `wanted` is null."""
        is_null = Op.IS_NULL_FLOAT if is_float(type) else Op.IS_NULL_INT
        unknown, null = self.emit(is_null, wanted), self.constant(NULL)
        self.code.rows.append((int(Op.MOVE_IF), result, unknown, null))
        return result

    def aggregate(self, expr: Aggregate) -> int:
        layout, step = self.layout, expr.step
        if expr.path is None and expr.value is None:
            total = self.emit(Op.REGISTER, layout.count(step))
            return self.emit(Op.ADD_INT, total, self.constant(1)) if expr.own else total
        if expr.function in OF_ALL:
            return self.emit_call(expr.type.kind, [self.bound(expr)], lambda values: values[0])
        value = self.value_of(expr)
        if expr.function == "prev":
            return self.emit(Op.REGISTER, layout.capture(step, value))
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
            case "first" | "nth":
                register, missing = layout.nth(step, value, int(expr.parameter or 0))
                held = self.emit(Op.REGISTER, register)
                if candidate is None:
                    return held
                none = self.emit(Op.REGISTER, missing)
                is_next = self.emit(Op.EQ_INT, none, self.constant(0))
                self.code.rows.append((int(Op.MOVE_IF), held, is_next, candidate))
                return held
            case "distinct":
                held = self.emit(Op.REGISTER, layout.distinct(step, value))
                if candidate is None:
                    return held
                new = self.emit(Op.NEW_VALUE, candidate, layout.walk(step, value))
                return self.emit(Op.ADD_INT, held, new)
        raise UnsupportedExpression(f"unknown aggregate {expr.function}", expr)

    def fold(self, function: str, step: int, value: Expr, candidate: int | None) -> int:
        kind = "FLOAT" if is_float(value.type) else "INT"
        register = self.layout.fold(Action[f"{function.upper()}_{kind}"], step, value)
        held = self.emit(Op.REGISTER, register)
        if candidate is None:
            return held
        name = "PLUS" if function == "sum" else function.upper()
        return self.emit(Op[f"{name}_{kind}"], held, candidate)

    def count_values(self, step: int, value: Expr, candidate: int | None) -> int:
        held = self.emit(Op.REGISTER, self.layout.count_values(step, value))
        if candidate is None:
            return held
        null = Op.IS_NULL_FLOAT if is_float(value.type) else Op.IS_NULL_INT
        present = self.emit(Op.NOT, self.emit(null, candidate))
        return self.emit(Op.ADD_INT, held, present)

    def average(self, step: int, value: Expr, candidate: int | None) -> int:
        total = self.fold("sum", step, value, candidate)
        if not is_float(value.type):
            total = self.emit(Op.TO_FLOAT, total, self._constant(10**value.type.scale))
        count = self.count_values(step, value, candidate)
        number = self.emit(Op.TO_FLOAT, count, self._constant(1))
        return self.emit(Op.DIV_FLOAT, total, number)

    def value_of(self, expr: Aggregate) -> Expr:
        """What the aggregate takes of each event, as an expression on that event."""
        if expr.value is not None:
            return expr.value
        assert expr.path is not None
        event = self.layout.rule.steps[expr.step].event
        type = self.layout.schema.type_of(event, expr.path)
        return FieldRef(type, None, expr.path, expr.span)

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


def _same(type: Type) -> Op:
    return Op.SAME_FLOAT if is_float(type) else Op.SAME_INT


def _of_kind(type: Type, expr: Expr) -> Expr:
    """A bare null as a null of the type, which decides the bits that stand for it."""
    if isinstance(expr, Const) and expr.type.kind is Kind.NULL:
        return Const(type, None, expr.span)
    return expr


def _of_one_kind(call: Call) -> tuple[Expr, ...]:
    """The arguments, a bare null among them of the kind of the others."""
    known = [arg.type for arg in call.args if arg.type.kind is not Kind.NULL]
    return tuple(_of_kind(known[-1], arg) for arg in call.args) if known else call.args
