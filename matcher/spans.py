"""For how long an event may be held as evidence after its own time, by what the rule says."""

from __future__ import annotations

import numpy as np

from matcher.tables import NO_LIMIT_MS, TIMED, WITHIN_MS, Tables


def span_ms(tables: Tables) -> int | None:
    """The longest that a run can go on, from its first event; None: there is no bound."""
    within_ms = int(tables.options[WITHIN_MS])
    if within_ms < NO_LIMIT_MS:
        return within_ms
    longest_ms = _longest_ms(tables)
    return None if longest_ms >= NO_LIMIT_MS else longest_ms


def _longest_ms(tables: Tables) -> int:
    """The sum of gaps on the longest way through the states; NO_LIMIT_MS where ways are loops."""
    states = len(tables.transition_begin) - 1
    longest = np.zeros(states, object)
    for _ in range(states + 1):
        before = longest.copy()
        for state in range(states):
            ways = range(tables.transition_begin[state], tables.transition_begin[state + 1])
            gaps = [int(tables.gap_to_ms[way]) if state else 0 for way in ways]
            ends = [gap + before[tables.target[way]] for gap, way in zip(gaps, ways, strict=True)]
            if tables.end_kind[state] == TIMED:
                for_ms = int(tables.end_for_ms[state])
                ends.append(for_ms if for_ms >= 0 else NO_LIMIT_MS)
            longest[state] = min(max(ends, default=0), NO_LIMIT_MS)
        if (longest == before).all():
            return int(longest[0])
    return NO_LIMIT_MS
