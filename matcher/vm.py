"""Run the byte code of `matcher.bytecode` for one run and one event, compiled by Numba.

`slots` and `floats` are two views of the same memory, as are the register file's bits: a float
travels as its 64 bits and is only looked at through `floats`.
"""

from __future__ import annotations

import numpy as np

from matcher.batch import NULL
from matcher.buffers import EVENT_VALUES, Ints, Scratch
from matcher.bytecode import Compare, Op
from matcher.compiled import inlined
from matcher.geo import compiled_distance_km
from matcher.host import call_host
from matcher.runs import NODE_PREVIOUS, NODE_STEP, NODE_VALUES, RUN_NODE, RUN_REGISTERS, Memory
from matcher.tables import NO_PROGRAM, Tables

CONST, COLUMN, REGISTER, MOVE = (int(op) for op in list(Op)[:4])
EQ_INT, LT_INT, LE_INT = int(Op.EQ_INT), int(Op.LT_INT), int(Op.LE_INT)
EQ_FLOAT, LT_FLOAT, LE_FLOAT = int(Op.EQ_FLOAT), int(Op.LT_FLOAT), int(Op.LE_FLOAT)
AND, OR, NOT = int(Op.AND), int(Op.OR), int(Op.NOT)
IS_NULL_INT, IS_NULL_FLOAT = int(Op.IS_NULL_INT), int(Op.IS_NULL_FLOAT)
SAME_INT, SAME_FLOAT = int(Op.SAME_INT), int(Op.SAME_FLOAT)
OR_ELSE_INT, OR_ELSE_FLOAT, MOVE_IF = int(Op.OR_ELSE_INT), int(Op.OR_ELSE_FLOAT), int(Op.MOVE_IF)
ADD_INT, SUB_INT, MUL_INT, MOD_INT = (
    int(Op.ADD_INT),
    int(Op.SUB_INT),
    int(Op.MUL_INT),
    int(Op.MOD_INT),
)
NEG_INT, ABS_INT = int(Op.NEG_INT), int(Op.ABS_INT)
ADD_FLOAT, SUB_FLOAT, MUL_FLOAT = int(Op.ADD_FLOAT), int(Op.SUB_FLOAT), int(Op.MUL_FLOAT)
DIV_FLOAT, MOD_FLOAT = int(Op.DIV_FLOAT), int(Op.MOD_FLOAT)
NEG_FLOAT, ABS_FLOAT, TO_FLOAT = int(Op.NEG_FLOAT), int(Op.ABS_FLOAT), int(Op.TO_FLOAT)
TO_INT, FLOOR, CEIL, ROUND = int(Op.TO_INT), int(Op.FLOOR), int(Op.CEIL), int(Op.ROUND)
SQRT, DISTANCE_KM, HOST = int(Op.SQRT), int(Op.DISTANCE_KM), int(Op.HOST)
PLUS_INT, PLUS_FLOAT = int(Op.PLUS_INT), int(Op.PLUS_FLOAT)
MIN_INT, MAX_INT = int(Op.MIN_INT), int(Op.MAX_INT)
MIN_FLOAT, MAX_FLOAT = int(Op.MIN_FLOAT), int(Op.MAX_FLOAT)
EQUAL, NOT_EQUAL, BELOW, NOT_ABOVE, ABOVE = (int(op) for op in list(Compare)[:5])
FIRST_FLOAT = int(Compare.EQ_FLOAT)
IN_BOUND, NEW_VALUE = int(Op.IN_BOUND), int(Op.NEW_VALUE)


@inlined
def add(a: int, b: int) -> int:
    """a + b, or null when either is null or the sum leaves 64 bits."""
    if a == NULL or b == NULL:
        return NULL
    total = a + b
    if ((a ^ total) & (b ^ total)) < 0:
        return NULL
    return total


@inlined
def multiply(a: int, b: int) -> int:
    if a == NULL or b == NULL:
        return NULL
    if a == 0 or b == 0:
        return 0
    product = a * b
    if product == NULL or product // b != a:
        return NULL
    return product


@inlined
def remainder_float(a: float, b: float) -> float:
    """Floored remainder as Python defines it; null (NaN) for b = 0."""
    if b == 0.0 or np.isnan(a) or np.isnan(b):
        return np.nan
    rest = float(np.fmod(a, b))
    if rest != 0.0 and (rest < 0.0) != (b < 0.0):
        rest += b
    return rest


@inlined
def among_bound(
    value: int, walk: int, node: int, nodes: Ints, tables: Tables, scratch: Scratch
) -> bool:
    """Whether `value` (bits, not null) is among the kept values of the walk's step."""
    slots, floats = scratch.slots, scratch.floats
    is_float = tables.walk_float[walk]
    step = tables.walk_step[walk]
    place = NODE_VALUES + tables.walk_place[walk]
    slots[63] = value
    wanted = floats[63]
    while node >= 0:
        if nodes[node, NODE_STEP] == step:
            slots[62] = nodes[node, place]
            if slots[62] == value or (is_float and floats[62] == wanted):
                return True
        node = nodes[node, NODE_PREVIOUS]
    return False


@inlined
def step_holds(
    step: int,
    run: Ints,
    event: int,
    events: Ints,
    memory: Memory,
    tables: Tables,
    scratch: Scratch,
) -> bool:
    """Whether what the step asks beyond its single-event condition is true: tests, then code."""
    for test in range(tables.test_begin[step], tables.test_begin[step + 1]):
        if not test_holds(test, run, event, events, tables, scratch):
            return False
    program = tables.program[step]
    return program == NO_PROGRAM or (
        evaluate(program, run, event, events, memory.nodes, tables, scratch) == 1
    )


@inlined
def test_holds(
    test: int, run: Ints, event: int, events: Ints, tables: Tables, scratch: Scratch
) -> bool:
    own = events[event, EVENT_VALUES + tables.tests[test, 1]]
    bound = run[RUN_REGISTERS + tables.tests[test, 2]]
    return _compare_holds(tables.tests[test, 0], own, bound, scratch)


@inlined
def _compare_holds(compare: int, own: int, bound: int, scratch: Scratch) -> bool:
    """False when either side is null."""
    if compare < FIRST_FLOAT:
        if own == NULL or bound == NULL:
            return False
        below, same = own < bound, own == bound
    else:
        compare -= FIRST_FLOAT
        scratch.slots[0] = own
        scratch.slots[1] = bound
        x, y = scratch.floats[0], scratch.floats[1]
        if np.isnan(x) or np.isnan(y):
            return False
        below, same = x < y, x == y
    if compare == EQUAL:
        return same
    if compare == NOT_EQUAL:
        return not same
    if compare == BELOW:
        return below
    if compare == NOT_ABOVE:
        return below or same
    if compare == ABOVE:
        return not (below or same)
    return not below


@inlined
def evaluate(
    program: int,
    run: Ints,
    event: int,
    events: Ints,
    nodes: Ints,
    tables: Tables,
    scratch: Scratch,
) -> int:
    """The program's result: 1, 0 or NULL.  `run` is the run's row."""
    slots, floats = scratch.slots, scratch.floats
    begin = tables.program_begin[program]
    end = tables.program_begin[program + 1]
    for place in range(begin, end):
        op = tables.code[place, 0]
        target = tables.code[place, 1]
        a = tables.code[place, 2]
        b = tables.code[place, 3]
        if op == COLUMN:
            slots[target] = events[event, EVENT_VALUES + a]
        elif op == REGISTER:
            slots[target] = run[RUN_REGISTERS + a]
        elif op == CONST:
            slots[target] = tables.constants[a]
        elif op == MOVE:
            slots[target] = slots[a]
        elif op < ADD_INT:
            _compare(op, target, a, b, scratch)
        elif op < PLUS_INT:
            _calculate(op, target, a, b, scratch, tables.constants)
        elif op < IN_BOUND:
            _aggregate(op, target, a, b, scratch)
        elif op == HOST:
            call_host(scratch.host[0], a, run[RUN_NODE])
        else:
            value = slots[a]
            null = np.isnan(floats[a]) if tables.walk_float[b] else value == NULL
            found = not null and among_bound(value, b, run[RUN_NODE], nodes, tables, scratch)
            if op == NEW_VALUE:
                slots[target] = int(not null and not found)
            else:
                slots[target] = NULL if null else int(found)
    return int(slots[tables.program_result[program]])


@inlined
def _compare(op: int, target: int, a: int, b: int, scratch: Scratch) -> None:
    slots, floats = scratch.slots, scratch.floats
    x = slots[a]
    y = slots[b]
    null = x == NULL or y == NULL
    if op == EQ_INT:
        slots[target] = NULL if null else int(x == y)
    elif op == LT_INT:
        slots[target] = NULL if null else int(x < y)
    elif op == LE_INT:
        slots[target] = NULL if null else int(x <= y)
    elif op == AND:
        if x == 0 or y == 0:
            slots[target] = 0
        else:
            slots[target] = NULL if null else 1
    elif op == OR:
        if x == 1 or y == 1:
            slots[target] = 1
        else:
            slots[target] = NULL if null else 0
    elif op == NOT:
        slots[target] = NULL if x == NULL else int(1 - x)
    elif op == IS_NULL_INT:
        slots[target] = int(x == NULL)
    elif op == SAME_INT:
        slots[target] = int(x == y)
    elif op == OR_ELSE_INT:
        slots[target] = y if x == NULL else x
    elif op == MOVE_IF:
        if x == 1:
            slots[target] = y
    else:
        p = floats[a]
        q = floats[b]
        unknown = np.isnan(p) or np.isnan(q)
        if op == EQ_FLOAT:
            slots[target] = NULL if unknown else int(p == q)
        elif op == LT_FLOAT:
            slots[target] = NULL if unknown else int(p < q)
        elif op == LE_FLOAT:
            slots[target] = NULL if unknown else int(p <= q)
        elif op == IS_NULL_FLOAT:
            slots[target] = int(np.isnan(p))
        elif op == SAME_FLOAT:
            slots[target] = int(p == q or (np.isnan(p) and np.isnan(q)))
        elif op == OR_ELSE_FLOAT:
            floats[target] = q if np.isnan(p) else p


@inlined
def _calculate(op: int, target: int, a: int, b: int, scratch: Scratch, constants: Ints) -> None:
    slots, floats = scratch.slots, scratch.floats
    if op == TO_FLOAT:
        whole = slots[a]
        floats[target] = np.nan if whole == NULL else whole / float(constants[b])
    elif op == ADD_INT:
        slots[target] = add(slots[a], slots[b])
    elif op == SUB_INT:
        negated = NULL if slots[b] == NULL else -slots[b]
        slots[target] = add(slots[a], int(negated))
    elif op == MUL_INT:
        slots[target] = multiply(slots[a], slots[b])
    elif op == MOD_INT:
        x = slots[a]
        y = slots[b]
        slots[target] = NULL if x == NULL or y == NULL or y == 0 else x % y
    elif op == NEG_INT:
        slots[target] = NULL if slots[a] == NULL else -slots[a]
    elif op == ABS_INT:
        slots[target] = NULL if slots[a] == NULL else abs(slots[a])
    elif op == ADD_FLOAT:
        floats[target] = floats[a] + floats[b]
    elif op == SUB_FLOAT:
        floats[target] = floats[a] - floats[b]
    elif op == MUL_FLOAT:
        floats[target] = floats[a] * floats[b]
    elif op == DIV_FLOAT:
        floats[target] = np.nan if floats[b] == 0.0 else floats[a] / floats[b]
    elif op == MOD_FLOAT:
        floats[target] = remainder_float(floats[a], floats[b])
    elif op == NEG_FLOAT:
        floats[target] = -floats[a]
    elif op == ABS_FLOAT:
        floats[target] = abs(floats[a])
    elif op == TO_INT:
        number = floats[a]
        slots[target] = np.int64(number) if abs(number) < 9223372036854775808.0 else NULL
    elif op == FLOOR:
        floats[target] = np.floor(floats[a])
    elif op == CEIL:
        floats[target] = np.ceil(floats[a])
    elif op == ROUND:
        floats[target] = np.rint(floats[a])
    elif op == SQRT:
        floats[target] = np.sqrt(floats[a])
    elif op == DISTANCE_KM:
        floats[target] = compiled_distance_km(
            floats[a], floats[a + 1], floats[a + 2], floats[a + 3]
        )


@inlined
def _aggregate(op: int, target: int, a: int, b: int, scratch: Scratch) -> None:
    slots, floats = scratch.slots, scratch.floats
    x = slots[a]
    y = slots[b]
    if op == PLUS_INT:
        if x == NULL:
            slots[target] = y
        else:
            slots[target] = x if y == NULL else add(x, y)
    elif op == MIN_INT:
        if x == NULL:
            slots[target] = y
        else:
            slots[target] = x if y == NULL else min(x, y)
    elif op == MAX_INT:
        slots[target] = max(x, y)  # NULL is the smallest int64
    else:
        p = floats[a]
        q = floats[b]
        if np.isnan(p):
            floats[target] = q
        elif np.isnan(q):
            floats[target] = p
        elif op == PLUS_FLOAT:
            floats[target] = p + q
        elif op == MIN_FLOAT:
            floats[target] = min(p, q)
        else:
            floats[target] = max(p, q)
