"""Calls from compiled programs back to Python: what they read, what they give, what they raise."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from dsl.model import Kind
from matcher.batch import NULL
from matcher.host import Bound, Fixed, Host, HostCall, Slot, call_host
from matcher.runs import NODE_PREVIOUS, NODE_STEP, NODE_VALUES
from matcher.strings import Strings

STRINGS = Strings()


def host_of(*calls: HostCall, nodes: np.ndarray | None = None) -> tuple[Host, np.ndarray]:
    slots = np.zeros(8, np.int64)
    held = np.zeros((0, NODE_VALUES + 1), np.int64) if nodes is None else nodes
    return Host(calls, slots, slots.view(np.float64), STRINGS, lambda: held), slots


def test_arguments_are_scalars_and_the_result_is_stored() -> None:
    seen: list[object] = []

    def function(values: list[object]) -> object:
        seen.extend(values)
        return "ab"

    arguments = (
        Slot(0, Kind.STRING), Slot(1, Kind.FLOAT), Slot(2, Kind.INT), Slot(3, Kind.BOOL), Fixed("x")
    )  # fmt: skip
    host, slots = host_of(HostCall(function, arguments, Kind.STRING, 5))
    slots[0], slots[2], slots[3] = STRINGS.code("u"), NULL, 1
    slots.view(np.float64)[1] = 2.5
    call_host(host.address, 0, -1)
    host.check()
    assert seen == ["u", 2.5, None, True, "x"]
    assert slots[5] == STRINGS.code("ab")


@pytest.mark.parametrize(("kind", "null"), [(Kind.INT, NULL), (Kind.FLOAT, np.nan)])
def test_null_is_stored_as_the_null_of_the_kind(kind: Kind, null: float) -> None:
    host, slots = host_of(HostCall(lambda _: None, (), kind, 0))
    call_host(host.address, 0, -1)
    found = slots.view(np.float64)[0] if kind is Kind.FLOAT else slots[0]
    assert found == null or (np.isnan(found) and np.isnan(null))


def test_values_kept_with_evidence_come_in_the_order_of_binding() -> None:
    nodes = np.zeros((4, NODE_VALUES + 1), np.int64)
    for node, (previous, step, value) in enumerate(
        [(-1, 0, 7), (0, 1, 8), (1, 0, NULL), (2, 0, 9)]
    ):
        nodes[node, [NODE_PREVIOUS, NODE_STEP, NODE_VALUES]] = previous, step, value
    seen: list[object] = []
    bound = Bound(0, 0, Kind.INT, Slot(1, Kind.INT), tuple)
    host, slots = host_of(HostCall(lambda v: seen.extend(v), (bound,), Kind.INT, 0), nodes=nodes)
    slots[1] = 10
    call_host(host.address, 0, 3)
    host.check()
    assert seen == [(7, None, 9, 10)]


def test_an_error_inside_of_a_call_is_raised_outside_of_the_kernel() -> None:
    def function(_: list[object]) -> object:
        raise KeyError("lost")

    host, _ = host_of(HostCall(function, (), Kind.INT, 0))
    call_host(host.address, 0, -1)
    with pytest.raises(KeyError, match="lost"):
        host.check()
    host.check()  # once


def test_the_address_is_that_of_a_function_of_two_words() -> None:
    host, slots = host_of(HostCall(lambda _: 3, (), Kind.INT, 2))
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(host.address)(0, 0)
    assert slots[2] == 3
