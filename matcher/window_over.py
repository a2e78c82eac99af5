"""What is open: detections of a window rule that nothing has resolved yet, key by key.

    fires, over, open' = judge(facts, open)

The facts of a key are looks at its windows and events that resolve, in the order in which they
happen.  `fire edge` and `fire once` fire only while nothing is open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.buffers import EVENT_KEY, EVENT_POSITION, EVENT_TS
from matcher.compiled import kernel
from matcher.runs import NONE, SLOT_HEAD, key_slot
from matcher.window_layout import (
    AFTER,
    BEFORE,
    CLOSED,
    EDGE,
    HOT,
    LEFT_BEHIND,
    ROW_AT,
    ROW_BY,
    ROW_COUNT,
    ROW_HOT,
    ROW_KEY,
    ROW_KIND,
    ROW_POSITION,
    SLOT_FLAGS,
    WARM,
)
from matcher.window_store import WindowMemory

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Columns of a fact.  `phase` is -1 before, 0 at and 1 after the events of its time; `by` orders
# events of one time; `named` is the position that a resolution tells; `true` is whether `when`
# holds, `over` whether what is open is over if it does not.
(
    FACT_KEY,
    FACT_AT,
    FACT_PHASE,
    FACT_BY,
    FACT_KIND,
    FACT_NAMED,
    FACT_HOT,
    FACT_TRUE,
    FACT_OVER,
    FACT_OPEN,
    FACT_ROW,
) = range(11)
FACTS = 11

# Kinds of facts besides those of rows: an event that resolves, which comes before anything else
# that the event does, and a window without events.
SIGNAL, EMPTIED = -1, LEFT_BEHIND + 1


def facts_of_rows(rows: Ints, is_true: Bools, over: Bools, phase: int) -> Ints:
    """Facts of the kernel's rows; `phase` is that of what time decides."""
    facts = np.zeros((len(rows), FACTS), np.int64)
    kinds = rows[:, ROW_KIND]
    at_event = (kinds == BEFORE) | (kinds == AFTER)
    facts[:, FACT_KEY], facts[:, FACT_AT] = rows[:, ROW_KEY], rows[:, ROW_AT]
    facts[:, FACT_PHASE] = np.where(at_event, 0, phase)
    facts[:, FACT_BY] = np.where(at_event, rows[:, ROW_BY], 0)
    facts[:, FACT_KIND], facts[:, FACT_NAMED] = kinds, rows[:, ROW_POSITION]
    facts[:, FACT_HOT] = rows[:, ROW_HOT]
    facts[:, FACT_TRUE], facts[:, FACT_OVER] = is_true, over & (kinds != BEFORE)
    empty = (kinds == LEFT_BEHIND) & (rows[:, ROW_COUNT] == 0)
    facts[empty, FACT_KIND], facts[empty, FACT_OVER] = EMPTIED, 1
    facts[:, FACT_ROW] = np.arange(len(rows))
    return facts


def facts_of_signals(events: Ints) -> Ints:
    """Facts of events that resolve, as laid out in `matcher.buffers`."""
    facts = np.zeros((len(events), FACTS), np.int64)
    facts[:, FACT_KEY], facts[:, FACT_AT] = events[:, EVENT_KEY], events[:, EVENT_TS]
    facts[:, FACT_BY] = facts[:, FACT_NAMED] = events[:, EVENT_POSITION]
    facts[:, FACT_KIND], facts[:, FACT_OVER], facts[:, FACT_ROW] = SIGNAL, 1, NONE
    return facts


def in_order(facts: Ints) -> Ints:
    """Key by key, as they happen."""
    columns = (FACT_KIND, FACT_BY, FACT_PHASE, FACT_AT, FACT_KEY)
    return facts[np.lexsort([facts[:, column] for column in columns])]


@kernel
def judge(
    facts: Ints, look: int, once: bool, memory: WindowMemory, fires: Bools, over: Bools
) -> None:
    """Which facts fire and which resolve; FACT_OPEN of a key's last fact is left as things are.

    FACT_OPEN of its first fact is whether something was open before.  As in `rises`, the key's flag
    is left as the last look found it.
    """
    keys = memory.keys
    hot, is_open, looked = False, False, False
    for place in range(facts.shape[0]):
        key, kind = facts[place, FACT_KEY], facts[place, FACT_KIND]
        if place == 0 or key != facts[place - 1, FACT_KEY]:
            is_open, looked = facts[place, FACT_OPEN] != 0, False
        is_true = facts[place, FACT_TRUE] != 0
        if kind != SIGNAL and not looked:
            hot, looked = facts[place, FACT_HOT] != 0, True
        if kind == BEFORE:
            hot = hot and is_true
        elif kind == EMPTIED:
            hot = False
        elif kind in (AFTER, CLOSED):
            rises = is_true and not (look == EDGE and hot)
            fires[place] = rises and not (is_open and (once or look == EDGE))
            hot = is_true
        if is_open and facts[place, FACT_OVER] and not is_true:
            over[place] = True
            is_open = False
        is_open = is_open or fires[place]
        if place + 1 == facts.shape[0] or key != facts[place + 1, FACT_KEY]:
            facts[place, FACT_OPEN] = is_open
            slot = key_slot(keys, key)
            if looked and look == EDGE and keys[slot, SLOT_HEAD] != NONE:
                keys[slot, SLOT_FLAGS] &= ~(HOT | WARM)
                if hot:
                    keys[slot, SLOT_FLAGS] |= HOT | WARM
