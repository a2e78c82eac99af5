"""The instruction set for conditions across events: a register machine over 64-bit slots.

An instruction is (op, target, a, b) of four int32.  A slot holds an int64 or the bits of a float64;
which one is known when the code is compiled, so there is an op for each.  Null is `NULL` in int
slots and NaN in float slots; booleans are 0, 1 or NULL and follow Kleene's three-valued logic.

    slot ← const[a] | column[a] of the event | register[a] of the run | op(slot a, slot b)
"""

from __future__ import annotations

from enum import IntEnum


class Op(IntEnum):
    CONST = 0
    COLUMN = 1
    REGISTER = 2
    MOVE = 3
    # comparison and logic
    EQ_INT = 10
    LT_INT = 11
    LE_INT = 12
    EQ_FLOAT = 13
    LT_FLOAT = 14
    LE_FLOAT = 15
    AND = 16
    OR = 17
    NOT = 18
    IS_NULL_INT = 19
    IS_NULL_FLOAT = 20
    SAME_INT = 21
    SAME_FLOAT = 22
    OR_ELSE_INT = 23  # a unless null, else b
    OR_ELSE_FLOAT = 24
    MOVE_IF = 25  # target ← b when slot a is true
    # arithmetic
    ADD_INT = 30
    SUB_INT = 31
    MUL_INT = 32
    MOD_INT = 33
    NEG_INT = 34
    ABS_INT = 35
    ADD_FLOAT = 36
    SUB_FLOAT = 37
    MUL_FLOAT = 38
    DIV_FLOAT = 39
    MOD_FLOAT = 40
    NEG_FLOAT = 41
    ABS_FLOAT = 42
    TO_FLOAT = 43  # int slot a, divided by const[b] (the decimal's 10**scale)
    TO_INT = 44  # float slot a, cut off towards zero
    FLOOR = 45
    CEIL = 46
    ROUND = 47
    SQRT = 48
    DISTANCE_KM = 49  # of the points (a, a + 1) and (a + 2, a + 3) in degrees
    # aggregates with the candidate included: null is skipped
    PLUS_INT = 50
    PLUS_FLOAT = 51
    MIN_INT = 52
    MAX_INT = 53
    MIN_FLOAT = 54
    MAX_FLOAT = 55
    # values of the events bound to a step: b is a row of the table `walks`
    IN_BOUND = 60  # is slot a among them
    NEW_VALUE = 61  # 1 when slot a is not null and not among them, else 0
    HOST = 70  # call a of the rule's host


class Compare(IntEnum):
    """A test without byte code: a column of the event against a register of the run."""

    EQ_INT = 0
    NE_INT = 1
    LT_INT = 2
    LE_INT = 3
    GT_INT = 4
    GE_INT = 5
    EQ_FLOAT = 6
    NE_FLOAT = 7
    LT_FLOAT = 8
    LE_FLOAT = 9
    GT_FLOAT = 10
    GE_FLOAT = 11


class Action(IntEnum):
    """What binding an event does to the run's registers: (action, register, column, walk)."""

    STORE = 0
    COUNT = 1
    COUNT_INT = 2  # counts values that are not null
    COUNT_FLOAT = 3
    SUM_INT = 4
    SUM_FLOAT = 5
    MIN_INT = 6
    MIN_FLOAT = 7
    MAX_INT = 8
    MAX_FLOAT = 9
    FIRST = 10  # walk = the register that counts the step's events
    DISTINCT = 11  # adds one when the value is new
    KEEP = 12  # store the value beside the evidence: register = place
