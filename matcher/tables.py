"""A compiled rule as plain arrays: what the kernel reads.  A rule is data, never machine code.

`S` states, `T` transitions, `A` absences, `G` guards, `C` counts, `P` programs.  Ranges are given
by begin arrays one longer than what they index: state s has the rows `begin[s]:begin[s + 1]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NO_PROGRAM = -1
NO_LIMIT_MS = 2**62

# `end_kind`: how a run in a state completes.
OPEN, AT_ONCE, TIMED = range(3)


class Tables(NamedTuple):
    # states
    transition_begin: Ints  # (S + 1,)
    absent_begin: Ints  # (S + 1,)
    end_kind: Ints  # (S,) OPEN, AT_ONCE or TIMED
    end_for_ms: Ints  # (S,) trailing absence; -1: until `within` ends
    end_next: Ints  # (S,) 1: the very next event decides
    end_guard_begin: Ints  # (S + 1,) rows of the guard arrays
    strict_bits: Ints  # (S,) transitions that an event not taken blocks
    all_bits: Ints  # (S,) all transitions, and the end when timed: blocked means the run is over
    quick_test: Ints  # (S,) a test without which an event does nothing to a run here, or -1
    gap_max_ms: Ints  # (S,) no transition can fit later than this after the last event
    end_rank: Ints  # (S,) how many transitions are preferred to completing here
    # transitions, in order of preference
    target: Ints  # (T,)
    step: Ints  # (T,)
    gap_from_ms: Ints  # (T,)
    gap_to_ms: Ints  # (T,)
    again: Ints  # (T,)
    cut_bits: Ints  # (T,) transitions of the state that give way when this one fits
    forks: Ints  # (T,) 1: a run that takes it stays as well (`->>`)
    guard_begin: Ints  # (T + 1,)
    count_begin: Ints  # (T + 1,)
    # absences: an event that fits blocks the transitions in `absent_bits`, for so long
    absent_step: Ints  # (A,)
    absent_bits: Ints  # (A,)
    absent_for_ms: Ints  # (A,) counted from the last bound event
    # guards and counts on counter registers
    guard_register: Ints  # (G,)
    guard_mask: Ints  # (G,) the bits of the register that count
    guard_least: Ints  # (G,)
    guard_most: Ints  # (G,)
    count_register: Ints  # (C,)
    count_again: Ints  # (C,) 1: add the amount, 0: set to it
    count_amount: Ints  # (C,)
    # what a step asks across events: rows of (compare, column, register), then a program
    test_begin: Ints  # (steps + 1,)
    tests: Ints  # (…, 3)
    program: Ints  # (steps,) or NO_PROGRAM
    # what binding an event to a step does: rows of (action, register, column, walk)
    action_begin: Ints  # (steps + 1,)
    actions: Ints  # (…, 4)
    # byte code: rows of (op, target, a, b)
    code: Ints  # (…, 4)
    program_begin: Ints  # (P + 1,)
    program_result: Ints  # (P,) slot that holds the result
    constants: Ints
    walk_step: Ints
    walk_place: Ints
    walk_float: Ints
    initial: Ints  # a new run's row: zeros, then the initial registers
    options: Ints  # see below


# Places in `Tables.options`.
(
    WITHIN_MS,
    WHERE,
    TIMERS,
    FORKS,  # how many runs a run may become when it takes an event, itself aside
    STARTS,  # how many runs an event may start
    START_STEPS,  # bits of the steps that may start one
    RUNS_PER_KEY,
    RUNS_POLICY,
    SIGNALS,  # whether the bits of masks above those of steps are set
    OPENS,  # whether keys with a match are remembered until they are resolved
    EVERY,  # `matches all`
    FIRE,
    FINAL,  # the state of a completed run that waits until no run is preferred to it; or -1
    SKIP,
    SKIP_STEP,
    SKIP_PLACE,  # of the values kept with an event bound to that step: its time
    NEXT_ENDS,  # some run may complete because the next event is not a forbidden one
    SILENCE_MS,  # -1 without a silence
    SILENCE_STEPS,  # bits of the steps that end it
    PURE_SILENCE,  # the silence is the whole pattern
    KEYS_ARE_ROWS,  # only keys with a clock are seen
) = range(21)
OPTIONS = 21

RUNS_ALL, RUNS_LATEST, RUNS_FIRST = range(3)
FIRE_FIRST, FIRE_EACH, FIRE_ONCE, FIRE_CLOSE = range(4)
SKIP_PAST_LAST, SKIP_FIRST, SKIP_LAST, SKIP_NONE = range(4)
