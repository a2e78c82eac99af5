"""The shipped rule packs: complete, documented, tested by themselves, and loadable together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cep
from dsl import model
from dsl.model import InlineTest, Rule, RuleSet

RULES = Path(__file__).parents[2] / "rules"
PACKS = ("fraud", "monitoring")


@pytest.fixture(scope="module")
def everything() -> RuleSet:
    return cep.compile(RULES)


def fires(test: InlineTest) -> bool:
    return any(isinstance(step, model.TestExpect) and step.count > 0 for step in test.steps)


@pytest.mark.parametrize("pack", PACKS)
def test_pack_has_at_least_six_rules(pack: str) -> None:
    assert len(cep.compile(RULES / pack).rules) >= 6


def test_ssh_pack_needs_no_other_file() -> None:
    assert len(cep.compile(RULES / "monitoring" / "ssh.cep").rules) == 7


def test_inline_tests_of_all_packs_pass() -> None:
    command = [str(Path(sys.executable).with_name("cep")), "test", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_test_that_fires_and_one_that_does_not(everything: RuleSet) -> None:
    for rule in everything.rules:
        tests = [test for test in everything.tests if test.rule == rule.name]
        assert any(map(fires, tests)), f"{rule.name} has no test that fires"
        assert not all(map(fires, tests)), f"{rule.name} has no test that stays quiet"


def test_every_rule_says_what_it_is_for(everything: RuleSet) -> None:
    for rule in everything.rules:
        assert rule.title and rule.doc and rule.tags, rule.name
        assert rule.severity in ("low", "medium", "high", "critical"), rule.name


def test_every_message_names_the_key(everything: RuleSet) -> None:
    for rule in everything.rules:
        text = message_text(rule)
        assert any(f"{{{key.name}}}" in text for key in rule.keys), f"{rule.name}: {text}"


def message_text(rule: Rule) -> str:
    return "".join(
        part if isinstance(part, str) else f"{{{part.text}}}" for part in rule.message.parts
    )


def test_mitre_tags_are_technique_ids(everything: RuleSet) -> None:
    for rule in everything.rules:
        for tag in rule.tags:
            if tag.startswith("mitre:"):
                assert re.fullmatch(r"mitre:T\d{4}(\.\d{3})?", tag), tag
