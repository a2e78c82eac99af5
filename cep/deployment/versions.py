"""The versions of a rule: every text that it has had, and what differs between two of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from cep.deployment.rollout import Deployment
from cep.errors import RulesError
from cep.store.deployments import SqlDeployments
from dsl.model import Rule


@dataclass(frozen=True, slots=True)
class Version:
    """`id` is a hash of the rule's text; `deployment` is the number of the first that had it."""

    id: str
    deployment: int
    recorded_ms: int
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`lines` is a unified diff of the texts.

    `same_pattern`: partial matches of one go on in the other; None when one of them does not
    compile any more.
    """

    lines: str
    same_pattern: bool | None


def version_id(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def versions(rule: str, deployments: Sequence[Deployment]) -> list[Version]:
    """The newest first, of `deployments`, which are so, too; a text that came back, once again."""
    found: list[Version] = []
    for one in deployments:
        text = one.base.declared(rule)
        if text is None:
            continue
        version = Version(version_id(text), one.number, one.recorded_ms, one.what, text)
        if found and found[-1].id == version.id:
            found.pop()  # it was there earlier
        found.append(version)
    return found


def difference(
    rule: str, before: Version, after: Version, deployments: SqlDeployments
) -> Difference:
    names = f"{rule} {before.id}", f"{rule} {after.id}"
    texts = before.text.splitlines(keepends=True), after.text.splitlines(keepends=True)
    lines = [
        line if line.endswith("\n") else line + "\n"
        for line in difflib.unified_diff(*texts, *names)
    ]
    one, other = (_rule(rule, version, deployments) for version in (before, after))
    same = one.pattern_version == other.pattern_version if one and other else None
    return Difference("".join(lines), same)


def _rule(name: str, version: Version, deployments: SqlDeployments) -> Rule | None:
    try:
        rules = deployments.rules(version.deployment).rules
    except RulesError:
        return None
    return next((rule for rule in rules if rule.name == name), None)
