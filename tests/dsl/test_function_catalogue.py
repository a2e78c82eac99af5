"""The functions of the language: all documented, all checked where they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsl import RuleSet, compile_text
from dsl.functions import LATER_FUNCTIONS, RESERVED, described
from dsl.model import Rule
from dsl.operators import AGGREGATES

PAGE = (Path(__file__).parents[2] / "docs/functions.md").read_text(encoding="utf-8")
EVENT = """
event E { ts: timestamp @time  k: string  s: string  x: int?  d: decimal(2)
          geo: {lat: float, lon: float}? }
"""


def rule_with(condition: str, *definitions: str) -> Rule:
    return rules_with(condition, *definitions).rules[0]


def rules_with(condition: str, *definitions: str) -> RuleSet:
    rule = f'rule r {{ by k match a: E -> b: E[{condition}] within 1m alert "x" }}'
    return compile_text("\n".join([EVENT, *definitions, rule]))


@pytest.mark.parametrize("name", sorted(RESERVED - LATER_FUNCTIONS))
def test_every_function_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE or f"{name}(" in PAGE


def test_what_editors_show_is_every_function_that_is_no_aggregate() -> None:
    assert set(described()) | set(AGGREGATES) == RESERVED - LATER_FUNCTIONS | {"nth"}


def test_a_definition_means_what_it_says() -> None:
    written = rule_with("distance_km(a.geo, geo) > 300 and s == a.s")
    used = rule_with(
        "far(a.geo, geo, 300) and s == a.s", "def far(p, q, km) = distance_km(p, q) > km"
    )
    assert used.steps == written.steps
    assert used.version == written.version


def test_a_definition_takes_the_types_of_each_use() -> None:
    rule = rule_with("twice(x) > 2 and twice(d) > 2.5 and twice(s) == 'xx'", "def twice(v) = v + v")
    assert rule.version == rule_with("x + x > 2 and d + d > 2.5 and s + s == 'xx'").version


def test_a_changed_definition_is_a_new_version_of_its_rules() -> None:
    first = rule_with("f(x)", "def f(v) = v > 1")
    assert first.version != rule_with("f(x)", "def f(v) = v > 2").version
    assert first.version == rule_with("f(x)", "def f(other) = other > 1").version


def test_an_argument_named_like_a_parameter_is_not_taken_for_it() -> None:
    rule = rule_with("f(x, x + 1)", "def f(y, x) = x > y")
    assert rule.version == rule_with("x + 1 > x").version
