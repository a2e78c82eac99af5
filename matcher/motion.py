"""All that a rule does in a batch in which few keys matter to it, in one call.

    take rows → offer them → let time pass

Calling a kernel costs more than this takes for most rules: nearly all of it is handing over arrays.
"""

from __future__ import annotations

from matcher.absence import first_deadline_ms, sweep
from matcher.advance import advance
from matcher.buffers import EVENT_TS, EVENT_VALUES, Ints, Out, Scratch
from matcher.compiled import kernel
from matcher.posting_rows import Lists, Need, take_rows
from matcher.runs import RUNS, Memory
from matcher.selection import fill, fill_column
from matcher.tables import NO_LIMIT_MS, TIMERS, Tables

# Places in the times of a lane: when it last collected runs that are over, a moment no later than
# any deadline, the least time from an event to a deadline that it brings about (UNKNOWN_MS: every
# moment may be one), how often runs are collected, and the watermark.
SWEPT_MS, DUE_MS, WAIT_MS, EVERY_MS, NOW_MS = range(5)
UNKNOWN_MS = -1


@kernel
def move(
    need: Need,
    bounds: Ints,
    lists: Lists,
    taken: Lists,
    ts: Ints,
    position: Ints,
    values: Ints,
    events: Ints,
    times: Ints,
    tables: Tables,
    memory: Memory,
    out: Out,
    scratch: Scratch,
) -> tuple[int, int, bool]:
    """(rows taken, now in `events`; how many of them were processed; whether time has passed too).

    The latter two fall short when there is no room.  `values` has a row for each of the columns
    that the rule reads.
    """
    count = take_rows(memory.keys, need, bounds, lists, taken)
    rows = events[:count]
    fill(rows, taken.rows[:count], taken.keys, taken.masks, ts, position)
    for column in range(values.shape[0]):
        fill_column(rows, EVENT_VALUES + column, taken.rows[:count], values[column])
    expect(rows, times)
    begin = advance(0, rows, tables, memory, out, scratch)
    if begin < count:
        return count, begin, False
    if memory.totals[RUNS] and is_due(times):
        if tables.options[TIMERS] and out.at_ms.shape[0] - out.counts[0] < memory.totals[RUNS]:
            return count, begin, False
        sweep(times[NOW_MS], tables, memory, out, scratch)
        passed(times[NOW_MS], times, tables, memory)
    return count, begin, True


@kernel
def expect(events: Ints, times: Ints) -> None:
    """Look out for the deadlines that these events may bring about."""
    if times[WAIT_MS] != UNKNOWN_MS:
        for event in range(events.shape[0]):
            times[DUE_MS] = min(times[DUE_MS], events[event, EVENT_TS] + times[WAIT_MS])


@kernel
def is_due(times: Ints) -> bool:
    """Whether it is time to look for what has become of runs."""
    now_ms = times[NOW_MS]
    return bool(now_ms > times[DUE_MS] or now_ms - times[SWEPT_MS] > times[EVERY_MS])


@kernel
def passed(until_ms: int, times: Ints, tables: Tables, memory: Memory) -> None:
    """What time has decided up to that moment has been looked for."""
    times[SWEPT_MS] = times[DUE_MS] = until_ms
    if times[WAIT_MS] == NO_LIMIT_MS:
        times[DUE_MS] = NO_LIMIT_MS
    elif times[WAIT_MS] != UNKNOWN_MS:
        times[DUE_MS] = first_deadline_ms(tables, memory)
