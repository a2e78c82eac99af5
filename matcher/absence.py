"""Time passing: absences that held long enough complete, runs that cannot match end.

Where `=> not N` ends a pattern, the very next event may decide before the time does.
A final candidate of `fire close` is decided by time as well: when none of the runs preferred to it
can go on any more.
"""

from __future__ import annotations

from matcher.batch import NULL
from matcher.binding import where_holds
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_TS, Ints, Out, Scratch
from matcher.compiled import inlined, kernel
from matcher.policy import (
    began_by,
    deadline_ms,
    horizon,
    is_final,
    last_ms,
    remove_empty,
    report,
)
from matcher.runs import (
    EXPIRED,
    NONE,
    RUN_BLOCKED,
    RUN_LAST_TS,
    RUN_NEXT,
    RUN_START_POSITION,
    RUN_START_TS,
    RUN_STATE,
    RUNS,
    SLOT_HEAD,
    SLOT_KEY,
    SLOT_RUNS,
    Memory,
    free_run,
    key_slot,
    touch,
)
from matcher.tables import (
    EVERY,
    FIRE,
    FIRE_CLOSE,
    FIRE_EACH,
    FORKS,
    NO_LIMIT_MS,
    RUNS_PER_KEY,
    STARTS,
    TIMERS,
    WITHIN_MS,
    Tables,
)
from matcher.vm import step_holds


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
            _drop(slot, NULL, NONE, NULL, 0, watermark_ms, tables, memory)
        if memory.keys[slot, SLOT_HEAD] == NONE or memory.keys[slot, SLOT_KEY] == key:
            slot += 1


@kernel
def first_deadline_ms(tables: Tables, memory: Memory) -> int:
    """The first moment at which a run completes unless something comes; NO_LIMIT_MS: none does."""
    first = NO_LIMIT_MS
    for slot in range(memory.keys.shape[0]):
        run = memory.keys[slot, SLOT_HEAD]
        while run != NONE:
            at_ms = deadline_ms(run, tables, memory)
            if at_ms != NULL:
                first = min(first, at_ms)
            run = memory.runs[run, RUN_NEXT]
    return int(first)


@kernel
def census(at_ms: int, tables: Tables, memory: Memory) -> int:
    """How many runs can still do something at `at_ms`, of all keys."""
    pending = 0
    for slot in range(memory.keys.shape[0]):
        run = memory.keys[slot, SLOT_HEAD]
        while run != NONE:
            if not is_final(run, tables, memory):
                pending += last_ms(run, tables, memory) >= at_ms
            run = memory.runs[run, RUN_NEXT]
    return pending


@kernel
def most_runs(events: Ints, tables: Tables, memory: Memory) -> int:
    """A number that the runs of all keys do not exceed at any time while `events` are processed.

    Events of one key stand together.
    """
    options = tables.options
    forks, starts, most = options[FORKS], options[STARTS], options[RUNS_PER_KEY]
    total = memory.totals[RUNS]
    place = 0
    while place < events.shape[0]:
        slot = key_slot(memory.keys, events[place, EVENT_KEY])
        held = memory.keys[slot, SLOT_RUNS] if memory.keys[slot, SLOT_HEAD] != NONE else 0
        runs = held
        key = events[place, EVENT_KEY]
        while place < events.shape[0] and events[place, EVENT_KEY] == key:
            runs = min(runs * (1 + forks) + starts, most)
            place += 1
        total += max(runs - held, 0)
    return int(total)


@inlined
def fire_due(
    slot: int, before_ms: int, tables: Tables, memory: Memory, out: Out, scratch: Scratch
) -> None:
    """Decide what of one key is due before `before_ms`, earliest first."""
    key = memory.keys[slot, SLOT_KEY]
    while memory.keys[slot, SLOT_HEAD] != NONE and memory.keys[slot, SLOT_KEY] == key:
        due, due_ms = _first_due(slot, before_ms, tables, memory)
        if due == NONE:
            return
        touch(memory, key)
        family = memory.runs[due, RUN_START_POSITION]
        kept = NONE
        if tables.options[FIRE] != FIRE_CLOSE:
            holds = where_holds(due, tables, memory, scratch)
            if not holds or tables.options[EVERY] or tables.options[FIRE] == FIRE_EACH:
                _block_end(due, tables, memory)
            if not holds:
                continue
            if tables.options[EVERY]:
                report(due, due_ms, 1, tables, memory, out)
                continue
            if tables.options[FIRE] == FIRE_EACH and last_ms(due, tables, memory) != NULL:
                kept = due
        report(due, due_ms, 1, tables, memory, out)
        ts, position = horizon(due, due_ms, 1, tables, memory)
        _drop(slot, family, kept, ts, position, due_ms, tables, memory)


@inlined
def decide_by_next(
    event: int,
    slot: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> None:
    """Complete the runs of one key that only ask the next event not to be a forbidden one."""
    key = memory.keys[slot, SLOT_KEY]
    ts = events[event, EVENT_TS]
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        following = memory.runs[run, RUN_NEXT]
        if not _next_decides(event, run, events, tables, memory, scratch):
            run = following
            continue
        touch(memory, key)
        holds = where_holds(run, tables, memory, scratch)
        if not holds or tables.options[EVERY] or tables.options[FIRE] == FIRE_EACH:
            _block_end(run, tables, memory)
        if holds:
            report(run, ts, 0, tables, memory, out)
        if not holds or tables.options[EVERY]:
            run = following
            continue
        family = memory.runs[run, RUN_START_POSITION]
        grows = tables.options[FIRE] == FIRE_EACH and last_ms(run, tables, memory) != NULL
        last_ts, position = horizon(run, ts, 0, tables, memory)
        _drop(slot, family, run if grows else NONE, last_ts, position, ts, tables, memory)
        if memory.keys[slot, SLOT_HEAD] == NONE or memory.keys[slot, SLOT_KEY] != key:
            return
        run = memory.keys[slot, SLOT_HEAD]


@inlined
def _next_decides(
    event: int, run: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> bool:
    """Whether the event completes the run by being another one than those forbidden."""
    state = memory.runs[run, RUN_STATE]
    if not tables.end_next[state] or deadline_ms(run, tables, memory) == NULL:
        return False
    end_bit = tables.transition_begin[state + 1] - tables.transition_begin[state]
    for absent in range(tables.absent_begin[state], tables.absent_begin[state + 1]):
        step = tables.absent_step[absent]
        if (
            (tables.absent_bits[absent] >> end_bit) & 1
            and (events[event, EVENT_MASK] >> step) & 1
            and step_holds(step, memory.runs[run], event, events, memory, tables, scratch)
        ):
            return False
    return True


@inlined
def _first_due(slot: int, before_ms: int, tables: Tables, memory: Memory) -> tuple[int, int]:
    """(run, moment) of what is due first, or (NONE, NULL)."""
    due = NONE
    due_ms = NULL
    family = NULL
    latest_ms = NULL
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        at_ms = NULL
        if tables.options[FIRE] != FIRE_CLOSE:
            at_ms = deadline_ms(run, tables, memory)
        else:
            if memory.runs[run, RUN_START_POSITION] != family:
                family = memory.runs[run, RUN_START_POSITION]
                latest_ms = NULL
            if is_final(run, tables, memory):
                at_ms = latest_ms
            else:
                latest_ms = max(latest_ms, last_ms(run, tables, memory))
        if at_ms != NULL and at_ms < before_ms and (due == NONE or at_ms < due_ms):
            due = run
            due_ms = at_ms
        run = memory.runs[run, RUN_NEXT]
    return int(due), int(due_ms)


@inlined
def _block_end(run: int, tables: Tables, memory: Memory) -> None:
    state = memory.runs[run, RUN_STATE]
    end_bit = tables.transition_begin[state + 1] - tables.transition_begin[state]
    memory.runs[run, RUN_BLOCKED] |= 1 << end_bit


@inlined
def _drop(
    slot: int,
    family: int,
    kept: int,
    ts: int,
    position: int,
    watermark_ms: int,
    tables: Tables,
    memory: Memory,
) -> None:
    """Free the key's runs of `family`, those up to the horizon, and those over at `watermark_ms`.

    All but `kept`.
    """
    previous = NONE
    size = 0
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        following = memory.runs[run, RUN_NEXT]
        expired = not is_final(run, tables, memory) and (
            watermark_ms - memory.runs[run, RUN_START_TS] > tables.options[WITHIN_MS]
            or watermark_ms - memory.runs[run, RUN_LAST_TS]
            > tables.gap_max_ms[memory.runs[run, RUN_STATE]]
        )
        ends = memory.runs[run, RUN_START_POSITION] == family or began_by(run, ts, position, memory)
        if run != kept and (ends or expired):
            if expired:
                memory.totals[EXPIRED] += 1
            free_run(memory, run)
            if previous == NONE:
                memory.keys[slot, SLOT_HEAD] = following
            else:
                memory.runs[previous, RUN_NEXT] = following
        else:
            previous = run
            size += 1
        run = following
    memory.keys[slot, SLOT_RUNS] = size
    if size == 0:
        remove_empty(slot, memory)
