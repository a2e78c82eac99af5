"""What a rule's policy makes of its runs, by Numba: how long they can go on, what a match ends.

A match is reported, its key may be remembered as open, and the runs that began at or before its
horizon end with it.  Everything here equals `matcher.reference_policy`.
"""

from __future__ import annotations

from matcher.batch import NULL
from matcher.binding import emit, ended, guards_hold
from matcher.buffers import (
    CANCEL_BIT,
    EVENT_KEY,
    EVENT_MASK,
    EVENT_POSITION,
    EVENT_TS,
    RESOLVE_BIT,
    SEEN_BIT,
    Ints,
    Out,
)
from matcher.compiled import inlined
from matcher.runs import (
    CANCELLED,
    EXPIRED,
    NODE_POSITION,
    NODE_PREVIOUS,
    NODE_STEP,
    NODE_VALUES,
    NONE,
    OPEN,
    RUN_BLOCKED,
    RUN_KEY,
    RUN_LAST_TS,
    RUN_NEXT,
    RUN_NODE,
    RUN_START_POSITION,
    RUN_START_TS,
    RUN_STATE,
    SKIPS_MISSED,
    SLOT_HEAD,
    SLOT_RUNS,
    Memory,
    free_run,
    is_open,
    key_slot,
    open_key,
    remove_key,
    remove_slot,
    touch,
)
from matcher.tables import (
    FINAL,
    FIRE,
    FIRE_CLOSE,
    FIRE_ONCE,
    NO_LIMIT_MS,
    OPENS,
    RUNS_PER_KEY,
    SKIP,
    SKIP_LAST,
    SKIP_NONE,
    SKIP_PAST_LAST,
    SKIP_PLACE,
    SKIP_STEP,
    TIMED,
    WITHIN_MS,
    Tables,
)

# ------------------------------------------------------------------------------ how long runs last


@inlined
def is_final(run: int, tables: Tables, memory: Memory) -> bool:
    """Whether the run is a candidate of `fire close`, which waits but takes no more events."""
    return bool(memory.runs[run, RUN_STATE] == tables.options[FINAL])


@inlined
def deadline_ms(run: int, tables: Tables, memory: Memory) -> int:
    """When the run completes unless something comes; NULL when it waits for no such moment."""
    state = memory.runs[run, RUN_STATE]
    if tables.end_kind[state] != TIMED or not ended(run, tables, memory):
        return NULL
    end_bit = tables.transition_begin[state + 1] - tables.transition_begin[state]
    if (memory.runs[run, RUN_BLOCKED] >> end_bit) & 1:
        return NULL
    limit_ms = int(memory.runs[run, RUN_START_TS] + tables.options[WITHIN_MS])
    if tables.end_for_ms[state] < 0:
        return limit_ms
    at_ms = int(memory.runs[run, RUN_LAST_TS] + tables.end_for_ms[state])
    return at_ms if at_ms <= limit_ms else NULL


@inlined
def last_ms(run: int, tables: Tables, memory: Memory) -> int:
    """The last moment at which the run can go on or complete; NULL: it cannot any more."""
    state = memory.runs[run, RUN_STATE]
    limit_ms = memory.runs[run, RUN_START_TS] + tables.options[WITHIN_MS]
    latest = deadline_ms(run, tables, memory)
    first = tables.transition_begin[state]
    for transition in range(first, tables.transition_begin[state + 1]):
        if (memory.runs[run, RUN_BLOCKED] >> (transition - first)) & 1 or not guards_hold(
            run, tables.guard_begin[transition], tables.guard_begin[transition + 1], tables, memory
        ):
            continue
        at_ms = min(memory.runs[run, RUN_LAST_TS] + tables.gap_to_ms[transition], limit_ms)
        latest = max(latest, at_ms)
    return int(latest)


@inlined
def make_room(slot: int, ts: int, tables: Tables, memory: Memory) -> int:
    """Let go of the key's runs that can do nothing at `ts`; returns how many more it may have.

    The slot may hold another key afterwards, when nothing was left of this one.
    """
    room = int(tables.options[RUNS_PER_KEY])
    previous = NONE
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        following = memory.runs[run, RUN_NEXT]
        if is_final(run, tables, memory):
            previous = run
        elif last_ms(run, tables, memory) < ts:
            memory.totals[EXPIRED] += 1
            memory.keys[slot, SLOT_RUNS] -= 1
            free_run(memory, run)
            if previous == NONE:
                memory.keys[slot, SLOT_HEAD] = following
            else:
                memory.runs[previous, RUN_NEXT] = following
        else:
            previous = run
            room -= 1
        run = following
    if previous == NONE:
        remove_empty(slot, memory)
    return room


@inlined
def remove_empty(slot: int, memory: Memory) -> None:
    """Remove a key all of whose runs have been freed."""
    memory.keys[slot, SLOT_HEAD] = 0  # any run: the slot must look taken while it is removed
    remove_key(memory, slot)


# ------------------------------------------------------------------------------ what a match ends


@inlined
def report(run: int, at_ms: int, timer: int, tables: Tables, memory: Memory, out: Out) -> None:
    emit(run, at_ms, timer, memory, out)
    if tables.options[OPENS]:
        open_key(memory, memory.runs[run, RUN_KEY], at_ms)


@inlined
def horizon(run: int, at_ms: int, timer: int, tables: Tables, memory: Memory) -> tuple[int, int]:
    """(event time, position): runs that began no later end with the match of `run`."""
    skip = tables.options[SKIP]
    if tables.options[FIRE] == FIRE_ONCE:
        return NO_LIMIT_MS, 0
    if skip == SKIP_NONE:
        return NULL, 0
    if skip != SKIP_PAST_LAST:
        target = NONE
        node = memory.runs[run, RUN_NODE]
        while node != NONE:
            if memory.nodes[node, NODE_STEP] == tables.options[SKIP_STEP]:
                target = node
                if skip == SKIP_LAST:
                    break
            node = memory.nodes[node, NODE_PREVIOUS]
        if target != NONE:
            position = memory.nodes[target, NODE_POSITION]
            if position != memory.runs[run, RUN_START_POSITION]:
                ts = memory.nodes[target, NODE_VALUES + tables.options[SKIP_PLACE]]
                return int(ts), int(position - 1)
        memory.totals[SKIPS_MISSED] += 1
    if timer and tables.options[FIRE] != FIRE_CLOSE:
        return at_ms, NO_LIMIT_MS
    last = memory.nodes[memory.runs[run, RUN_NODE], NODE_POSITION]
    return int(memory.runs[run, RUN_LAST_TS]), int(last)


@inlined
def began_by(run: int, ts: int, position: int, memory: Memory) -> bool:
    """Whether the run began no later than the horizon (ts, position)."""
    start_ts = memory.runs[run, RUN_START_TS]
    return bool(
        start_ts < ts or (start_ts == ts and memory.runs[run, RUN_START_POSITION] <= position)
    )


# ------------------------------------------------------------------------------ signals


@inlined
def hear(event: int, slot: int, events: Ints, tables: Tables, memory: Memory, out: Out) -> bool:
    """Let the event cancel and resolve; returns whether it is offered to the key's runs."""
    mask = events[event, EVENT_MASK]
    key = events[event, EVENT_KEY]
    if (mask >> CANCEL_BIT) & 1 and memory.keys[slot, SLOT_HEAD] != NONE:
        cancel_runs(slot, events[event, EVENT_TS], tables, memory)
    if (mask >> RESOLVE_BIT) & 1:
        place = key_slot(memory.open, key)
        if memory.open[place, SLOT_HEAD] != NONE:
            remove_slot(memory.open, place)
            memory.totals[OPEN] -= 1
            touch(memory, key)
            row = out.counts[2]
            out.resolved[row, 0] = events[event, EVENT_TS]
            out.resolved[row, 1] = events[event, EVENT_POSITION]
            out.resolved[row, 2] = key
            out.counts[2] = row + 1
    if not (mask >> SEEN_BIT) & 1:
        return False
    return not (tables.options[FIRE] == FIRE_ONCE and is_open(memory, key))


@inlined
def cancel_runs(slot: int, ts: int, tables: Tables, memory: Memory) -> None:
    """Free all runs of a key."""
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        following = memory.runs[run, RUN_NEXT]
        if not is_final(run, tables, memory):
            late = last_ms(run, tables, memory) < ts
            memory.totals[EXPIRED] += late
            memory.totals[CANCELLED] += not late
        free_run(memory, run)
        run = following
    remove_empty(slot, memory)
