"""Time passing: absences that held long enough complete, runs that cannot match end."""

from __future__ import annotations

from matcher.batch import NULL
from matcher.binding import emit, ended, where_holds
from matcher.buffers import Out, Scratch
from matcher.compiled import inlined, kernel
from matcher.runs import (
    CHANGED,
    EXPIRED,
    NONE,
    RUN_BLOCKED,
    RUN_LAST_TS,
    RUN_NEXT,
    RUN_START_POSITION,
    RUN_START_TS,
    RUN_STATE,
    SLOT_HEAD,
    SLOT_KEY,
    SLOT_RUNS,
    Memory,
    free_run,
    remove_key,
)
from matcher.tables import SKIP_PAST_LAST, TIMED, TIMERS, WITHIN_MS, Tables


@kernel
def sweep(watermark_ms: int, tables: Tables, memory: Memory, out: Out, scratch: Scratch) -> None:
    """Let time pass: decide absences due before the watermark, drop runs that are over."""
    slot = 0
    while slot < memory.keys.shape[0]:
        if memory.keys[slot, SLOT_HEAD] == NONE:
            slot += 1
            continue
        key = memory.keys[slot, SLOT_KEY]
        if tables.options[TIMERS]:
            fire_due(slot, watermark_ms, tables, memory, out, scratch)
        if memory.keys[slot, SLOT_HEAD] != NONE and memory.keys[slot, SLOT_KEY] == key:
            _drop(slot, False, NULL, watermark_ms, tables, memory)
        if memory.keys[slot, SLOT_HEAD] == NONE or memory.keys[slot, SLOT_KEY] == key:
            slot += 1


@inlined
def fire_due(
    slot: int, before_ms: int, tables: Tables, memory: Memory, out: Out, scratch: Scratch
) -> None:
    """Decide the absences of one key whose deadline lies before `before_ms`, earliest first."""
    key = memory.keys[slot, SLOT_KEY]
    while memory.keys[slot, SLOT_HEAD] != NONE and memory.keys[slot, SLOT_KEY] == key:
        due = NONE
        due_ms = NULL
        run = memory.keys[slot, SLOT_HEAD]
        while run != NONE:
            at_ms = deadline_ms(run, tables, memory)
            if at_ms != NULL and at_ms < before_ms and (due == NONE or at_ms < due_ms):
                due = run
                due_ms = at_ms
            run = memory.runs[run, RUN_NEXT]
        if due == NONE:
            return
        memory.totals[CHANGED] = 1
        if not where_holds(due, tables, memory, scratch):
            state = memory.runs[due, RUN_STATE]
            end_bit = tables.transition_begin[state + 1] - tables.transition_begin[state]
            memory.runs[due, RUN_BLOCKED] |= 1 << end_bit
            continue
        emit(due, due_ms, 1, memory, out)
        family = memory.runs[due, RUN_START_POSITION]
        everything = tables.options[SKIP_PAST_LAST]
        _drop(slot, everything, family, due_ms, tables, memory)


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
def _drop(
    slot: int,
    everything: int,
    family: int,
    watermark_ms: int,
    tables: Tables,
    memory: Memory,
) -> None:
    """Free the key's runs that belong to `family` or can no longer match at `watermark_ms`."""
    previous = NONE
    kept = 0
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        following = memory.runs[run, RUN_NEXT]
        expired = watermark_ms != NULL and (
            watermark_ms - memory.runs[run, RUN_START_TS] > tables.options[WITHIN_MS]
            or watermark_ms - memory.runs[run, RUN_LAST_TS]
            > tables.gap_max_ms[memory.runs[run, RUN_STATE]]
        )
        if everything or expired or memory.runs[run, RUN_START_POSITION] == family:
            if expired:
                memory.totals[EXPIRED] += 1
            free_run(memory, run)
            if previous == NONE:
                memory.keys[slot, SLOT_HEAD] = following
            else:
                memory.runs[previous, RUN_NEXT] = following
        else:
            previous = run
            kept += 1
        run = following
    memory.keys[slot, SLOT_RUNS] = kept
    if kept == 0:
        memory.keys[slot, SLOT_HEAD] = 0  # any run: the slot must look taken while it is removed
        remove_key(memory, slot)
