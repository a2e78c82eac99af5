"""From a fold to one of other rules, with the state of the partial matches that stay.

    switched(fold, pages, to) = the fold restarted here with the rules of `to`

which is what a start with changed rule files is, too: pages of rules whose pattern is the same are
taken up, others are let go.  Under the policy `drain` old versions that can (`why_not_leaving`) go
on under another name with the pages they had.  Nothing is written: the pages that change are part
of the next commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cep.deployment.running import Leaving, Left, Running, why_not_leaving
from cep.errors import CepError
from cep.fold import Fold
from cep.ports import ActivationRow, Records
from dsl.model import Rule
from matcher.strata import renamed


class Policy(StrEnum):
    """What becomes of the partial matches of a rule whose pattern is changed, or that goes."""

    DRAIN = "drain"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Switched:
    """`notices` say what became of old partial matches; `activation` is to be committed."""

    fold: Fold
    activation: ActivationRow
    notices: tuple[str, ...]


def switched(
    fold: Fold,
    pages: Mapping[str, bytes],
    to: Running,
    policy: Policy,
    read: Callable[[int, int], Records | None],
    elsewhere: Collection[str] = (),
    load: Callable[[Fold], object] = lambda fold: None,
) -> Switched:
    """`pages` are those of the last commit; `to` has no old versions yet.

    `load` gives the new fold the rows of tables `elsewhere`.  Raises CepError, and changes nothing,
    when there can be no such fold.
    """
    fold.let_go()
    changed = fold.changed_pages()
    try:
        found = _switched(fold, pages, changed, to, policy, read, elsewhere)
        load(found.fold)
    except CepError:
        fold.adopt(changed)
        raise
    return found


def _switched(
    fold: Fold,
    pages: Mapping[str, bytes],
    changed: Mapping[str, bytes],
    to: Running,
    policy: Policy,
    read: Callable[[int, int], Records | None],
    elsewhere: Collection[str],
) -> Switched:
    before = fold.checkpoint()
    leaving, notices, dropped = _parted(fold, to, policy)
    aliases = {one.rule.name: alias for alias, one in leaving.items()}
    present = {name: data for name, data in {**pages, **changed}.items() if data}
    moved = renamed(present, aliases)
    still, more = _still_leaving(fold, to)
    running = replace(to, leaving=still | leaving)
    known = {aliases.get(name, name): version for name, version in (before.rules or {}).items()}
    new = Fold(running, fold.partition, replace(before, rules=known), moved, elsewhere=elsewhere)
    new.replay(read)
    new.adopt(changed)
    new.adopt({name: b"" for name in present if name not in moved})
    new.adopt({name: data for name, data in moved.items() if present.get(name) != data})
    new.adopt(running.saved.page())
    row = ActivationRow(
        deployment=to.deployment,
        position=fold.position,
        watermark_ms=fold.watermark_ms,
        dropped=fold.runs(dropped | (fold.running.leaving.keys() - still.keys())),
        leaving=fold.runs(aliases),
    )
    return Switched(new, row, (*notices, *more))


def _parted(
    fold: Fold, to: Running, policy: Policy
) -> tuple[dict[str, Leaving], list[str], set[str]]:
    """What goes on beside the new rules, what is said of all who go, and whose state is dropped."""
    old = fold.running
    now = {rule.name: rule.pattern_version for rule in to.in_motion.rules}
    leaving: dict[str, Leaving] = {}
    notices: list[str] = []
    dropped: set[str] = set()
    for rule in fold.rules.rules:
        if rule.name in old.leaving or now.get(rule.name) == rule.pattern_version:
            continue
        reason = _why_dropped(fold, rule, to, policy)
        if reason is None:
            left = _left(fold, rule)
            leaving[left.alias] = Leaving(left, rule)
            notices.append(f"rule {rule.name}: what had begun before goes on")
        else:
            dropped.add(rule.name)
            notices.append(f"rule {rule.name}: its partial matches are dropped ({reason})")
    return leaving, notices, dropped


def _still_leaving(fold: Fold, to: Running) -> tuple[dict[str, Leaving], list[str]]:
    """The old versions that went on beside the rules until now and still can; why others do not."""
    still: dict[str, Leaving] = {}
    notices: list[str] = []
    for alias, one in fold.running.leaving.items():
        if one.left.ends_ms < fold.watermark_ms:
            continue
        reason = why_not_leaving(one.rule, fold.running.rules, to.rules)
        if reason is None:
            still[alias] = one
        else:
            notices.append(f"rule {one.rule.name}: an old version ends now ({reason})")
    return still, notices


def _why_dropped(fold: Fold, rule: Rule, to: Running, policy: Policy) -> str | None:
    if policy is Policy.DROP:
        return "as was asked"
    if rule.name in fold.running.shadows:
        return "nobody is told of what it finds"
    if fold.running.deployment == 0:
        return "its text is not kept"
    if fold.spans().get(rule.name) is None:
        return "nothing bounds how long they would go on"
    return why_not_leaving(rule, fold.running.rules, to.rules)


def _left(fold: Fold, rule: Rule) -> Left:
    span_ms = fold.spans()[rule.name]
    assert span_ms is not None, "what has no end does not leave"
    at_ms = fold.watermark_ms
    return Left(rule.name, fold.running.deployment, fold.position, at_ms, at_ms + span_ms)
