"""Move the partial matches of one rule over a batch of events: the innermost loop, by Numba.

    runs', matches = advance(runs, events)        equal to `matcher.reference` for every batching

`events` are those of the batch that may matter to the rule, in order, each with its key and a bit
mask of the steps whose single-event condition holds.  For each event the runs of its key are taken
in order of (start, preference) and put back as a new line; an event moves a run at most once.

The kernel allocates nothing.  When a table might overflow it returns the number of the event it did
not start, the caller makes room and calls again.
"""

from __future__ import annotations

from matcher.absence import fire_due
from matcher.binding import (
    bind,
    can_extend,
    can_loop,
    completes,
    emit,
    guards_hold,
    where_holds,
)
from matcher.buffers import (
    EVENT_KEY,
    EVENT_MASK,
    EVENT_POSITION,
    EVENT_TS,
    Ints,
    Out,
    Scratch,
    Shorts,
)
from matcher.compiled import inlined, kernel
from matcher.runs import (
    CAPPED,
    CHANGED,
    EXPIRED,
    KEYS,
    NODES,
    NONE,
    RUN_BLOCKED,
    RUN_KEY,
    RUN_LAST_TS,
    RUN_NEXT,
    RUN_NODE,
    RUN_REGISTERS,
    RUN_START_POSITION,
    RUN_START_TS,
    RUN_STATE,
    RUNS,
    SLOT_HEAD,
    SLOT_KEY,
    SLOT_RUNS,
    STARTED,
    Memory,
    copy_run,
    free_run,
    key_slot,
    new_run,
    remove_key,
)
from matcher.tables import (
    FORKS,
    NO_PROGRAM,
    RUNS_PER_KEY,
    SKIP_PAST_LAST,
    STARTS,
    TIMERS,
    WHERE,
    WITHIN_MS,
    Tables,
)
from matcher.vm import step_holds, test_holds


@kernel
def advance(
    begin: int, events: Ints, tables: Tables, memory: Memory, out: Out, scratch: Scratch
) -> int:
    """Process events from number `begin`; returns the first event not processed."""
    options = tables.options
    forks, starts = options[FORKS], options[STARTS]
    for event in range(begin, events.shape[0]):
        slot = key_slot(memory.keys, events[event, EVENT_KEY])
        held = memory.keys[slot, SLOT_RUNS] if memory.keys[slot, SLOT_HEAD] != NONE else 0
        more = held * forks + starts
        if (
            memory.runs.shape[0] - memory.totals[RUNS] < more
            or memory.nodes.shape[0] - memory.totals[NODES] < held + more
            or scratch.line.shape[0] < held + more
            or out.at_ms.shape[0] - out.counts[0] < 2 * held + starts
            or out.bound.shape[0] - out.counts[1] < held + more
            or 2 * (memory.totals[KEYS] + 1) > memory.keys.shape[0]
        ):
            return event
        if options[TIMERS] and held:
            fire_due(slot, events[event, EVENT_TS], tables, memory, out, scratch)
            slot = key_slot(memory.keys, events[event, EVENT_KEY])
        _offer(event, slot, events, tables, memory, out, scratch)
    return int(events.shape[0])


@inlined
def _offer(
    event: int,
    slot: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> None:
    """Offer one event to the runs of its key, then let it start a run."""
    past_last = tables.options[SKIP_PAST_LAST]
    line = scratch.line
    size = 0
    pruned = False
    relink = False
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        family = memory.runs[run, RUN_START_POSITION]
        family_begin = size
        matched = False
        while run != NONE and memory.runs[run, RUN_START_POSITION] == family:
            following = memory.runs[run, RUN_NEXT]
            if not matched and _passes_by(event, run, events, tables, memory, scratch):
                line[size] = run
                size += 1
            elif matched:
                _free_unmoved(run, events[event, EVENT_TS], tables, memory)
            else:
                before = size
                size, completed = _move(event, run, size, events, tables, memory, out, scratch)
                relink = relink or size != before + 1 or line[before] != run
                if completed != NONE:
                    emit(completed, events[event, EVENT_TS], 0, memory, out)
                    matched = True
                    size = _free_line(family_begin, size, memory, line)
            run = following
        if matched:
            relink = True
            if past_last:
                size = _free_line(0, size, memory, line)
                while run != NONE:
                    following = memory.runs[run, RUN_NEXT]
                    _free_unmoved(run, events[event, EVENT_TS], tables, memory)
                    run = following
                pruned = True
    if not pruned and events[event, EVENT_MASK] != 0:
        before = size
        size, completed = _start(event, size, events, tables, memory, out, scratch)
        if completed != NONE:
            emit(completed, events[event, EVENT_TS], 0, memory, out)
            size = _free_line(0 if past_last else before, size, memory, line)
            relink = True
        relink = relink or size != before
    if relink:
        _relink(slot, events[event, EVENT_KEY], size, memory, line)


@inlined
def _relink(slot: int, key: int, size: int, memory: Memory, line: Shorts) -> None:
    """Make the first `size` runs of `line` the runs of the key."""
    if size == 0:
        if memory.keys[slot, SLOT_HEAD] != NONE:
            remove_key(memory, slot)
        return
    if memory.keys[slot, SLOT_HEAD] == NONE:
        memory.keys[slot, SLOT_KEY] = key
        memory.totals[KEYS] += 1
    memory.keys[slot, SLOT_HEAD] = line[0]
    memory.keys[slot, SLOT_RUNS] = size
    for place in range(size - 1):
        memory.runs[line[place], RUN_NEXT] = line[place + 1]
    memory.runs[line[size - 1], RUN_NEXT] = NONE


@inlined
def _passes_by(
    event: int, run: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> bool:
    """Whether the event surely does nothing to the run: the common case, decided fast."""
    test = tables.quick_test[memory.runs[run, RUN_STATE]]
    return (
        test >= 0
        and not test_holds(test, memory.runs[run], event, events, tables, scratch)
        and not _expired(run, events[event, EVENT_TS], tables, memory)
    )


@inlined
def _expired(run: int, ts: int, tables: Tables, memory: Memory) -> bool:
    """Whether the run could no longer match at `ts`."""
    state = memory.runs[run, RUN_STATE]
    return bool(
        ts - memory.runs[run, RUN_START_TS] > tables.options[WITHIN_MS]
        or ts - memory.runs[run, RUN_LAST_TS] > tables.gap_max_ms[state]
    )


@inlined
def _free_unmoved(run: int, ts: int, tables: Tables, memory: Memory) -> None:
    """Free a run that a match ends; one that was over already counts as expired all the same."""
    memory.totals[EXPIRED] += _expired(run, ts, tables, memory)
    free_run(memory, run)


@inlined
def _free_line(begin: int, size: int, memory: Memory, line: Shorts) -> int:
    for place in range(begin, size):
        free_run(memory, line[place])
    return begin


@inlined
def _start(
    event: int,
    size: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, int]:
    """Start a run for each way the event fits the beginning of the pattern."""
    fitting = 0
    for transition in range(tables.transition_begin[0], tables.transition_begin[1]):
        if not (events[event, EVENT_MASK] >> tables.step[transition]) & 1:
            continue
        step = tables.step[transition]
        if step_holds(step, tables.initial, event, events, memory, tables, scratch):
            scratch.fits[fitting] = transition
            fitting += 1
    if fitting == 0:
        return size, NONE
    if size + fitting > tables.options[RUNS_PER_KEY]:
        memory.totals[CAPPED] += 1
        return size, NONE
    memory.totals[STARTED] += 1
    for number in range(fitting):
        run = new_run(memory)
        memory.runs[run, RUN_KEY] = events[event, EVENT_KEY]
        memory.runs[run, RUN_START_TS] = events[event, EVENT_TS]
        memory.runs[run, RUN_START_POSITION] = events[event, EVENT_POSITION]
        memory.runs[run, RUN_NODE] = NONE
        for place in range(RUN_REGISTERS, tables.initial.shape[0]):
            memory.runs[run, place] = tables.initial[place]
        scratch.line[size] = run
        size += 1
        bind(run, scratch.fits[number], event, events, tables, memory, out, scratch)
        if completes(run, tables, memory):
            if where_holds(run, tables, memory, scratch):
                return size, int(run)
            if not can_extend(run, tables, memory):
                free_run(memory, run)
                size -= 1
    return size, NONE


@inlined
def _move(
    event: int,
    run: int,
    size: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, int]:
    """Offer the event to one run and append what it becomes to the line.

    Returns the new size of the line and the run that completed, or NONE.
    """
    ts = events[event, EVENT_TS]
    state = memory.runs[run, RUN_STATE]
    since_last_ms = ts - memory.runs[run, RUN_LAST_TS]
    if _expired(run, ts, tables, memory):
        memory.totals[EXPIRED] += 1
        free_run(memory, run)
        return size, NONE
    blocked = _blocked(event, run, events, tables, memory, scratch)
    fitting = 0
    loops = False
    first = tables.transition_begin[state]
    for transition in range(first, tables.transition_begin[state + 1]):
        if (
            (blocked >> (transition - first)) & 1
            or not (events[event, EVENT_MASK] >> tables.step[transition]) & 1
            or since_last_ms < tables.gap_from_ms[transition]
            or since_last_ms > tables.gap_to_ms[transition]
            or not guards_hold(
                run,
                tables.guard_begin[transition],
                tables.guard_begin[transition + 1],
                tables,
                memory,
            )
        ):
            continue
        step = tables.step[transition]
        if not step_holds(step, memory.runs[run], event, events, memory, tables, scratch):
            continue
        scratch.fits[fitting] = transition
        fitting += 1
        loops = loops or tables.again[transition] == 1
    if fitting:
        return _branch(
            event, run, size, fitting, loops, blocked, events, tables, memory, out,
            scratch,
        )  # fmt: skip
    blocked |= tables.strict_bits[state]
    if blocked & tables.all_bits[state] == tables.all_bits[state]:
        free_run(memory, run)
        return size, NONE
    if blocked != memory.runs[run, RUN_BLOCKED]:
        memory.runs[run, RUN_BLOCKED] = blocked
        memory.totals[CHANGED] = 1
    scratch.line[size] = run
    return size + 1, NONE


@inlined
def _blocked(
    event: int, run: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> int:
    """The run's blocked transitions, with those that the event forbids."""
    state = memory.runs[run, RUN_STATE]
    blocked = memory.runs[run, RUN_BLOCKED]
    for absent in range(tables.absent_begin[state], tables.absent_begin[state + 1]):
        if not (events[event, EVENT_MASK] >> tables.absent_step[absent]) & 1:
            continue
        step = tables.absent_step[absent]
        if step_holds(step, memory.runs[run], event, events, memory, tables, scratch):
            blocked |= tables.absent_bits[absent]
    return int(blocked)


@inlined
def _branch(
    event: int,
    run: int,
    size: int,
    fitting: int,
    loops: bool,
    blocked: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, int]:
    """Take each transition that fits, in order of preference; the run forks when there are several.

    A completion that `where` rejects, on a way out of a loop that could go on, leaves the run in
    the loop as if the event had not fitted.
    """
    if fitting > 1 and size + fitting > tables.options[RUNS_PER_KEY]:
        fitting = 1
        memory.totals[CAPPED] += 1
    stay = NONE
    if tables.options[WHERE] != NO_PROGRAM and not loops and can_loop(run, tables, memory):
        stay = copy_run(memory, run)
        memory.runs[stay, RUN_BLOCKED] = blocked
    scratch.twins[0] = run
    for number in range(1, fitting):
        scratch.twins[number] = copy_run(memory, run)
    completed = NONE
    rejected = False
    for number in range(fitting):
        child = scratch.twins[number]
        if completed != NONE:
            free_run(memory, child)
            continue
        bind(child, scratch.fits[number], event, events, tables, memory, out, scratch)
        if completes(child, tables, memory):
            if where_holds(child, tables, memory, scratch):
                completed = child
            else:
                rejected = True
                if not can_extend(child, tables, memory):
                    free_run(memory, child)
                    continue
        scratch.line[size] = child
        size += 1
    if stay != NONE:
        if rejected and completed == NONE:
            scratch.line[size] = stay
            size += 1
        else:
            free_run(memory, stay)
    return size, int(completed)
