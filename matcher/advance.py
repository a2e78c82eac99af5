"""Move the partial matches of one rule over a batch of events: the innermost loop, by Numba.

    runs', matches = advance(runs, events)        equal to `matcher.reference` for every batching

`events` are those of the batch that may matter to the rule, in order, each with its key and a bit
mask of the steps whose single-event condition holds.  For each event the runs of its key are taken
in order of (start, preference) and put back as a new line; an event moves a run at most once.

The kernel allocates nothing.  When a table might overflow it returns the number of the event it did
not start, the caller makes room and calls again.
"""

from __future__ import annotations

from matcher.absence import decide_by_next, fire_due
from matcher.batch import NULL
from matcher.binding import bind, can_loop, completes, guards_hold, where_holds
from matcher.buffers import (
    EVENT_KEY,
    EVENT_MASK,
    EVENT_POSITION,
    EVENT_TS,
    SEEN_BIT,
    Ints,
    Out,
    Scratch,
    Shorts,
)
from matcher.compiled import inlined, kernel
from matcher.policy import began_by, hear, horizon, is_final, last_ms, make_room, report
from matcher.runs import (
    CAPPED,
    CLOCKS,
    EXPIRED,
    FULL,
    KEYS,
    NODE_POSITION,
    NODES,
    NONE,
    OPEN,
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
    touch,
)
from matcher.silence import is_known, keep_clock, quiet, ring
from matcher.tables import (
    EVERY,
    FINAL,
    FIRE,
    FIRE_CLOSE,
    FIRE_EACH,
    FORKS,
    KEYS_ARE_ROWS,
    NEXT_ENDS,
    NO_PROGRAM,
    PURE_SILENCE,
    RUNS_FIRST,
    RUNS_LATEST,
    RUNS_PER_KEY,
    RUNS_POLICY,
    SIGNALS,
    SILENCE_MS,
    START_STEPS,
    STARTS,
    TIMERS,
    WHERE,
    WITHIN_MS,
    Tables,
)
from matcher.vm import step_holds, test_holds

# What became of a run that has just bound an event.
GOES_ON, REJECTED, REPORTED, COMPLETED = range(4)


@kernel
def advance(
    begin: int, events: Ints, tables: Tables, memory: Memory, out: Out, scratch: Scratch
) -> int:
    """Process events from number `begin`; returns the first event not processed."""
    options = tables.options
    forks, starts = options[FORKS], options[STARTS]
    silences = options[SILENCE_MS] >= 0
    hears = silences or options[SIGNALS] != 0
    for event in range(begin, events.shape[0]):
        slot = key_slot(memory.keys, events[event, EVENT_KEY])
        if (
            memory.keys[slot, SLOT_HEAD] == NONE
            and events[event, EVENT_MASK] & options[START_STEPS] == 0
            and not hears
        ):
            continue  # most events of most rules
        held = memory.keys[slot, SLOT_RUNS] if memory.keys[slot, SLOT_HEAD] != NONE else 0
        more = held * forks + starts
        if (
            memory.runs.shape[0] - memory.totals[RUNS] < more
            or memory.nodes.shape[0] - memory.totals[NODES] < held + more
            or scratch.line.shape[0] < held + more
            or out.at_ms.shape[0] - out.counts[0] < 2 * held + more + silences
            or out.bound.shape[0] - out.counts[1] < held + more
            or out.resolved.shape[0] == out.counts[2]
            or 2 * (memory.totals[KEYS] + 1) > memory.keys.shape[0]
            or 2 * (memory.totals[OPEN] + 1) > memory.open.shape[0]
            or (silences and 2 * (memory.totals[CLOCKS] + 1) > memory.clocks.shape[0])
        ):
            return event
        if options[KEYS_ARE_ROWS] and not is_known(events[event, EVENT_KEY], memory):
            continue
        out.counts[3] = events[event, EVENT_POSITION]
        if options[TIMERS] and held:
            fire_due(slot, events[event, EVENT_TS], tables, memory, out, scratch)
            slot = key_slot(memory.keys, events[event, EVENT_KEY])
        if options[PURE_SILENCE]:
            ring(event, events, tables, memory, out)
        if options[SIGNALS]:
            if not hear(event, slot, events, tables, memory, out):
                if silences and (events[event, EVENT_MASK] >> SEEN_BIT) & 1:
                    keep_clock(event, events, tables, memory, scratch)
                continue
            slot = key_slot(memory.keys, events[event, EVENT_KEY])
        if options[NEXT_ENDS] and held and memory.keys[slot, SLOT_HEAD] != NONE:
            decide_by_next(event, slot, events, tables, memory, out, scratch)
            slot = key_slot(memory.keys, events[event, EVENT_KEY])
        scratch.room[0] = options[RUNS_PER_KEY] - held
        full = memory.totals[FULL] == 1
        if held and (full or held + more > options[RUNS_PER_KEY] or options[FIRE] == FIRE_CLOSE):
            if memory.keys[slot, SLOT_HEAD] != NONE:
                scratch.room[0] = make_room(slot, events[event, EVENT_TS], tables, memory)
                slot = key_slot(memory.keys, events[event, EVENT_KEY])
            else:
                scratch.room[0] = options[RUNS_PER_KEY]
        if full:
            scratch.room[0] = min(scratch.room[0], 0)
        _offer(event, slot, events, tables, memory, out, scratch)
        if silences:
            keep_clock(event, events, tables, memory, scratch)
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
    line = scratch.line
    ts = events[event, EVENT_TS]
    size = 0
    closes = tables.options[FIRE] == FIRE_CLOSE
    ended_ts = NULL
    ended_position = 0
    relink = False
    run = memory.keys[slot, SLOT_HEAD]
    while run != NONE:
        family = memory.runs[run, RUN_START_POSITION]
        over = ended_ts != NULL and began_by(run, ended_ts, ended_position, memory)
        begin = size
        completed = NONE
        while run != NONE and memory.runs[run, RUN_START_POSITION] == family:
            following = memory.runs[run, RUN_NEXT]
            if over or completed != NONE:
                _free_unmoved(run, ts, tables, memory, scratch)
            elif _passes_by(event, run, events, tables, memory, scratch) or is_final(
                run, tables, memory
            ):
                line[size] = run
                size += 1
            else:
                before = size
                size, completed = _move(event, run, size, events, tables, memory, out, scratch)
                relink = relink or size != before + 1 or line[before] != run
            run = following
        relink = relink or over
        if completed != NONE or (closes and size > begin and is_final(line[begin], tables, memory)):
            relink = True
            size, ended_ts, ended_position = _settle(
                begin, size, ts, ended_ts, ended_position, tables, memory, out, scratch
            )
    if events[event, EVENT_MASK] != 0 and (
        ended_ts == NULL
        or ts > ended_ts
        or (ts == ended_ts and events[event, EVENT_POSITION] > ended_position)
    ):
        before = size
        size, started = _start(event, size, events, tables, memory, out, scratch)
        relink = relink or started
    if relink:
        _relink(slot, events[event, EVENT_KEY], size, memory, line)


@inlined
def _settle(
    begin: int,
    size: int,
    at_ms: int,
    ended_ts: int,
    ended_position: int,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, int, int]:
    """Report the start whose runs are line[begin:size], the last (`fire close`: the first) of which
    has completed, and end the runs before it that its match ends.

    Returns the size of the line and the latest horizon so far.
    """
    line = scratch.line
    fire = tables.options[FIRE]
    done = line[begin] if fire == FIRE_CLOSE else line[size - 1]
    if fire == FIRE_CLOSE and not is_final(done, tables, memory):
        return size, ended_ts, ended_position
    report(done, at_ms, 0, tables, memory, out)
    ts, position = horizon(done, at_ms, 0, tables, memory)
    goes_on = fire == FIRE_EACH and last_ms(done, tables, memory) != NULL
    for place in range(begin, size):
        if not goes_on or line[place] != done:
            _let_go(line[place], tables, memory, scratch)
    if goes_on and scratch.room[0] < 0:  # a start that has completed takes a place only now
        memory.totals[CAPPED] += 1
        _let_go(done, tables, memory, scratch)
        goes_on = False
    kept = 0
    for place in range(begin):
        if began_by(line[place], ts, position, memory):
            _let_go(line[place], tables, memory, scratch)
        else:
            line[kept] = line[place]
            kept += 1
    if goes_on:
        line[kept] = done
        kept += 1
    if ts > ended_ts or (ts == ended_ts and position > ended_position):
        return kept, ts, position
    return kept, ended_ts, ended_position


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
def _let_go(run: int, tables: Tables, memory: Memory, scratch: Scratch) -> None:
    """Free a run of the key; another one may take its place."""
    scratch.room[0] += not is_final(run, tables, memory)
    free_run(memory, run)


@inlined
def _free_unmoved(run: int, ts: int, tables: Tables, memory: Memory, scratch: Scratch) -> None:
    """Free a run that a match ends; one that was over already counts as expired all the same."""
    memory.totals[EXPIRED] += not is_final(run, tables, memory) and _expired(
        run, ts, tables, memory
    )
    _let_go(run, tables, memory, scratch)


@inlined
def _start(
    event: int,
    size: int,
    events: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, bool]:
    """Start a run for each way the event fits the beginning of the pattern.

    Returns the size of the line and whether it has changed.
    """
    if tables.options[SILENCE_MS] >= 0 and not quiet(event, events, tables, memory):
        return size, False
    fitting = 0
    cut = 0
    for transition in range(tables.transition_begin[0], tables.transition_begin[1]):
        if not (events[event, EVENT_MASK] >> tables.step[transition]) & 1:
            continue
        step = tables.step[transition]
        if step_holds(step, tables.initial, event, events, memory, tables, scratch):
            scratch.fits[fitting] = transition
            fitting += 1
            cut |= tables.cut_bits[transition]
    if cut:
        fitting, _ = _without(cut, 0, fitting, tables, scratch)
    if fitting == 0 or not _may_start(event, size, events, tables, memory, scratch):
        return size, False
    if tables.options[RUNS_POLICY] == RUNS_LATEST:
        size = _replace(size, events[event, EVENT_TS], tables, memory, out, scratch)
    begin = size
    started = False
    for number in range(fitting):
        run = new_run(memory)
        memory.runs[run, RUN_KEY] = events[event, EVENT_KEY]
        memory.runs[run, RUN_START_TS] = events[event, EVENT_TS]
        memory.runs[run, RUN_START_POSITION] = events[event, EVENT_POSITION]
        memory.runs[run, RUN_NODE] = NONE
        for place in range(RUN_REGISTERS, tables.initial.shape[0]):
            memory.runs[run, place] = tables.initial[place]
        bind(run, scratch.fits[number], event, events, tables, memory, out, scratch)
        before = size
        size, outcome = _land(run, size, events[event, EVENT_TS], tables, memory, out, scratch)
        started = started or size != before or outcome == REPORTED
        if outcome == COMPLETED:
            size, _, _ = _settle(
                begin, size, events[event, EVENT_TS], NULL, 0, tables, memory, out, scratch
            )
            break
    memory.totals[STARTED] += started
    return size, True


@inlined
def _may_start(
    event: int, size: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> bool:
    """Whether the policy lets a fitting event start while the runs of the line are pending."""
    policy = tables.options[RUNS_POLICY]
    if policy == RUNS_FIRST:
        for place in range(size):
            run = scratch.line[place]
            if (
                is_final(run, tables, memory)
                or last_ms(run, tables, memory) >= events[event, EVENT_TS]
            ):
                return False
    elif policy == RUNS_LATEST:
        for place in range(size):
            node = memory.runs[scratch.line[place], RUN_NODE]
            if memory.nodes[node, NODE_POSITION] == events[event, EVENT_POSITION]:
                return False
    return True


@inlined
def _replace(size: int, ts: int, tables: Tables, memory: Memory, out: Out, scratch: Scratch) -> int:
    """End all runs of the line; they can grow no more, so final candidates are reported."""
    reported = NULL
    for place in range(size):
        run = scratch.line[place]
        family = memory.runs[run, RUN_START_POSITION]
        if is_final(run, tables, memory) and family != reported:
            report(run, ts, 0, tables, memory, out)
            horizon(run, ts, 0, tables, memory)  # counts a target that is not there
            reported = family
    for place in range(size):
        _let_go(scratch.line[place], tables, memory, scratch)
    return 0


@inlined
def _land(
    run: int, size: int, ts: int, tables: Tables, memory: Memory, out: Out, scratch: Scratch
) -> tuple[int, int]:
    """Put a run that has just bound an event on the line, unless it is over.

    Returns the size of the line and what became of the run; one that has COMPLETED is the last of
    the line, and with `fire close` a final candidate.
    """
    outcome = GOES_ON
    if completes(run, tables, memory):
        if not where_holds(run, tables, memory, scratch):
            outcome = REJECTED
        elif tables.options[EVERY]:
            report(run, ts, 0, tables, memory, out)
            outcome = REPORTED
        elif tables.options[FIRE] == FIRE_CLOSE:
            return _finalise(run, size, ts, tables, memory, scratch), COMPLETED
        else:
            scratch.room[0] -= 1
            scratch.line[size] = run
            return size + 1, COMPLETED
    return _keep(run, size, ts, tables, memory, scratch), outcome


@inlined
def _keep(run: int, size: int, ts: int, tables: Tables, memory: Memory, scratch: Scratch) -> int:
    """Put the run on the line if it can go on and there is room; returns the size of the line."""
    if last_ms(run, tables, memory) < ts:
        free_run(memory, run)
        return size
    if scratch.room[0] <= 0:
        memory.totals[CAPPED] += 1
        free_run(memory, run)
        return size
    scratch.room[0] -= 1
    scratch.line[size] = run
    return size + 1


@inlined
def _finalise(
    run: int, size: int, ts: int, tables: Tables, memory: Memory, scratch: Scratch
) -> int:
    """Make the run a final candidate; in the ways it prefers to completing, it goes on as well."""
    state = memory.runs[run, RUN_STATE]
    less = tables.all_bits[state] >> tables.end_rank[state] << tables.end_rank[state]
    final = copy_run(memory, run)
    memory.runs[final, RUN_STATE] = tables.options[FINAL]
    memory.runs[run, RUN_BLOCKED] = less
    size = _keep(run, size, ts, tables, memory, scratch)
    scratch.line[size] = final
    return size + 1


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
        _let_go(run, tables, memory, scratch)
        return size, NONE
    blocked = _blocked(event, run, events, tables, memory, scratch)
    fitting = 0
    loops = False
    cut = 0
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
        cut |= tables.cut_bits[transition]
    if cut:
        fitting, loops = _without(cut, first, fitting, tables, scratch)
    if fitting:
        return _branch(
            event, run, size, fitting, loops, blocked, events, tables, memory, out,
            scratch,
        )  # fmt: skip
    blocked |= tables.strict_bits[state]
    blocks = blocked != memory.runs[run, RUN_BLOCKED]
    if blocks:
        memory.runs[run, RUN_BLOCKED] = blocked
        touch(memory, memory.runs[run, RUN_KEY])
    # Where the next event decides, that this was the next one has blocked the end before.
    if (blocks or tables.end_next[state]) and last_ms(run, tables, memory) < ts:
        _let_go(run, tables, memory, scratch)
        return size, NONE
    scratch.line[size] = run
    return size + 1, NONE


@inlined
def _without(
    cut: int, first: int, fitting: int, tables: Tables, scratch: Scratch
) -> tuple[int, bool]:
    """Take the transitions in `cut` out of those that fit: a possessive loop gives nothing back.

    Returns how many are left, and whether one of them goes back into a loop.
    """
    kept = 0
    loops = False
    for number in range(fitting):
        transition = scratch.fits[number]
        if not (cut >> (transition - first)) & 1:
            scratch.fits[kept] = transition
            kept += 1
            loops = loops or tables.again[transition] == 1
    return kept, loops


@inlined
def _blocked(
    event: int, run: int, events: Ints, tables: Tables, memory: Memory, scratch: Scratch
) -> int:
    """The run's blocked transitions, with those that the event forbids."""
    state = memory.runs[run, RUN_STATE]
    blocked = memory.runs[run, RUN_BLOCKED]
    since_last_ms = events[event, EVENT_TS] - memory.runs[run, RUN_LAST_TS]
    for absent in range(tables.absent_begin[state], tables.absent_begin[state + 1]):
        if (
            not (events[event, EVENT_MASK] >> tables.absent_step[absent]) & 1
            or since_last_ms > tables.absent_for_ms[absent]
        ):
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

    It stays as well when every way it takes is a `->>`, and when `where` rejects all completions on
    ways out of a loop that could go on: as if the event had not fitted.
    """
    state = memory.runs[run, RUN_STATE]
    ts = events[event, EVENT_TS]
    forks = True
    for number in range(fitting):
        forks = forks and tables.forks[scratch.fits[number]] == 1
    may_stay = forks or (
        tables.options[WHERE] != NO_PROGRAM and not loops and can_loop(run, tables, memory)
    )
    scratch.room[0] += 1
    rejected = False
    reported = False
    for number in range(fitting):
        child = run
        if may_stay or number < fitting - 1:
            child = copy_run(memory, run)
        bind(child, scratch.fits[number], event, events, tables, memory, out, scratch)
        size, outcome = _land(child, size, ts, tables, memory, out, scratch)
        if outcome == COMPLETED:
            if child != run:
                free_run(memory, run)
            return size, int(scratch.line[size - 1])
        rejected = rejected or outcome == REJECTED
        reported = reported or outcome == REPORTED
    if forks or (may_stay and rejected and not reported):
        memory.runs[run, RUN_BLOCKED] = blocked | tables.strict_bits[state]
        size = _keep(run, size, ts, tables, memory, scratch)
    elif may_stay:
        free_run(memory, run)
    return size, NONE
