"""One run takes one step, or completes: counters, registers and evidence, by Numba."""

from __future__ import annotations

import numpy as np

from matcher.batch import NULL
from matcher.buffers import EVENT_POSITION, EVENT_TS, EVENT_VALUES, Ints, Out, Scratch
from matcher.bytecode import Action
from matcher.compiled import inlined
from matcher.runs import (
    MATCHED,
    NODE_PREVIOUS,
    NODE_REFERENCES,
    NODE_VALUES,
    RUN_BLOCKED,
    RUN_KEY,
    RUN_LAST_TS,
    RUN_NODE,
    RUN_REGISTERS,
    RUN_STATE,
    Memory,
    new_node,
    touch,
)
from matcher.tables import AT_ONCE, NO_PROGRAM, WHERE, Tables
from matcher.vm import add, among_bound, evaluate

NO_EVENTS = np.zeros((0, EVENT_VALUES), np.int64)

STORE, COUNT = int(Action.STORE), int(Action.COUNT)
COUNT_INT, COUNT_FLOAT = int(Action.COUNT_INT), int(Action.COUNT_FLOAT)
SUM_INT, SUM_FLOAT = int(Action.SUM_INT), int(Action.SUM_FLOAT)
MIN_INT, MIN_FLOAT = int(Action.MIN_INT), int(Action.MIN_FLOAT)
MAX_FLOAT = int(Action.MAX_FLOAT)
FIRST, DISTINCT, KEEP = int(Action.FIRST), int(Action.DISTINCT), int(Action.KEEP)


@inlined
def guards_hold(run: int, begin: int, end: int, tables: Tables, memory: Memory) -> bool:
    for guard in range(begin, end):
        held = memory.runs[run, RUN_REGISTERS + tables.guard_register[guard]]
        count = held & tables.guard_mask[guard]
        if count < tables.guard_least[guard] or count > tables.guard_most[guard]:
            return False
    return True


@inlined
def ended(run: int, tables: Tables, memory: Memory) -> bool:
    state = memory.runs[run, RUN_STATE]
    return guards_hold(
        run, tables.end_guard_begin[state], tables.end_guard_begin[state + 1], tables, memory
    )


@inlined
def completes(run: int, tables: Tables, memory: Memory) -> bool:
    return tables.end_kind[memory.runs[run, RUN_STATE]] == AT_ONCE and ended(run, tables, memory)


@inlined
def where_holds(run: int, tables: Tables, memory: Memory, scratch: Scratch) -> bool:
    program = tables.options[WHERE]
    if program == NO_PROGRAM:
        return True
    result = evaluate(program, memory.runs[run], 0, NO_EVENTS, memory.nodes, tables, scratch)
    return result == 1


@inlined
def can_loop(run: int, tables: Tables, memory: Memory) -> bool:
    state = memory.runs[run, RUN_STATE]
    for transition in range(tables.transition_begin[state], tables.transition_begin[state + 1]):
        if tables.again[transition] and guards_hold(
            run, tables.guard_begin[transition], tables.guard_begin[transition + 1], tables, memory
        ):
            return True
    return False


@inlined
def bind(
    run: int,
    transition: int,
    event: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> None:
    """Take a transition: registers, counters, evidence."""
    step = tables.step[transition]
    registers = memory.runs[run, RUN_REGISTERS:]
    node = new_node(memory, events[event, EVENT_POSITION], step, memory.runs[run, RUN_NODE])
    for row in range(tables.action_begin[step], tables.action_begin[step + 1]):
        action = tables.actions[row, 0]
        register = tables.actions[row, 1]
        column = tables.actions[row, 2]
        walk = tables.actions[row, 3]
        if action == COUNT:
            registers[register] += 1
        elif action == KEEP:
            memory.nodes[node, NODE_VALUES + register] = events[event, EVENT_VALUES + column]
        else:
            _accumulate(
                action, register, events[event, EVENT_VALUES + column], walk, registers,
                memory.nodes[node, NODE_PREVIOUS], memory.nodes, tables, scratch,
            )  # fmt: skip
    for count in range(tables.count_begin[transition], tables.count_begin[transition + 1]):
        if tables.count_again[count]:
            registers[tables.count_register[count]] += tables.count_amount[count]
        else:
            registers[tables.count_register[count]] = tables.count_amount[count]
    memory.runs[run, RUN_NODE] = node
    memory.runs[run, RUN_STATE] = tables.target[transition]
    memory.runs[run, RUN_LAST_TS] = events[event, EVENT_TS]
    memory.runs[run, RUN_BLOCKED] = 0
    out.bound[out.counts[1]] = node
    out.counts[1] += 1
    touch(memory, memory.runs[run, RUN_KEY])


@inlined
def _accumulate(
    action: int,
    register: int,
    value: int,
    walk: int,
    registers: Ints,
    node: int,
    nodes: Ints,
    tables: Tables,
    scratch: Scratch,
) -> None:
    """Update one aggregate's register with the value of a newly bound event; null is skipped."""
    if action == STORE:
        registers[register] = value
        return
    if action == FIRST:
        if registers[walk] == 0:
            registers[register] = value
        return
    slots = scratch.slots
    floats = scratch.floats
    slots[0] = value
    slots[1] = registers[register]
    held = slots[1]
    if action in (COUNT_FLOAT, SUM_FLOAT, MIN_FLOAT, MAX_FLOAT):
        number = floats[0]
        if np.isnan(number):
            return
        if action == COUNT_FLOAT:
            registers[register] = held + 1
            return
        if np.isnan(floats[1]):
            floats[1] = number
        elif action == SUM_FLOAT:
            floats[1] = floats[1] + number
        elif action == MIN_FLOAT:
            floats[1] = min(floats[1], number)
        else:
            floats[1] = max(floats[1], number)
        registers[register] = slots[1]
        return
    if action == DISTINCT:
        null = np.isnan(floats[0]) if tables.walk_float[walk] else value == NULL
        if not null and not among_bound(value, walk, node, nodes, tables, scratch):
            registers[register] = held + 1
        return
    if value == NULL:
        return
    if action == COUNT_INT:
        registers[register] = held + 1
    elif held == NULL:
        registers[register] = value
    elif action == SUM_INT:
        registers[register] = add(held, value)
    elif action == MIN_INT:
        registers[register] = min(held, value)
    else:
        registers[register] = max(held, value)


@inlined
def emit(run: int, at_ms: int, timer: int, memory: Memory, out: Out) -> None:
    place = out.counts[0]
    out.at_ms[place] = at_ms
    out.timer[place] = timer
    out.by[place] = out.counts[3]
    out.key[place] = memory.runs[run, RUN_KEY]
    out.node[place] = memory.runs[run, RUN_NODE]
    memory.nodes[memory.runs[run, RUN_NODE], NODE_REFERENCES] += 1
    out.counts[0] = place + 1
    memory.totals[MATCHED] += 1
