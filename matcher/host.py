"""Calls from a compiled program back to Python: operators that have no instruction of their own.

    HOST target ← call[a]            the call knows which slots it reads

Texts, lists, calendars and functions written in Python are not compiled; between events they are
computed by `matcher.evaluate` itself, so the two cannot differ.  A call costs about a microsecond.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it has no types
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from dsl.model import Kind
from matcher.batch import NULL
from matcher.codec import reader, writer
from matcher.compiled import kernel
from matcher.runs import NODE_PREVIOUS, NODE_STEP, NODE_VALUES
from matcher.strings import Strings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True, slots=True)
class Slot:
    """An argument that stands in a slot."""

    slot: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Fixed:
    """An argument known when the rule is compiled."""

    value: object


@dataclass(frozen=True, slots=True)
class Bound:
    """What `of_values` makes of the values kept with every event bound to a step, in order of
    binding, and then that of the candidate."""

    step: int
    place: int
    kind: Kind
    candidate: Slot | None
    of_values: Callable[[list[object]], object]


@dataclass(frozen=True, slots=True)
class HostCall:
    """`function` takes the arguments as a list of scalars and gives a scalar of `kind`, or null."""

    function: Callable[[list[object]], object]
    arguments: tuple[Slot | Fixed | Bound, ...]
    kind: Kind
    target: int


class Host:
    """The calls of one rule, over the slots of its programs; `nodes` gives its evidence."""

    def __init__(
        self,
        calls: Sequence[HostCall],
        slots: Ints,
        floats: Floats,
        strings: Strings,
        nodes: Callable[[], Ints],
    ) -> None:
        self._slots = slots
        self._floats = floats
        self._strings = strings
        self._nodes = nodes
        self._calls = [self._prepared(call) for call in calls]
        self._error: BaseException | None = None
        self._bits = np.empty(0, np.int64)
        self.address = 0
        if calls:
            self._function = _PROTOTYPE(self._call)  # kept, or its address would lead nowhere
            self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def check(self) -> None:
        """Raise what a call raised while a kernel ran, which could not pass through it."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _call(self, number: int, node: int) -> None:
        try:
            self._calls[number](node)
        except BaseException as error:  # nothing may pass through machine code
            self._error = error

    def _prepared(self, call: HostCall) -> Callable[[int], None]:
        arguments = [self._argument(argument) for argument in call.arguments]
        is_float = call.kind is Kind.FLOAT
        into: Any = self._floats if is_float else self._slots
        null = np.nan if is_float else NULL
        write, function, target = writer(call.kind, self._strings), call.function, call.target

        def run(node: int) -> None:
            value = function([argument(node) for argument in arguments])
            into[target] = null if value is None else write(value)

        return run

    def _argument(self, argument: Slot | Fixed | Bound) -> Callable[[int], object]:
        match argument:
            case Fixed(value):
                return lambda _: value
            case Slot(slot, kind):
                return lambda _: self._scalar(kind, slot)
            case Bound():
                return lambda node: argument.of_values(self._bound(argument, node))

    def _scalar(self, kind: Kind, slot: int) -> object:
        if kind is Kind.FLOAT:
            number = float(self._floats[slot])
            return None if number != number else number
        stored = int(self._slots[slot])
        return None if stored == NULL else reader(kind, self._strings)(stored)

    def _bound(self, argument: Bound, node: int) -> list[object]:
        nodes = self._nodes()
        if len(self._bits) < len(nodes):
            self._bits = np.empty(len(nodes), np.int64)
        bits = self._bits
        size = bound_values(node, argument.step, argument.place, nodes, bits)
        read = reader(argument.kind, self._strings)
        values: list[object]
        if argument.kind is Kind.FLOAT:
            numbers = bits[:size][::-1].view(np.float64).tolist()
            values = [None if number != number else number for number in numbers]
        else:
            stored = bits[:size][::-1].tolist()
            values = [None if each == NULL else read(each) for each in stored]
        if argument.candidate is not None:
            values.append(self._scalar(argument.kind, argument.candidate.slot))
        return values


@kernel
def bound_values(node: int, step: int, place: int, nodes: Ints, into: Ints) -> int:
    """Write the values kept with the events bound to `step`, last one first; returns how many."""
    size = 0
    while node >= 0:
        if nodes[node, NODE_STEP] == step:
            into[size] = nodes[node, NODE_VALUES + place]
            size += 1
        node = nodes[node, NODE_PREVIOUS]
    return size


# ------------------------------------------------------------------------------ from the kernels


def call_host(address: int, number: int, node: int) -> None:
    """Make call `number` of the host at `address`, for a run whose last evidence is `node`."""
    _PROTOTYPE(int(address))(int(number), int(node))


def _address_called(
    typing_context: Any, address: Any, number: Any, node: Any
) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [word, word])
        builder.call(builder.inttoptr(args[0], function.as_pointer()), [args[1], args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


_call_address: Any = intrinsic(_address_called)


@overload(call_host)
def _compiled_call_host(address: int, number: int, node: int) -> Callable[..., None]:
    def call(address: int, number: int, node: int) -> None:
        _call_address(address, number, node)

    return call
