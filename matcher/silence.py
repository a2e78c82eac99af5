"""Silences, `not B for 5m` alone or before a step: one clock for each key the rule has seen.

    quiet(key, ts) = no event that ends a silence for longer than the rule asks, up to ts

A clock starts with the first event of the alphabet and again with each event that ends a silence;
the oldest go only when there are too many (`Lane`).  Of a rule whose keys are those of a table's
rows there is a clock for each row instead, from its coming to its going, and what has no clock is
not seen by the rule.  When the silence is the whole pattern its
clock rings once at the deadline, and not again before the next event that ends one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.buffers import (
    EVENT_KEY,
    EVENT_MASK,
    EVENT_POSITION,
    EVENT_TS,
    Ints,
    Out,
    Scratch,
)
from matcher.compiled import inlined, kernel
from matcher.policy import cancel_runs
from matcher.runs import (
    CLOCK_KEY,
    CLOCK_POSITION,
    CLOCK_STATE,
    CLOCK_TS,
    CLOCKS,
    MATCHED,
    NONE,
    OPEN,
    RINGING,
    RUNG,
    SLOT_HEAD,
    Memory,
    is_open,
    key_slot,
    open_key,
    remove_slot,
    touch,
)
from matcher.tables import FIRE, FIRE_ONCE, OPENS, SILENCE_MS, SILENCE_STEPS, Tables
from matcher.vm import step_holds

Bools = NDArray[np.bool_]


@inlined
def ring(event: int, events: Ints, tables: Tables, memory: Memory, out: Out) -> None:
    """Report the silence of the event's key if its deadline has passed when the event comes."""
    slot = key_slot(memory.clocks, events[event, EVENT_KEY])
    if memory.clocks[slot, CLOCK_STATE] != NONE:
        _ring(slot, events[event, EVENT_TS], tables, memory, out)


@inlined
def keep_clock(event: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch) -> None:
    """The event's key is known from now on; its clock starts again if the event ends a silence."""
    clocks = memory.clocks
    slot = key_slot(clocks, events[event, EVENT_KEY])
    known = clocks[slot, CLOCK_STATE] != NONE
    if known and not _ends_silence(event, events, tables, memory, scratch):
        return
    if not known:
        memory.totals[CLOCKS] += 1
    _start_clock(
        slot, events[event, EVENT_KEY], events[event, EVENT_TS], events[event, EVENT_POSITION],
        memory,
    )  # fmt: skip


@inlined
def quiet(event: int, events: Ints, tables: Tables, memory: Memory) -> bool:
    """Whether the key has been silent for long enough when the event, not yet kept, comes."""
    slot = key_slot(memory.clocks, events[event, EVENT_KEY])
    since_ms = events[event, EVENT_TS] - memory.clocks[slot, CLOCK_TS]
    known = memory.clocks[slot, CLOCK_STATE] != NONE
    return bool(known and since_ms > tables.options[SILENCE_MS])


@kernel
def ring_due(watermark_ms: int, tables: Tables, memory: Memory, out: Out) -> None:
    """Report the silences whose deadline lies before the watermark."""
    for slot in range(memory.clocks.shape[0]):
        if memory.clocks[slot, CLOCK_STATE] != NONE:
            _ring(slot, watermark_ms, tables, memory, out)


@inlined
def is_known(key: int, memory: Memory) -> bool:
    """Whether the key has a clock."""
    return bool(memory.clocks[key_slot(memory.clocks, key), CLOCK_STATE] != NONE)


@kernel
def write_clocks(keys: Ints, alive: Bools, at_ms: int, tables: Tables, memory: Memory) -> None:
    """From `at_ms` on the keys marked `alive` are known, without an event; the others are not.

    Those known already stay as they are.  What is no longer known goes with all that is its own.
    """
    for place in range(keys.shape[0]):
        slot = key_slot(memory.clocks, keys[place])
        known = memory.clocks[slot, CLOCK_STATE] != NONE
        if alive[place] and not known:
            memory.totals[CLOCKS] += 1
            _start_clock(slot, keys[place], at_ms, NONE, memory)
        elif known and not alive[place]:
            remove_slot(memory.clocks, slot)
            memory.totals[CLOCKS] -= 1
            touch(memory, keys[place])
            _forget(keys[place], at_ms, tables, memory)


@inlined
def _forget(key: int, at_ms: int, tables: Tables, memory: Memory) -> None:
    """Let go of the key's runs, and of whether something was detected for it."""
    slot = key_slot(memory.keys, key)
    if memory.keys[slot, SLOT_HEAD] != NONE:
        cancel_runs(slot, at_ms, tables, memory)
    slot = key_slot(memory.open, key)
    if memory.open[slot, SLOT_HEAD] != NONE:
        remove_slot(memory.open, slot)
        memory.totals[OPEN] -= 1


@inlined
def _start_clock(slot: int, key: int, ts: int, position: int, memory: Memory) -> None:
    memory.clocks[slot, CLOCK_KEY] = key
    memory.clocks[slot, CLOCK_STATE] = RINGING
    memory.clocks[slot, CLOCK_TS] = ts
    memory.clocks[slot, CLOCK_POSITION] = position
    touch(memory, key)


@inlined
def _ends_silence(
    event: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> bool:
    fitting = events[event, EVENT_MASK] & tables.options[SILENCE_STEPS]
    step = 0
    while fitting != 0:
        if fitting & 1 and step_holds(step, tables.initial, event, events, memory, tables, scratch):
            return True
        fitting >>= 1
        step += 1
    return False


@inlined
def _ring(slot: int, before_ms: int, tables: Tables, memory: Memory, out: Out) -> None:
    """Report the silence of one key if its deadline lies before `before_ms`."""
    clocks = memory.clocks
    deadline_ms = clocks[slot, CLOCK_TS] + tables.options[SILENCE_MS]
    if clocks[slot, CLOCK_STATE] != RINGING or deadline_ms >= before_ms:
        return
    clocks[slot, CLOCK_STATE] = RUNG
    key = clocks[slot, CLOCK_KEY]
    touch(memory, key)
    if tables.options[FIRE] == FIRE_ONCE and is_open(memory, key):
        return
    if tables.options[OPENS]:
        open_key(memory, key, deadline_ms)
    place = out.counts[0]
    out.at_ms[place] = deadline_ms
    out.timer[place] = 1
    out.key[place] = key
    out.node[place] = NONE
    out.since[place] = clocks[slot, CLOCK_POSITION]
    out.counts[0] = place + 1
    memory.totals[MATCHED] += 1
