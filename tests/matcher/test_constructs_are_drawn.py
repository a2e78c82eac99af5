"""Random rules have every construct of the language, and those they have also match.

`python tests/matcher/test_constructs_are_drawn.py` prints how often each is drawn and matches.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import test_lookups_equal_reference as lookups
import test_strata_equal_reference as strata
import test_table_keys as table_keys
import test_windows_and_tables as windows_and_tables
import test_windows_equal_reference as windows
from constructs import CONSTRUCTS, constructs
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_lookups import looking_windows, rules_with_looking_facts
from random_rule_sets import rule_sets
from random_rules import rules, streams
from random_windows import resolved_windows, rules_with_derived, window_rules
from test_fast_equals_reference import expected
from test_windows_and_tables import shuffled

from dsl.model import Rule, RuleSet

EXAMPLES = 12
Drawn: TypeAlias = list[tuple[Rule, bool]]
"""Rules, each with whether the stream drawn with it has a match."""
Events: TypeAlias = list[dict[str, object]]


def of_pattern(rule: Rule, events: Events) -> Drawn:
    return [(rule, bool(expected(rule, events).matches))]


def of_window(rule: Rule, events: Events) -> Drawn:
    return [(rule, bool(windows.expected(rule, events)))]


def of_lookups(rule: Rule, events: Events, written: list[lookups.Written]) -> Drawn:
    return [(rule, bool(lookups.expected(rule, list(enumerate(events)), written)))]


def of_looking_window(
    rule: Rule, events: list[lookups.Event], written: list[lookups.Written]
) -> Drawn:
    return [(rule, bool(windows_and_tables.expected(rule, events, written)))]


def of_table_keys(case: table_keys.Case) -> Drawn:
    return [(case.rule, bool(table_keys.expected(case)[0]))]


def of_rule_set(found: RuleSet, events: Events) -> Drawn:
    matched = {outcome.rule for outcome in strata.expected(found, events)[0]}
    return [(rule, rule.name in matched) for rule in found.rules]


SOURCES: tuple[tuple[int, Callable[..., Drawn], tuple[st.SearchStrategy[Any], ...]], ...] = (
    (160, of_pattern, (rules(), streams())),
    (50, of_window, (window_rules(), streams())),
    (20, of_window, (rules_with_derived(), streams())),
    (12, of_lookups, (lookups.looking_rules(), streams(), lookups.changes())),
    (12, of_window, (resolved_windows(), streams())),
    (12, of_looking_window, (looking_windows(), shuffled(), lookups.changes())),
    (12, of_looking_window, (rules_with_looking_facts(), shuffled(), lookups.changes())),
    (12, of_table_keys, (table_keys.cases(),)),
    (12, of_rule_set, (rule_sets(), streams(types=strata.TYPES, least=6))),
)
"""How many seeds, and what is drawn: with one seed examples are alike."""


@cache
def counted() -> tuple[Counter[str], Counter[str]]:
    """How often each construct is drawn, and in how many rules that match; the same every time."""
    drawn, matched = Counter[str](), Counter[str]()
    for seeds, judge, strategies in SOURCES:
        for number in range(seeds):
            for rule, matches in examples(number, judge, strategies):
                names = constructs(rule)
                drawn.update(names)
                matched.update(names if matches else ())
    return drawn, matched


def examples(
    number: int, judge: Callable[..., Drawn], strategies: tuple[st.SearchStrategy[Any], ...]
) -> Drawn:
    """What is drawn with one seed, whatever the profile of Hypothesis."""
    found: Drawn = []

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*strategies))
    def draw(values: tuple[Any, ...]) -> None:
        found.extend(judge(*values))

    draw()
    return found


def test_every_construct_is_drawn() -> None:
    drawn, _ = counted()
    assert CONSTRUCTS - drawn.keys() == set()


def test_nothing_is_drawn_that_has_no_name() -> None:
    drawn, _ = counted()
    assert drawn.keys() - CONSTRUCTS == set()


def test_every_construct_is_in_rules_that_match() -> None:
    _, matched = counted()
    assert CONSTRUCTS - matched.keys() == set()


if __name__ == "__main__":
    all_drawn, all_matched = counted()
    for name in sorted(CONSTRUCTS, key=lambda name: all_drawn[name]):
        print(f"{all_drawn[name]:6} drawn {all_matched[name]:6} matched  {name}")
