"""A window rule whose detections can be resolved: by events, or when a condition holds.

Everything that happens to a key, be it in its windows or an event that resolves, is put in one line
before `matcher.window_over` says what fires and what is over: neither depends on the batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.results import Found, Resolved
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.strings import Strings
from matcher.window_layout import (
    CLOSE,
    OPTION_KIND,
    OPTION_LEAVING,
    OPTION_LOOK,
    ROW_KEY,
    SESSION,
)
from matcher.window_over import (
    FACT_AT,
    FACT_KEY,
    FACT_NAMED,
    FACT_OPEN,
    FACT_PHASE,
    FACT_ROW,
    facts_of_rows,
    facts_of_signals,
    in_order,
    judge,
)
from matcher.window_plan import WindowPlan
from matcher.windows import AFTER_EVENTS, BEFORE_EVENTS, WindowLane

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class ResolvedWindowLane(WindowLane):
    """See the module head; `done` are the keys with a detection that is open."""

    def __init__(self, plan: WindowPlan, number: int, schema: Schema, strings: Strings) -> None:
        super().__init__(plan, number, schema, strings)
        self._signals = Selection(plan.signals, schema, self.keys)
        session = plan.options[OPTION_KIND] == SESSION
        self._phase_of_time = AFTER_EVENTS if session else BEFORE_EVENTS

    @property
    def null_keys(self) -> int:
        return super().null_keys + self._signals.null_keys

    def _moved(
        self, events: Ints | None, keyed: BatchKeys, atoms: BatchAtoms | None, watermark_ms: int
    ) -> list[Found]:
        rows, is_true = self._looks(events, watermark_ms)
        over = np.zeros(len(rows), np.bool_)
        if self.plan.over is not None and len(rows):
            over = self.plan.over.is_true(rows, self.keys, self.state.store.memory)
        facts = [facts_of_rows(rows, is_true, over, self._phase_of_time)]
        signals = None if atoms is None else self._signals.events(keyed, atoms)
        if signals is not None:
            facts.append(facts_of_signals(signals))
        return self._fired(rows[self._judged(in_order(np.concatenate(facts)))])

    def _looks(self, events: Ints | None, watermark_ms: int) -> tuple[Ints, Bools]:
        """The rows of windows that events change or time does, and where `when` holds."""
        state, when, options = self.state, self.plan.when, self.plan.options
        events = np.empty((0, 0), np.int64) if events is None else events
        taken = state.take(events, watermark_ms).copy()
        is_true = when.is_true(taken, self.keys, state.store.memory)
        if options[OPTION_LOOK] == CLOSE:
            passed = state.close(watermark_ms)
        elif options[OPTION_LEAVING]:
            maybe_open = self.done.union(taken[is_true, ROW_KEY].tolist())
            passed = state.leave(np.array(list(maybe_open), np.int64), watermark_ms)
        else:
            return taken, is_true
        also_true = when.is_true(passed, self.keys, state.store.memory)
        return np.concatenate([taken, passed]), np.concatenate([is_true, also_true])

    def _judged(self, facts: Ints) -> Ints:
        """The rows that fire, in their order; `resolved` and `done` are brought up to date."""
        self.resolved = []
        if not len(facts):
            return facts[:, FACT_ROW]
        open_before = np.array(list(self.done), np.int64)
        facts[:, FACT_OPEN] = np.isin(facts[:, FACT_KEY], open_before)
        fires, over = np.zeros(len(facts), np.bool_), np.zeros(len(facts), np.bool_)
        memory, look = self.state.store.memory, int(self.plan.options[OPTION_LOOK])
        judge(facts, look, self._once, memory, fires, over)
        for fact in facts[over].tolist():
            at_ms, phase, named = fact[FACT_AT], fact[FACT_PHASE], fact[FACT_NAMED]
            self.resolved.append(Resolved(at_ms, phase, named, self._number, fact[FACT_KEY]))
        last = np.append(facts[1:, FACT_KEY] != facts[:-1, FACT_KEY], True)
        ends = facts[last]
        keys, is_open = ends[:, FACT_KEY], ends[:, FACT_OPEN] != 0
        self.done.difference_update(keys.tolist())
        self.done.update(keys[is_open].tolist())
        self.state.store.touch(keys[is_open != np.isin(keys, open_before)])
        rows: Ints = np.sort(facts[fires, FACT_ROW])
        return rows
