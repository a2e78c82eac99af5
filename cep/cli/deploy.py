"""`cep deploy`: rule files take the place of those of their names, in what runs on a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import begun, deployed_store, deployed_topic, rule_paths
from cep.cli.deployed import deploying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cep.deployment.deployer import Deployed
    from dsl.model import Rule, RuleSet


@click.command()
@rule_paths
@deployed_store
@deployed_topic
@click.option("--live", "mode", flag_value="live", help="Their rules are to be live.")
@click.option("--shadow", "mode", flag_value="shadow", help="They detect and tell nobody.")
@begun
def deploy(
    rules: tuple[Path, ...], store: str, topic: str | None, mode: str | None, begun: str
) -> None:
    """Deploy rule files to what runs on a store, without a restart.

    Without --live or --shadow, rules stay as they are; new ones are live.
    """
    from cep.deployment.base import Mode
    from cep.deployment.switch import Policy
    from cep.load import load, texts

    with deploying(store, topic) as deployer:
        given = texts(load(rules))
        done = deployer.deploy(given, None if mode is None else Mode(mode), Policy(begun))
        report(done)


def report(done: Deployed) -> None:
    """What a deployment changes, rule by rule."""
    if not done.changed:
        print(f"nothing has changed since deployment {done.number}")
        return
    print(f"deployment {done.number}")
    for line in _changes(done):
        print(f"  {line}")


def _changes(done: Deployed) -> Iterator[str]:
    before = _by_name(done.rules_before)
    for rule in done.rules.rules:
        was, mode = before.pop(rule.name, None), done.base.mode(rule.name)
        if was is None:
            yield f"{rule.name}: new, {mode}"
        elif was.pattern_version != rule.pattern_version:
            yield f"{rule.name}: another pattern, {mode}"
        elif was.version != rule.version:
            yield f"{rule.name}: changed, with the same pattern, {mode}"
        elif done.before.mode(rule.name) != mode:
            yield f"{rule.name}: {mode}"
    for name in before:
        yield f"{name}: gone"


def _by_name(rules: RuleSet | None) -> dict[str, Rule]:
    return {} if rules is None else {rule.name: rule for rule in rules.rules}
