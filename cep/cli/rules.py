"""`cep rules`: the rules that are deployed in a store, and what can be done to them as they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import begun, deployed_store, deployed_topic
from cep.cli.deploy import report
from cep.cli.deployed import deploying
from cep.cli.output import print_table
from cep.errors import UsageError

if TYPE_CHECKING:
    from cep.deployment.deployer import Deployer

_LISTED = 10  # deployments

names = click.argument("rules", metavar="RULE…", nargs=-1, required=True)


@click.group()
def rules() -> None:
    """List, pause, resume and roll back rules that run."""


@rules.command(name="list")
@deployed_store
@deployed_topic
def list_(store: str, topic: str | None) -> None:
    """The rules there are, and from which record on each partition has run them."""
    with deploying(store, topic) as deployer:
        print_table(_rules(deployer))
        print()
        print_table(_deployments(deployer))


@rules.command()
@names
@deployed_store
@deployed_topic
@begun
def pause(rules: tuple[str, ...], store: str, topic: str | None, begun: str) -> None:
    """Let rules see no events until they are resumed; they begin anew then."""
    _set_mode(rules, store, topic, "paused", begun)


@rules.command()
@names
@deployed_store
@deployed_topic
def resume(rules: tuple[str, ...], store: str, topic: str | None) -> None:
    """Let rules be live, that were paused or in shadow."""
    _set_mode(rules, store, topic, "live", "drain")


@rules.command()
@names
@deployed_store
@deployed_topic
def shadow(rules: tuple[str, ...], store: str, topic: str | None) -> None:
    """Let rules detect and tell nobody."""
    _set_mode(rules, store, topic, "shadow", "drain")


@rules.command()
@click.argument("rule", required=False)
@click.option("--to", "number", type=int, help="All rules, as deployment NUMBER has them.")
@deployed_store
@deployed_topic
@begun
def rollback(
    rule: str | None, number: int | None, store: str, topic: str | None, begun: str
) -> None:
    """Give a rule the text it had before its last change, or all rules those of a deployment."""
    from cep.deployment.switch import Policy

    if (rule is None) == (number is None):
        raise UsageError("name a rule, or a deployment with --to")
    with deploying(store, topic) as deployer:
        if number is not None:
            report(deployer.return_to(number, Policy(begun)))
        elif rule is not None:
            report(deployer.roll_back(rule, Policy(begun)))


def _set_mode(rules: Sequence[str], store: str, topic: str | None, mode: str, policy: str) -> None:
    from cep.deployment.base import Mode
    from cep.deployment.switch import Policy

    with deploying(store, topic) as deployer:
        report(deployer.set_mode(rules, Mode(mode), Policy(policy)))


def _rules(deployer: Deployer) -> list[Sequence[str]]:
    latest = deployer.latest()
    rules = deployer.deployments.rules(latest.number).rules
    return [
        ("rule", "version", "mode", "text"),
        *(
            (rule.name, rule.version, str(latest.base.mode(rule.name)), rule.span.path)
            for rule in rules
        ),
    ]


def _deployments(deployer: Deployer) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("deployment", "what", "from record")]
    for one in deployer.deployments.listed(limit=_LISTED):
        placed = deployer.deployments.placed(one.number)
        places = [
            f"{name}: {row.position}" + (" (refused)" if row.refused else "")
            for name, row in placed.items()
        ]
        rows.append((str(one.number), one.what, ", ".join(places) or "nowhere yet"))
    return rows
