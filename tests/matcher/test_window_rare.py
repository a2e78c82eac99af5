"""Keys whose windows surely stay below the least count: passing over them changes no row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_windows import window_rules
from test_fast_equals_reference import EVENTS

from dsl.model import Rule, WindowKind, WindowShape
from matcher.atoms import Atoms
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.schema import Schema
from matcher.strings import Strings
from matcher.window_layout import (
    CLOSE,
    DISTINCT_INT,
    EACH,
    EDGE,
    ENTRIES,
    HOPPING,
    KEYS_USED,
    MAX_INT,
    NEVER,
    OPTION_KIND,
    OPTION_LEAST,
    ROW_NEWEST,
    ROW_OLDEST,
    SLIDING,
    SUM_INT,
    TAKEN,
    TUMBLING,
)
from matcher.window_plan import compile_window, window_options
from matcher.window_state import WindowState

Ints = NDArray[np.int64]

SHAPES = {
    "hopping": (WindowShape(WindowKind.HOPPING, size_ms=8, every=3), CLOSE),
    "closed": (WindowShape(WindowKind.TUMBLING, size_ms=5, every=5), CLOSE),
    "tumbling": (WindowShape(WindowKind.TUMBLING, size_ms=5, every=5), EDGE),
    "sliding": (WindowShape(WindowKind.SLIDING, size_ms=6), EACH),
    "edge": (WindowShape(WindowKind.SLIDING, size_ms=6), EDGE),
}
OPS = [(SUM_INT, 0), (MAX_INT, 0), (DISTINCT_INT, 0)]
SPLIT = st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12), max_size=6)


def state(shape: str, least: int, walked: bool = False) -> WindowState:
    options = window_options(*SHAPES[shape])
    options[OPTION_LEAST] = least
    return WindowState(1, OPS, walked, options)


def batches(split: list[list[tuple[int, int]]]) -> list[tuple[Ints, int]]:
    """Events (key, time passed) as rows, key by key, with the watermark of each batch."""
    ts, position, found = 1_000, 0, []
    for batch in split:
        rows = np.zeros((len(batch), EVENT_VALUES + 1), np.int64)
        for row, (key, passed) in zip(rows, batch, strict=True):
            ts += passed
            row[[EVENT_TS, EVENT_POSITION, EVENT_KEY, EVENT_MASK]] = ts, position, key, 1
            row[EVENT_VALUES] = position * 7 % 5
            position += 1
        found.append((rows[np.argsort(rows[:, EVENT_KEY], kind="stable")], ts))
    return found


def looked_at(state: WindowState, events: Ints, known_ms: int, watermark_ms: int) -> Ints:
    """The rows of one batch, without the places of entries."""
    rows = [state.take(events, known_ms).copy(), state.close(watermark_ms).copy()]
    state.settle(watermark_ms)
    return np.delete(np.concatenate(rows), [ROW_OLDEST, ROW_NEWEST], axis=1)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=200, deadline=None)
@given(SPLIT, st.integers(2, 4), st.booleans())
def test_rows_are_those_of_taking_every_event_in(
    shape: str, split: list[list[tuple[int, int]]], least: int, walked: bool
) -> None:
    fast, slow = state(shape, least, walked), state(shape, least, walked)
    for events, watermark_ms in batches(split):
        found = looked_at(fast, events, watermark_ms, watermark_ms)
        assert found.tolist() == looked_at(slow, events, NEVER, watermark_ms).tolist()
        totals, every = fast.store.memory.totals, slow.store.memory.totals
        assert totals[TAKEN] == every[TAKEN]
        assert totals[ENTRIES] <= every[ENTRIES] and totals[KEYS_USED] <= every[KEYS_USED]


def test_only_what_later_windows_have_is_kept_of_a_rare_key() -> None:
    kept = state("hopping", 10)
    ((events, watermark_ms),) = batches([[(1, 4)] * 9])
    kept.take(events, watermark_ms)
    totals = kept.store.memory.totals
    assert (totals[TAKEN], totals[ENTRIES], totals[KEYS_USED]) == (9, 2, 1)
    kept.take(np.array([[watermark_ms + 20, 9, 1, 1, 0]]), watermark_ms + 40)
    assert (totals[TAKEN], totals[ENTRIES], totals[KEYS_USED]) == (10, 0, 0)


def test_random_rules_have_rare_keys() -> None:
    rare = 0

    @settings(max_examples=300, deadline=None, database=None)
    @given(window_rules())
    def count(rule: Rule) -> None:
        nonlocal rare
        schema, strings = Schema.of(EVENTS, [rule]), Strings()
        options = compile_window(rule, schema, Atoms(schema, strings), strings).options
        kinds = (SLIDING, TUMBLING, HOPPING)
        rare += bool(options[OPTION_LEAST] > 1 and options[OPTION_KIND] in kinds)

    count()
    assert rare >= 20
