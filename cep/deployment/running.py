"""What a fold runs: the rules of a deployment in their modes, and old versions that are leaving.

A rule whose pattern is changed, and a rule that is paused or taken out, may go on beside the others
with the partial matches it had: it detects what began before, exactly as if nothing had changed,
for as long as its span allows; what begins later is the new version's.  "Began before" means that
the first event had left the order of event time when the position was reached.

State is addressed by the name of a rule, so an old version gets another one (`alias`); its
detections bear the rule's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from cep.deployment.base import Mode
from dsl.model import EventType, Rule, RuleSet, leading_silence
from dsl.strata import events_read
from matcher.lookup.reference_data import tables_read
from matcher.matcher import Match
from matcher.record import read_event

PAGE = "deployment"
"""The page that says which deployment the others belong to; see `Saved`."""


class Left(msgspec.Struct, frozen=True, array_like=True):
    """An old version of `rule`, whose text deployment `deployment` has.

    It was left at `position`, with the watermark there; what it may still detect ends at `ends_ms`.
    """

    rule: str
    deployment: int
    position: int
    watermark_ms: int
    ends_ms: int

    @property
    def alias(self) -> str:
        return f"{self.rule}~{self.deployment}"


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """What the page says: 0 where nothing was ever deployed."""

    deployment: int = 0
    leaving: tuple[Left, ...] = ()

    @staticmethod
    def of(pages: Mapping[str, bytes]) -> Saved:
        page = pages.get(PAGE)
        return Saved() if page is None else msgspec.msgpack.decode(page, type=Saved)

    def page(self) -> dict[str, bytes]:
        return {PAGE: msgspec.msgpack.encode(self)}


@dataclass(frozen=True, slots=True)
class Leaving:
    """`rule` is the old version under its own name."""

    left: Left
    rule: Rule

    def told(self, match: Match, types: Mapping[str, EventType]) -> bool:
        """Whether a match began before the rule was left; `types` are by discriminator."""
        if match.positions[0] >= self.left.position:
            return False
        found = read_event(types, match.raw[0])
        assert found is not None, "an event that was bound has been read before"
        return found[1] <= self.left.watermark_ms


@dataclass(frozen=True)
class Running:
    """`rules` are all of the deployment, in their `modes`; `leaving` is by alias."""

    rules: RuleSet
    modes: Mapping[str, Mode] = field(default_factory=dict)
    leaving: Mapping[str, Leaving] = field(default_factory=dict)
    deployment: int = 0

    @property
    def in_motion(self) -> RuleSet:
        """The rules that events are matched against; old versions under their aliases."""
        if not self.modes and not self.leaving:
            return self.rules
        here = [rule for rule in self.rules.rules if self.modes.get(rule.name) is not Mode.PAUSED]
        old = [replace(one.rule, name=alias) for alias, one in self.leaving.items()]
        return replace(self.rules, rules=(*here, *old))

    @property
    def shadows(self) -> frozenset[str]:
        return frozenset(name for name, mode in self.modes.items() if mode is Mode.SHADOW)

    @property
    def every_rule(self) -> list[Rule]:
        """Under their own names: old versions first, paused ones too."""
        return [*(one.rule for one in self.leaving.values()), *self.rules.rules]

    @property
    def saved(self) -> Saved:
        return Saved(self.deployment, tuple(one.left for one in self.leaving.values()))


def why_not_leaving(rule: Rule, before: RuleSet, after: RuleSet) -> str | None:
    """Why an old version cannot go on beside the rules that come after it; None: it can."""
    emitted = {emit.event for other in before.rules for emit in other.emits}
    read = events_read(rule)
    silence, _ = leading_silence(rule.pattern)
    if rule.window is not None or silence is not None:
        return "no event begins what it waits for"
    if read & emitted:
        return "it reads what rules emit"
    if any(before.events[name] != after.events.get(name) for name in read):
        return "an event it reads is declared otherwise now"
    declared = {**after.tables, **after.lists}
    for table in tables_read(replace(before, rules=(rule,))):
        if table != declared.get(table.name):
            return f"{table.name}, which it looks into, is declared otherwise now"
    return None
