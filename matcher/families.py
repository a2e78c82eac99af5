"""Two-step rules that look back on the same starts for the same key: moved together.

Their second steps are screened at once (`matcher.pair_screen`); only a rule that may match is
moved by itself, over the events with which it may.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from matcher.fitting import BatchFitting, Condition, Fitting
from matcher.pair_scan import PLACES, Seconds
from matcher.pair_screen import (
    CANDIDATE_ROW,
    CANDIDATE_RULE,
    VALUE,
    Own,
    Rules,
    new_extremes,
    screen,
)
from matcher.pairs import PairLane
from matcher.results import Found
from matcher.start_groups import Group
from matcher.starts import SEGMENTS_MAX

Ints = NDArray[np.int64]

CANDIDATES = 1_024
"""Room for candidates, at least; a call of the kernel finds no more."""


class Family:
    """The lanes of one group whose second steps read the key from the same columns."""

    def __init__(self, lanes: list[PairLane]) -> None:
        self.lanes = lanes
        self._conditions: dict[Condition, int] = {}
        for lane in lanes:
            self._conditions.setdefault(lane.pair.second, len(self._conditions))
        shared = set.intersection(*(set(lane.pair.tests) for lane in lanes))
        self._shared = [test for test in lanes[0].pair.tests if test in shared]
        self._own = [[t for t in lane.pair.tests if t not in shared] for lane in lanes]
        self._columns = tuple(dict.fromkeys(test.own for tests in self._own for test in tests))
        self._rules = self._described()
        self._extremes = new_extremes(len(self._group.values))
        self._place = np.zeros((SEGMENTS_MAX, PLACES), np.int64)
        self._out = np.zeros((CANDIDATES + len(lanes), 2), np.int64)

    def advance(self, rows: BatchFitting) -> Iterable[Found]:
        """Matches of the batch whose starts the group has just taken in."""
        pair, codec = self.lanes[0].pair, self._group.codec
        fits = [rows.mask(condition) for condition in self._conditions]
        seconds = rows.fitting(reduce(np.logical_or, fits), pair.second_key, codec)
        taken = self._group.taken
        assert taken is not None, "a group takes a batch in before its rules see it"
        if len(taken.null_rows) or len(seconds.null_rows):
            for lane in self.lanes:
                lane.count_null_keys(rows)
        if not len(seconds.rows) or not self._group.starts.entries:
            return
        if len(self.lanes) == 1:
            yield from self.lanes[0].advance(seconds)
            return
        for number, places in self._screened(seconds, fits):
            yield from self.lanes[number].advance(seconds, places)

    @property
    def _group(self) -> Group:
        return self.lanes[0].group

    def _screened(
        self, fitting: Fitting, fits: list[NDArray[np.bool_]]
    ) -> Iterable[tuple[int, Ints]]:
        """(lane, places in `fitting`) of the lanes that may match."""
        group = self._group
        shared = fitting.values(tuple(test.own for test in self._shared))
        values = fitting.values(self._columns)
        tests, factors = group.tests(self._shared)
        seconds = Seconds(
            fitting.keys,
            fitting.ts,
            fitting.positions,
            shared,
            shared.view(np.float64),
            tests,
            factors,
        )
        own = Own(np.array([mask[fitting.rows] for mask in fits]), values, values.view(np.float64))
        begin, found = 0, [self._out[:0]]
        while begin < len(fitting.rows):
            begin, count = screen(
                begin,
                seconds,
                own,
                self._rules,
                group.window_ms,
                group.starts.buffer,
                self._place,
                self._extremes,
                self._out,
            )
            found.append(self._out[:count].copy())
        candidates = np.concatenate(found)
        return _by_rule(candidates)

    def _described(self) -> Rules:
        values = self._group.values
        tests = [test for rule in self._own for test in rule]
        rows = [
            (test.compare, self._columns.index(test.own), values.index(test.value))
            for test in tests
        ]
        table = np.array(rows, np.int64).reshape(-1, 3)
        return Rules(
            np.array([self._conditions[lane.pair.second] for lane in self.lanes], np.int64),
            np.cumsum([0, *map(len, self._own)]),
            table,
            np.array([test.factor for test in tests], np.float64),
            np.unique(table[:, VALUE]),
        )


def families(lanes: Iterable[PairLane]) -> list[Family]:
    """The lanes, each in the family that it belongs to; call it when all groups are complete."""
    alike: dict[tuple[int, tuple[int, ...]], list[PairLane]] = {}
    for lane in lanes:
        alike.setdefault((id(lane.group), lane.pair.second_key), []).append(lane)
    return [Family(members) for members in alike.values()]


def _by_rule(candidates: Ints) -> Iterable[tuple[int, Ints]]:
    order = np.argsort(candidates[:, CANDIDATE_RULE], kind="stable")
    rules, first = np.unique(candidates[order, CANDIDATE_RULE], return_index=True)
    places = np.split(candidates[order, CANDIDATE_ROW], first[1:])
    return zip(rules.tolist(), places, strict=False)
