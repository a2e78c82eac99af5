"""What a run of one rule remembers: its registers, and the values kept beside its evidence.

Only what later conditions read is remembered.  The expression compiler asks for a register or a
walk while it compiles; each request records the action that fills it when an event is bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from dsl.model import Call, Const, Expr, FieldRef, KeyRef, Kind, Path, Rule, Type
from matcher.atoms import Atoms
from matcher.batch import NULL
from matcher.bytecode import Action
from matcher.codec import CODED, writer
from matcher.evaluate import Environment, evaluate
from matcher.schema import Schema
from matcher.strings import Strings

NAN_BITS = 0x7FF8000000000000


def is_float(type: Type) -> bool:
    return type.kind is Kind.FLOAT


def is_text(type: Type) -> bool:
    """Whether values are codes of `Strings`, which mean nothing outside this process."""
    return type.kind in CODED


def null_bits(type: Type) -> int:
    return NAN_BITS if is_float(type) else NULL


def bits_of(type: Type, value: object, strings: Strings) -> int:
    """A scalar of the type, or None, as the 64 bits that stand for it in registers."""
    if value is None:
        return null_bits(type)
    stored = writer(type.kind, strings)(value)
    return int(np.float64(stored).view(np.int64)) if is_float(type) else int(stored)


@dataclass(frozen=True, slots=True)
class Register:
    """`initial` is the value (bits) of a run that has bound nothing."""

    initial: int
    text: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """Place `place` of the values kept with each event bound to `step`."""

    step: int
    place: int
    float_: bool
    text: bool


@dataclass(slots=True)
class Layout:
    """Registers, walks, columns and actions of one rule; `actions[s]` are (action, …) of step s."""

    rule: Rule
    schema: Schema
    atoms: Atoms
    registers: list[Register] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)  # ids of derived columns
    actions: list[list[tuple[int, int, int, int]]] = field(default_factory=list)
    _registers: dict[object, int] = field(default_factory=dict)
    _walks: dict[object, int] = field(default_factory=dict)
    _columns: dict[tuple[str, Expr], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.actions = [[] for _ in self.rule.steps]

    def column(self, step: int, expr: Expr) -> int:
        """Column with the value of `expr`, which reads only the event being tested."""
        event = self.rule.steps[step].event
        place = self._columns.setdefault((event, expr), len(self.columns))
        if place == len(self.columns):
            self.columns.append(self.atoms.derived(event, expr))
        return place

    def source(self, place: int) -> Expr:
        """What the column at `place` of `columns` holds the value of."""
        return list(self._columns)[place][1]

    def capture(self, step: int, expr: Expr) -> int:
        """Register with `expr` of the event last bound to `step`; null while nothing is."""
        own = as_own(expr)
        return self._register(
            ("capture", step, own),
            Register(self._of_nothing(own), is_text(expr.type)),
            step,
            lambda register: (Action.STORE, register, self.column(step, own), 0),
        )

    def _of_nothing(self, own: Expr) -> int:
        """The value (bits) while nothing is bound: every field is null, `own` need not be."""
        return bits_of(own.type, evaluate(own, Environment({}, {}, ())), self.atoms.strings)

    def capture_last(self, expr: Expr) -> int:
        """Register with `expr`, which reads no event, as of the one bound last to any step.

        Parts of the rule's key are read from the field that holds them in that event.
        """
        number = len(self.registers)
        if self._registers.setdefault(("last", expr), number) == number:
            self.registers.append(Register(null_bits(expr.type), is_text(expr.type)))
            for step in self.rule.steps:
                if not step.absent:
                    column = self.column(step.index, as_own(expr, step.key))
                    self.actions[step.index].append((Action.STORE, number, column, 0))
        return self._registers["last", expr]

    def counter(self) -> int:
        """A register of its own, for a loop of the pattern."""
        self.registers.append(Register(0))
        return len(self.registers) - 1

    def count(self, step: int, begin: int = 0) -> int:
        """Register with the number of events bound to `step`, counted up from `begin`."""
        return self._register(
            ("count", step, begin),
            Register(begin),
            step,
            lambda register: (Action.COUNT, register, 0, 0),
        )

    def nth(self, step: int, value: Expr, index: int) -> tuple[int, int]:
        """(register with the value of the event bound after `index` others, how many are missing)

        The second counts up from -index, so it is 0 exactly when the next event is the one.
        """
        missing = self.count(step, -index)
        column = self.column(step, value)
        held = self._register(
            ("nth", step, value, index),
            Register(null_bits(value.type), is_text(value.type)),
            step,
            lambda register: (Action.FIRST, register, column, missing),
        )
        return held, missing

    def count_values(self, step: int, value: Expr) -> int:
        """Register with the number of values that are not null."""
        action = Action.COUNT_FLOAT if is_float(value.type) else Action.COUNT_INT
        column = self.column(step, value)
        return self._register(
            ("count values", step, value),
            Register(0),
            step,
            lambda register: (action, register, column, 0),
        )

    def fold(self, action: Action, step: int, value: Expr) -> int:
        """Register with a sum, minimum or maximum; null while there is no value."""
        column = self.column(step, value)
        return self._register(
            (action, step, value),
            Register(null_bits(value.type)),
            step,
            lambda register: (action, register, column, 0),
        )

    def distinct(self, step: int, value: Expr) -> int:
        column, walk = self.column(step, value), self.walk(step, value)
        return self._register(
            ("distinct", step, value),
            Register(0),
            step,
            lambda register: (Action.DISTINCT, register, column, walk),
        )

    def walk(self, step: int, value: Expr) -> int:
        """The values of `value` for all events bound to `step`, kept beside the evidence."""
        key = (step, value)
        if key not in self._walks:
            self._walks[key] = len(self.walks)
            place = sum(walk.step == step for walk in self.walks)
            self.walks.append(Walk(step, place, is_float(value.type), is_text(value.type)))
            column = self.column(step, value)
            self.actions[step].append((Action.KEEP, place, column, 0))
        return self._walks[key]

    def ordered_actions(self, step: int) -> list[tuple[int, int, int, int]]:
        """FIRST reads the count before it is raised, so counting comes last."""
        return sorted(self.actions[step], key=lambda action: action[0] == Action.COUNT)

    @property
    def places(self) -> int:
        """How many values are kept beside each piece of evidence."""
        return max((walk.place + 1 for walk in self.walks), default=0)

    def _register(
        self,
        key: object,
        register: Register,
        step: int,
        action: Callable[[int], tuple[int, int, int, int]],
    ) -> int:
        if key not in self._registers:
            number = len(self.registers)
            self._registers[key] = number
            self.registers.append(register)
            self.actions[step].append(action(number))
        return self._registers[key]


def as_own(expr: Expr, key: tuple[Path, ...] = ()) -> Expr:
    """`expr` about one bound event, rewritten to be about the event being tested.

    `key` says where that event has the parts of the rule's key.
    """
    match expr:
        case FieldRef():
            return replace(expr, step=None)
        case Call(type, op, args, span):
            return Call(type, op, tuple(as_own(arg, key) for arg in args), span)
        case KeyRef(type, index, span) if key:
            return FieldRef(type, None, key[index], span)
        case Const():
            return expr
        case _:
            raise TypeError(f"not about one event: {expr}")
