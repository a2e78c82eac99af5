"""The size of automata: what is written short stays small."""

from __future__ import annotations

import pytest

from dsl.limits import ANY_ORDER_MAX
from dsl.model import AnyOrder, Bind, Repeat
from matcher.automaton import automaton

PARTS = tuple(Bind(step) for step in range(ANY_ORDER_MAX))


@pytest.mark.parametrize("count", [2, ANY_ORDER_MAX])
def test_parts_in_any_order_cost_a_state_each(count: int) -> None:
    machine = automaton(AnyOrder(PARTS, count))
    assert len(machine.states) == 1 + len(PARTS)
    assert all(len(state.transitions) == len(PARTS) for state in machine.states)
    assert machine.counters <= 2


def test_a_repeated_part_costs_a_counter() -> None:
    machine = automaton(AnyOrder((Repeat(Bind(0), 2, 1000, True), Bind(1)), 2))
    assert (len(machine.states), machine.counters) == (3, 2)


def test_counted_repetition_costs_a_counter() -> None:
    machine = automaton(Repeat(Bind(0), 1000, 1000, True))
    assert (len(machine.states), machine.counters) == (2, 1)
