"""The twelve examples of the language run: each rule fires where it should and not where it nearly
does."""

from __future__ import annotations

from pathlib import Path

import pytest

import cep
from cep.testing import place, run_tests
from dsl import model
from dsl.model import RuleSet

FOLDER = Path(__file__).parents[1] / "dsl"
NO_ROWS: dict[str, list[object]] = {"servers": [], "merchants": [], "tor_exits": []}


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return cep.compile([FOLDER / "examples.cep", FOLDER / "examples_tests.cep"])


def test_the_tests_of_the_examples_pass(rules: RuleSet) -> None:
    failed = [
        f"{place(result.test, failure)}: {failure.text}"
        for result in run_tests(rules)
        for failure in result.failures
    ]
    assert failed == []


def test_every_rule_of_the_examples_is_seen_to_fire(rules: RuleSet) -> None:
    fire = {
        test.rule
        for test in rules.tests
        for step in test.steps
        if isinstance(step, model.TestExpect) and step.count
    }
    assert {rule.name for rule in rules.rules} - fire == {"password_spray"}  # below: 70 events


def sprayed(rules: RuleSet, users: int, each_ms: int) -> list[tuple[int, str]]:
    """When and what `password_spray` tells of 70 failures of so many users in turn."""
    failed = {"type": "Login", "ip": "10.0.0.9", "sid": "s", "ok": False}
    events = [{**failed, "ts": n * each_ms, "user": f"u{n % users}"} for n in range(70)]
    found = cep.detect(rules, events, tables=NO_ROWS)
    return [(one.at_ms, one.message) for one in found if one.rule == "password_spray"]


def test_password_spray_is_told_once_while_it_lasts(rules: RuleSet) -> None:
    assert sprayed(rules, 20, 5_000) == [(49 * 5_000, "10.0.0.9: 50 failures on 20 accounts")]


@pytest.mark.parametrize(("users", "each_ms"), [(19, 5_000), (20, 15_000)])
def test_fewer_accounts_or_slower_failures_are_no_spray(
    rules: RuleSet, users: int, each_ms: int
) -> None:
    assert sprayed(rules, users, each_ms) == []
