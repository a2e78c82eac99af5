"""Kernels of `matcher.compact`: shared partial matches as linked events, and their enumeration.

    start(e, 0) = e.ts
    start(e, j) = the greatest start of the events of step j - 1 that came before e

Per key and step there is a list of events, newest first.  Both event time and `start` fall along a
list, so what lies in the window is a prefix of it, and every event of the prefix ends, with what is
below it, at least one beginning of a match: enumeration never runs into a dead end.  (After the
timed enumerable compact set of CORE, Bucchi et al., PVLDB 15(9), 2022.)
"""

from __future__ import annotations

from typing import NamedTuple

from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, Ints
from matcher.compiled import inlined, kernel
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, key_slot, remove_slot

# Columns of `Links.nodes`.  OLDER and NEWER are neighbours in the list; BELOW is the newest event
# of the step before when this one came.  A free node has FREE as its START and links by OLDER.
# NUMBER counts the events of the list; SUM adds up the numbers of what is below them, and SUM_2
# the sums of what is below them: see `_count`.  They wrap, and so do their differences.
POSITION, TS, START, OLDER, NEWER, BELOW, NUMBER, SUM, SUM_2 = range(9)
NODE_COLUMNS = 9
FREE = -(2**62)

# Columns of `Links.heads`, for each step but the last: the newest event, the oldest in the window,
# and the numbers and sums of the last one before that.
NEWEST, OLDEST, NUMBER_BEFORE, SUM_BEFORE, SUM_2_BEFORE = range(5)
HEAD_COLUMNS = 5

# Places in `Links.totals`.
FREE_NODE, NODES_USED, FREE_ROW, KEYS_USED, BEGUN, MATCHED, LEFT_OUT, DROPPED, TAKEN = range(9)
TOTALS = 9

# Columns of `Links.taken`: key, step, event time, position.
EVENT_OF, EVENT_STEP, EVENT_MS, EVENT_AT = range(4)

COUNT_MAX = 2**62
"""Where the count of matches of one event stops."""

# Columns of what is found before the positions of its events.
FOUND_TS, FOUND_KEY, FOUND_POSITIONS = range(3)


class Links(NamedTuple):
    """`keys` is a table like that of `matcher.runs`; its heads are rows of `heads`."""

    keys: Ints
    heads: Ints  # (keys, steps - 1, HEAD_COLUMNS); the first NEWEST of a free row: the next one
    nodes: Ints  # (…, NODE_COLUMNS)
    totals: Ints
    taken: Ints  # (…, 4): the events kept since somebody took note of it, as far as there is room
    at: Ints  # (steps - 1,), scratch


@kernel
def take(
    begin: int, events: Ints, steps: int, within_ms: int, most: int, links: Links, found: Ints
) -> int:
    """Process events from number `begin`, of which match rows go to `found`.

    At most `most` matches of one event are found, those with the newest events first.  Returns the
    rows found and the first event not processed, as `rows * 2**32 + event`.
    """
    rows = 0
    for event in range(begin, events.shape[0]):
        mask = events[event, EVENT_MASK]
        if mask == 0:
            continue
        slot = key_slot(links.keys, events[event, EVENT_KEY])
        known = links.keys[slot, SLOT_HEAD] != NONE
        if not known and not mask & 1:
            continue
        if (
            found.shape[0] - rows < most
            or links.nodes.shape[0] - links.totals[NODES_USED] < steps
            or links.totals[KEYS_USED] == links.heads.shape[0]
            or 2 * (links.totals[KEYS_USED] + 1) > links.keys.shape[0]
        ):
            return rows * 2**32 + event
        since_ms = events[event, EVENT_TS] - within_ms
        if known and (mask >> (steps - 1)) & 1:
            row = links.keys[slot, SLOT_HEAD]
            rows = _complete(event, events, row, steps, since_ms, most, links, found, rows)
        if not known:
            _begin_key(slot, events[event, EVENT_KEY], links)
        row = links.keys[slot, SLOT_HEAD]
        for step in range(steps - 2, -1, -1):  # so that no event comes below itself
            if (mask >> step) & 1:
                ts, position = events[event, EVENT_TS], events[event, EVENT_POSITION]
                append(row, events[event, EVENT_KEY], step, ts, position, since_ms, links)
    return int(rows * 2**32 + events.shape[0])


@inlined
def append(
    row: int, key: int, step: int, ts: int, position: int, since_ms: int, links: Links
) -> None:
    """Add an event to the list of its step, unless nothing in the window can come before it."""
    nodes, totals = links.nodes, links.totals
    below = NONE
    start = ts
    if step > 0:
        below = links.heads[row, step - 1, NEWEST]
        if below == NONE or nodes[below, START] < since_ms:
            return
        start = nodes[below, START]
    else:
        totals[BEGUN] += 1
    node = totals[FREE_NODE]
    totals[FREE_NODE] = nodes[node, OLDER]
    totals[NODES_USED] += 1
    _note(key, step, ts, position, links)
    head = links.heads[row, step]
    older = head[NEWEST]
    for column in range(3):
        before = nodes[older, NUMBER + column] if older != NONE else head[NUMBER_BEFORE + column]
        more = 1
        if column > 0:
            more = nodes[below, NUMBER + column - 1] if below != NONE else 0
        nodes[node, NUMBER + column] = before + more
    nodes[node, POSITION] = position
    nodes[node, TS] = ts
    nodes[node, START] = start
    nodes[node, OLDER] = older
    nodes[node, NEWER] = NONE
    nodes[node, BELOW] = below
    if older != NONE:
        nodes[older, NEWER] = node
    if head[OLDEST] == NONE:
        head[OLDEST] = node
    head[NEWEST] = node


@inlined
def _note(key: int, step: int, ts: int, position: int, links: Links) -> None:
    place = links.totals[TAKEN]
    if place < links.taken.shape[0]:
        links.taken[place, EVENT_OF] = key
        links.taken[place, EVENT_STEP] = step
        links.taken[place, EVENT_MS] = ts
        links.taken[place, EVENT_AT] = position
        links.totals[TAKEN] = place + 1


@inlined
def _begin_key(slot: int, key: int, links: Links) -> None:
    row = links.totals[FREE_ROW]
    links.totals[FREE_ROW] = links.heads[row, 0, NEWEST]
    links.totals[KEYS_USED] += 1
    for step in range(links.heads.shape[1]):
        for column in range(HEAD_COLUMNS):
            links.heads[row, step, column] = NONE if column <= OLDEST else 0
    links.keys[slot, SLOT_KEY] = key
    links.keys[slot, SLOT_HEAD] = row


@inlined
def _complete(
    event: int,
    events: Ints,
    row: int,
    steps: int,
    since_ms: int,
    most: int,
    links: Links,
    found: Ints,
    rows: int,
) -> int:
    """Write the matches that the event completes; returns the number of rows."""
    nodes, at = links.nodes, links.at
    first = rows
    last = steps - 2
    step = last
    node = links.heads[row, last, NEWEST]
    while True:
        if node == NONE or nodes[node, START] < since_ms:
            step += 1
            if step > last:
                break
            node = nodes[at[step], OLDER]
            continue
        at[step] = node
        if step > 0:
            step -= 1
            node = nodes[node, BELOW]
            continue
        if rows - first == most:
            links.totals[LEFT_OUT] += _count(row, steps - 1, since_ms, links) - most
            break
        found[rows, FOUND_TS] = events[event, EVENT_TS]
        found[rows, FOUND_KEY] = events[event, EVENT_KEY]
        for place in range(steps - 1):
            found[rows, FOUND_POSITIONS + place] = nodes[at[place], POSITION]
        found[rows, FOUND_POSITIONS + steps - 1] = events[event, EVENT_POSITION]
        rows += 1
        node = nodes[node, OLDER]
    links.totals[MATCHED] += rows - first
    return rows


@inlined
def _count(row: int, lists: int, since_ms: int, links: Links) -> int:
    """How many matches an event completes now, in constant time (and that of leaving the window).

        ways(y, j) = number of beginnings of a match that end at y, or before it in list j
                   = sum of ways(below(x), j - 1) over the events x up to y in the window

    As the window has lost a prefix of each list, that comes to differences of running sums.
    """
    size = 1.0
    for step in range(lists):
        _leave(row, step, since_ms, links)
        head = links.heads[row, step]
        if head[NEWEST] == NONE:
            return 0
        size *= links.nodes[head[NEWEST], NUMBER] - head[NUMBER_BEFORE]
    if size >= COUNT_MAX:  # there may be as many
        return COUNT_MAX
    heads = links.heads[row]
    last = lists - 1
    newest = heads[last, NEWEST]
    number = links.nodes[newest, NUMBER] - heads[last, NUMBER_BEFORE]
    if lists == 1:
        return int(number)
    gone = heads[0, NUMBER_BEFORE]
    total = links.nodes[newest, SUM] - heads[last, SUM_BEFORE]
    if lists == 2:
        return int(total - gone * number)
    gone_2 = heads[1, SUM_BEFORE] - gone * heads[1, NUMBER_BEFORE]
    total_2 = links.nodes[newest, SUM_2] - heads[last, SUM_2_BEFORE]
    return int(total_2 - gone * total - gone_2 * number)


@inlined
def _leave(row: int, step: int, since_ms: int, links: Links) -> None:
    """Let the oldest event of a list be the first that lies in the window."""
    nodes = links.nodes
    head = links.heads[row, step]
    while head[OLDEST] != NONE and nodes[head[OLDEST], START] < since_ms:
        for column in range(3):
            head[NUMBER_BEFORE + column] = nodes[head[OLDEST], NUMBER + column]
        head[OLDEST] = nodes[head[OLDEST], NEWER]


@kernel
def sweep(steps: int, since_ms: int, links: Links) -> None:
    """Let go of events that no match can begin with any more, and of keys without events."""
    slot = 0
    while slot < links.keys.shape[0]:
        row = links.keys[slot, SLOT_HEAD]
        if row == NONE:
            slot += 1
            continue
        empty = True
        for step in range(steps - 1):
            _cut(row, step, since_ms, links)
            empty = empty and links.heads[row, step, NEWEST] == NONE
        if empty:
            remove_slot(links.keys, slot)  # the slot may hold another key now
            links.heads[row, 0, NEWEST] = links.totals[FREE_ROW]
            links.totals[FREE_ROW] = row
            links.totals[KEYS_USED] -= 1
        else:
            slot += 1


@inlined
def _cut(row: int, step: int, since_ms: int, links: Links) -> None:
    nodes, totals = links.nodes, links.totals
    _leave(row, step, since_ms, links)
    head = links.heads[row, step]
    if head[OLDEST] == NONE:
        node = head[NEWEST]
        head[NEWEST] = NONE
    else:
        node = nodes[head[OLDEST], OLDER]
        nodes[head[OLDEST], OLDER] = NONE
    while node != NONE:
        older = nodes[node, OLDER]
        nodes[node, START] = FREE
        nodes[node, OLDER] = totals[FREE_NODE]
        totals[FREE_NODE] = node
        totals[NODES_USED] -= 1
        totals[DROPPED] += step == 0
        node = older


@kernel
def add(
    keys: Ints, steps_of: Ints, ts: Ints, positions: Ints, within_ms: int, links: Links
) -> None:
    """Add events taken before, in order of (event time, position) and from the last step down."""
    for place in range(keys.shape[0]):
        slot = key_slot(links.keys, keys[place])
        if links.keys[slot, SLOT_HEAD] == NONE:
            _begin_key(slot, keys[place], links)
        row = links.keys[slot, SLOT_HEAD]
        since_ms = ts[place] - within_ms
        append(row, keys[place], steps_of[place], ts[place], positions[place], since_ms, links)


@kernel
def listed(steps: int, links: Links, out: Ints) -> int:
    """Write (key, step, event time, position) of all events held into `out`; returns how many."""
    size = 0
    for slot in range(links.keys.shape[0]):
        row = links.keys[slot, SLOT_HEAD]
        if row == NONE:
            continue
        for step in range(steps - 1):
            node = links.heads[row, step, NEWEST]
            while node != NONE:
                out[size, EVENT_OF] = links.keys[slot, SLOT_KEY]
                out[size, EVENT_STEP] = step
                out[size, EVENT_MS] = links.nodes[node, TS]
                out[size, EVENT_AT] = links.nodes[node, POSITION]
                size += 1
                node = links.nodes[node, OLDER]
    return size
