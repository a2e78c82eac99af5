"""The partial matches that a rule has now, for people: who waits, since when, and for what.

    standing(lane, watermark_ms) = a table with a row for each partial match

Reads the state of a lane that was restored to be looked at.  Sequences have a row for each run or
start; of a rule that shares its partial matches (`matcher.compact`) there is a row for each event
that some end with; silences have one for each clock, windows one for each key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsl.model import Rule, leading_silence
from matcher import places
from matcher.automaton import automaton
from matcher.compact import CompactLane
from matcher.compact_scan import EVENT_AT, EVENT_MS, EVENT_OF, EVENT_STEP
from matcher.keys import KeyCodec
from matcher.lane import Lane
from matcher.layout import is_text
from matcher.pairs import PairLane
from matcher.runs import (
    CLOCK_KEY,
    CLOCK_POSITION,
    CLOCK_STATE,
    CLOCK_TS,
    NODE_POSITION,
    NODE_PREVIOUS,
    NODE_STEP,
    NONE,
    RINGING,
    RUN_BLOCKED,
    RUN_KEY,
    RUN_LAST_TS,
    RUN_NODE,
    RUN_START_POSITION,
    RUN_START_TS,
    RUN_STATE,
    SLOT_HEAD,
    SLOT_KEY,
    Memory,
)
from matcher.shown import shown
from matcher.starts import START_POSITION, START_TS
from matcher.states import State
from matcher.strings import Strings
from matcher.window_layout import ENTRY_POSITION, ENTRY_TS, SLOT_COUNT
from matcher.windows import WindowLane

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_STEP = -1


@dataclass(frozen=True, slots=True)
class Waits:
    """What a partial match awaits: steps by number, and times in ms.

    It ends at `ends_ms` unless something comes, or, with `fires`, becomes a match then; None: there
    is no such moment.
    """

    steps: tuple[int, ...] = ()
    ends_ms: int | None = None
    fires: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A row each: key, event time and place of the first event, the step bound last (or NO_STEP).

    `kind` is `sequence`, `shared`, `silence` or `window`; `rows` number those of the lane's table.
    """

    kind: str
    lane: Lane | PairLane | CompactLane | WindowLane
    keys: Ints
    started_ms: Ints
    places: Ints
    steps: Ints
    rows: Ints

    def where(self, some: Bools | Ints) -> Standing:
        columns = (self.keys, self.started_ms, self.places, self.steps, self.rows)
        return Standing(self.kind, self.lane, *(column[some] for column in columns))

    def funnel(self) -> dict[int, int]:
        """How many have come to which step."""
        steps, counts = np.unique(self.steps, return_counts=True)
        return dict(zip(steps.tolist(), counts.tolist(), strict=True))

    def key(self, row: int) -> tuple[object, ...]:
        return self.lane.keys.scalars(int(self.keys[row]))

    def with_key(self, texts: Sequence[str], strings: Strings) -> Standing:
        """Those whose key is written so, part by part."""
        return self.where(
            _written_so(self.lane.plan.rule, self.lane.keys, self.keys, texts, strings)
        )

    def bound(self, row: int, most: int) -> tuple[int, list[tuple[int, int | None]]]:
        """How many events are bound, and (step, record) of the last `most` of them, in order.

        The record is None for an event that a rule has emitted.
        """
        match self.lane:
            case Lane() if self.kind == "sequence":
                return _chain(self.lane.memory, int(self.rows[row]), most)
            case WindowLane():
                keys = self.lane.state.store.memory.keys
                return int(keys[self.rows[row], SLOT_COUNT]), []
            case Lane():
                return 0, []
            case _:
                return 1, [(int(self.steps[row]), _record(int(self.places[row])))]

    def waits(self, row: int) -> Waits:
        started_ms = int(self.started_ms[row])
        match self.lane:
            case PairLane():
                return Waits(self.lane.pair.steps[1:], started_ms + self.lane.pair.window_ms)
            case CompactLane():
                step = int(self.steps[row])
                within_ms = self.lane.span_ms if step == 0 else None
                return Waits((step + 1,), None if within_ms is None else started_ms + within_ms)
            case Lane() if self.kind == "silence":
                silence, _ = leading_silence(self.lane.plan.rule.pattern)
                assert silence is not None
                return Waits((), started_ms + silence.for_ms, fires=True)
            case Lane():
                return _waits(self.lane, int(self.rows[row]))
            case _:
                return Waits()


def standing(lane: Lane | PairLane | CompactLane | WindowLane, watermark_ms: int) -> Standing:
    """See the module head; lets go of what time has passed by the watermark."""
    match lane:
        case PairLane():
            lane.group.sweep(watermark_ms)
            keys, rows = lane.live()
            started_ms, positions = rows[START_TS], rows[START_POSITION]
            steps = np.full(len(keys), lane.pair.steps[0])
            return Standing(
                "sequence", lane, keys, started_ms, positions, steps, np.arange(len(keys))
            )
        case CompactLane():
            events = lane.events()
            events = events[events[:, EVENT_MS] >= watermark_ms - lane.span_ms]
            columns = (EVENT_OF, EVENT_MS, EVENT_AT, EVENT_STEP)
            keys, started_ms, positions, steps = (events[:, column] for column in columns)
            return Standing(
                "shared", lane, keys, started_ms, positions, steps, np.arange(len(keys))
            )
        case WindowLane():
            return _windows(lane)
        case Lane():
            lane.let_go(watermark_ms)
            silence, pattern = leading_silence(lane.plan.rule.pattern)
            return _clocks(lane) if pattern is None and silence is not None else _runs(lane)


def _runs(lane: Lane) -> Standing:
    memory = lane.memory
    rows = np.flatnonzero(memory.runs[:, RUN_STATE] != NONE)
    runs = memory.runs[rows]
    steps = memory.nodes[runs[:, RUN_NODE], NODE_STEP]
    keys, started_ms = runs[:, RUN_KEY], runs[:, RUN_START_TS]
    return Standing("sequence", lane, keys, started_ms, runs[:, RUN_START_POSITION], steps, rows)


def _clocks(lane: Lane) -> Standing:
    rows = np.flatnonzero(lane.memory.clocks[:, CLOCK_STATE] == RINGING)
    clocks, steps = lane.memory.clocks[rows], np.full(len(rows), NO_STEP)
    keys, since_ms = clocks[:, CLOCK_KEY], clocks[:, CLOCK_TS]
    return Standing("silence", lane, keys, since_ms, clocks[:, CLOCK_POSITION], steps, rows)


def _windows(lane: WindowLane) -> Standing:
    memory = lane.state.store.memory
    rows = np.flatnonzero(memory.keys[:, SLOT_HEAD] != NONE)
    oldest = memory.entries[memory.keys[rows, SLOT_HEAD]]
    columns = oldest[:, ENTRY_TS], oldest[:, ENTRY_POSITION]
    steps = np.full(len(rows), NO_STEP)
    return Standing("window", lane, memory.keys[rows, SLOT_KEY], *columns, steps, rows)


def _chain(memory: Memory, run: int, most: int) -> tuple[int, list[tuple[int, int | None]]]:
    count, last = 0, []
    node = int(memory.runs[run, RUN_NODE])
    while node != NONE:
        if count < most:
            last.append(
                (
                    int(memory.nodes[node, NODE_STEP]),
                    _record(int(memory.nodes[node, NODE_POSITION])),
                )
            )
        count += 1
        node = int(memory.nodes[node, NODE_PREVIOUS])
    return count, last[::-1]


def _record(place: int) -> int | None:
    """The number of the record at a place; None for what is none."""
    if not 0 <= place < places.BEYOND or place & (2**places.ORDINAL_BITS - 1):
        return None
    return place >> places.ORDINAL_BITS


def _waits(lane: Lane, run: int) -> Waits:
    """As the reference has it: the last moment at which the run can go on or complete."""
    rule = lane.plan.rule
    _, pattern = leading_silence(rule.pattern)
    states = automaton(pattern).states
    row = lane.memory.runs[run]
    number, blocked = int(row[RUN_STATE]), int(row[RUN_BLOCKED])
    if number >= len(states):  # complete, and kept until no earlier start can complete
        return Waits()
    state, last_ms = states[number], int(row[RUN_LAST_TS])
    limit_ms = None if rule.within_ms is None else int(row[RUN_START_TS]) + rule.within_ms
    open_ = [way for place, way in enumerate(state.transitions) if not blocked >> place & 1]
    steps = [states[way.target].step for way in open_]
    gaps = [None if way.arrow is None else way.arrow.max_gap_ms for way in open_]
    moments = [_sooner(limit_ms, None if gap is None else last_ms + gap) for gap in gaps]
    fires_ms = _fires_ms(state, blocked, last_ms, limit_ms)
    if fires_ms is not None:
        moments.append(fires_ms)
    known = [moment for moment in moments if moment is not None]
    ends_ms = max(known) if known and len(known) == len(moments) else None
    awaited = tuple(dict.fromkeys(step for step in steps if step is not None))
    return Waits(awaited, ends_ms, fires_ms is not None and fires_ms == ends_ms)


def _fires_ms(state: State, blocked: int, last_ms: int, limit_ms: int | None) -> int | None:
    """When the absence that the run waits for holds, if nothing comes."""
    end = state.end
    if end is None or not end.timed or blocked >> len(state.transitions) & 1:
        return None
    if end.absent_for_ms is None:
        return limit_ms
    due_ms = last_ms + end.absent_for_ms
    return due_ms if limit_ms is None or due_ms <= limit_ms else None


def _sooner(one: int | None, other: int | None) -> int | None:
    known = [moment for moment in (one, other) if moment is not None]
    return min(known, default=None)


def _written_so(
    rule: Rule, codec: KeyCodec, keys: Ints, texts: Sequence[str], strings: Strings
) -> Bools:
    fits = np.ones(len(keys), np.bool_)
    for part, column, text in zip(rule.keys, codec.columns(keys), texts, strict=True):
        if is_text(part.type):
            fits &= column == strings.code(text)
            continue
        values, which = np.unique(column, return_inverse=True)
        scalars = (
            bool(value) if part.type.kind.value == "bool" else value for value in values.tolist()
        )
        same = [shown(part.type, scalar) == text for scalar in scalars]
        fits &= np.array(same, np.bool_)[which]
    return fits
