"""Which second steps may match, for all rules that look back on the same starts at once.

    candidates ⊇ the (rule, row) that `pair_scan.find` would match, and few others

The starts in the window are walked once for a row, whatever the number of rules.  Of those that
pass the tests all rules share, the least and the greatest values are kept; a rule whose own tests
hold for none between these cannot match.  What a rule has used up is not looked at here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.compiled import inlined, kernel
from matcher.pair_scan import (
    ABOVE,
    BELOW,
    EQUAL,
    FIRST_FLOAT,
    NOT_ABOVE,
    NOT_BELOW,
    Floats,
    Ints,
    Seconds,
    first_fit,
    narrow,
    rewind,
    seek,
)
from matcher.starts import START_VALUES, Buffer

# Columns of `Rules.tests`, and of the candidates found.
COMPARE, OWN, VALUE = range(3)
CANDIDATE_RULE, CANDIDATE_ROW = range(2)


class Rules(NamedTuple):
    """What distinguishes the rules: rule r has the tests test_begin[r]:test_begin[r + 1].

    OWN is a row of `own`, what the events bring to these tests; VALUE a value kept with starts.
    """

    condition: Ints  # the row of `fits` for the condition of the rule's second step
    test_begin: Ints
    tests: Ints
    factors: Floats  # of each test; positive, so that the least and the greatest stay so
    tested: Ints  # the distinct values that tests ask for


class Own(NamedTuple):
    """By second step: whether it fits each condition, and its values for the rules' own tests."""

    fits: NDArray[np.bool_]
    values: Ints
    floats: Floats  # the same memory as `values`


class Extremes(NamedTuple):
    """The least and the greatest of each value of starts, as int and as float."""

    least: Ints
    most: Ints
    least_float: Floats
    most_float: Floats


def new_extremes(values: int) -> Extremes:
    ints = np.zeros((2, values), np.int64)
    floats = np.zeros((2, values))
    return Extremes(ints[0], ints[1], floats[0], floats[1])


@kernel
def screen(
    begin: int,
    seconds: Seconds,
    own: Own,
    rules: Rules,
    window_ms: int,
    buffer: Buffer,
    place: Ints,
    extremes: Extremes,
    out: Ints,
) -> tuple[int, int]:
    """(first row not processed, number of candidates in `out`), from row `begin` on.

    `seconds.tests` are those that all rules share.  `place` is working memory, as for `find`.
    """
    found = 0
    count = rules.condition.shape[0]
    reachable = False
    rewind(buffer, place)
    for row in range(begin, seconds.keys.shape[0]):
        if out.shape[0] - found < count:
            return row, found
        key = seconds.keys[row]
        if row == begin or key != seconds.keys[row - 1]:
            reachable = seek(key, buffer, place)
        if not reachable or not _look_back(row, seconds, window_ms, rules, buffer, place, extremes):
            continue
        for rule in range(count):
            if own.fits[rules.condition[rule], row] and _may_hold(rule, row, rules, own, extremes):
                out[found, CANDIDATE_RULE] = rule
                out[found, CANDIDATE_ROW] = row
                found += 1
    return int(seconds.keys.shape[0]), found


@inlined
def _look_back(
    row: int,
    seconds: Seconds,
    window_ms: int,
    rules: Rules,
    buffer: Buffer,
    place: Ints,
    extremes: Extremes,
) -> bool:
    """Whether a start in the window passes the shared tests; sets the extremes of those that do."""
    for value in rules.tested:
        extremes.least[value] = 2**63 - 1
        extremes.most[value] = NULL
        extremes.least_float[value] = np.inf
        extremes.most_float[value] = -np.inf
    some = False
    for segment in range(buffer.segments[0]):
        start, high = narrow(
            segment, seconds.ts[row], seconds.positions[row], window_ms, buffer, place
        )
        while start < high:
            start = first_fit(row, start, high, seconds, buffer)
            if start < 0:
                break
            some = True
            if rules.tested.shape[0] == 0:
                break  # the rules ask for nothing else
            _take_in(start, rules, buffer, extremes)
            start += 1
    return some


@inlined
def _take_in(start: int, rules: Rules, buffer: Buffer, extremes: Extremes) -> None:
    for value in rules.tested:
        whole = buffer.rows[START_VALUES + value, start]
        if whole != NULL:
            extremes.least[value] = min(extremes.least[value], whole)
            extremes.most[value] = max(extremes.most[value], whole)
        number = buffer.floats[START_VALUES + value, start]
        if number < extremes.least_float[value]:
            extremes.least_float[value] = number
        if number > extremes.most_float[value]:
            extremes.most_float[value] = number


@inlined
def _may_hold(rule: int, row: int, rules: Rules, own: Own, extremes: Extremes) -> bool:
    """Whether each of the rule's own tests holds for some value between the extremes."""
    for test in range(rules.test_begin[rule], rules.test_begin[rule + 1]):
        compare, column = rules.tests[test, COMPARE], rules.tests[test, OWN]
        value = rules.tests[test, VALUE]
        if compare >= FIRST_FLOAT:
            holds = _between(
                compare - FIRST_FLOAT,
                own.floats[column, row],
                rules.factors[test] * extremes.least_float[value],
                rules.factors[test] * extremes.most_float[value],
            )
        else:
            holds = own.values[column, row] != NULL and _between(
                compare, own.values[column, row], extremes.least[value], extremes.most[value]
            )
        if not holds:
            return False
    return True


@inlined
def _between(compare: int, own: float, least: float, most: float) -> bool:
    """Whether the comparison may hold for something from `least` to `most`."""
    if compare == ABOVE:
        return own > least
    if compare == NOT_BELOW:
        return own >= least
    if compare == BELOW:
        return own < most
    if compare == NOT_ABOVE:
        return own <= most
    if compare == EQUAL:
        return least <= own <= most
    return least < own or own < most
