"""What becomes of a match: a detection that is told, hidden, in shadow; or none at all.

It is none when an old version of a rule, which is leaving, finds what began after it was left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cep.deployment.running import Running
from cep.ports import ResolutionRow
from cep.render import Rendered, Renderer
from cep.suppress import Suppression
from dsl.model import EventType, Expr, Rule
from matcher.lineage import DerivedEvent
from matcher.lookup.reference_data import ReferenceData
from matcher.matcher import Match, Resolution


class Untold:
    """The match belongs to another version of its rule."""

    derived: Sequence[DerivedEvent] = ()


UNTOLD = Untold()


class Telling:
    """Of the rules in motion of one partition.

    It counts `suppressed`, `shadowed`, `derived` and `not_derived` in `counters`.  `also` are
    expressions by rule that a caller will evaluate over the evidence of detections; `types`, the
    event types by discriminator.
    """

    def __init__(
        self,
        running: Running,
        partition: str,
        also: Mapping[str, Sequence[Expr]],
        tables: ReferenceData,
        types: Mapping[str, EventType],
        counters: dict[str, int],
    ) -> None:
        self.suppression = Suppression(running.every_rule, running.shadows)
        self._leaving = running.leaving
        self._shadows = running.shadows
        self._types = types
        self._counters = counters
        rules = running.in_motion
        self._renderers = {
            rule.name: Renderer(
                self._own(rule), rules.events, partition, also.get(rule.name, ()), tables
            )
            for rule in rules.rules
        }
        # A derived event sees the rows that the last event behind it saw.
        self.looks_back = any(renderer.looks_up for renderer in self._renderers.values()) or any(
            rule.emits for rule in rules.rules
        )

    def tell(self, match: Match) -> Rendered | Untold:
        name, rule = match.rule.name, match.rule
        leaving = self._leaving.get(name)
        if leaving is not None:
            if not leaving.told(match, self._types):
                return UNTOLD
            rule = leaving.rule
            match = match._replace(rule=rule)
        renderer = self._renderers[name]
        found = renderer.render(match)
        found.shadow = name in self._shadows
        self._counters["shadowed"] += found.shadow
        if rule.suppress is not None:
            self._hide(found, rule)
        if renderer.looks_up:
            found.speak()  # while the rows are known
        if rule.emits and not found.shadow:
            refused = renderer.derive(found)  # a hidden alert is a fact too
            self._counters["not_derived"] += refused
            self._counters["derived"] += len(found.derived)
        return found

    def told(self, found: Iterable[Rendered | Untold]) -> list[Rendered]:
        """Without what belongs to other versions."""
        return [one for one in found if isinstance(one, Rendered)]

    def resolutions(self, found: Iterable[Resolution]) -> list[ResolutionRow]:
        """Those of old versions are left out: they may be about what was not told."""
        return [
            self._renderers[one.rule.name].resolution(one)
            for one in found
            if one.rule.name not in self._leaving
        ]

    def _own(self, rule: Rule) -> Rule:
        """The rule under its own name."""
        leaving = self._leaving.get(rule.name)
        return rule if leaving is None else leaving.rule

    def _hide(self, found: Rendered, rule: Rule) -> None:
        assert rule.suppress is not None
        values, at_ms = found.values(rule.suppress.by), found.match.at_ms
        shown_by = self.suppression.hidden_by(rule.name, values, at_ms, found.id, found.shadow)
        found.suppressed_by = shown_by
        self._counters["suppressed"] += shown_by is not None
