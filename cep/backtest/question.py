"""What is asked: which rules, against which others, over which part of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cep.errors import UsageError
from cep.tables.reading import Source
from dsl.diagnostics import did_you_mean
from dsl.model import RuleSet
from dsl.strata import sources


@dataclass(frozen=True, slots=True)
class Range:
    """The events of since_ms <= time < until_ms in first_position <= position < end_position.

    None: no bound.  With `until_ms`, time stands there at the end: what is absent by then is
    decided, what is due later is not.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    first_position: int | None = None
    end_position: int | None = None

    def __post_init__(self) -> None:
        for first, end in (
            (self.since_ms, self.until_ms),
            (self.first_position, self.end_position),
        ):
            if first is not None and end is not None and first >= end:
                raise UsageError("the range ends before it begins")

    @property
    def by_position(self) -> bool:
        return self.first_position is not None or self.end_position is not None


@dataclass(frozen=True, slots=True)
class Question:
    """`candidate` alone, or against `baseline`; of both, with `rule`, that rule only.

    `tables` are sources that take the place of those in the rule files, by name; they are given to
    whichever of the two declares the table.
    """

    candidate: RuleSet
    baseline: RuleSet | None = None
    rule: str | None = None
    range: Range = Range()
    tables: Mapping[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rule is not None and self.rule not in self.names:
            raise UsageError(f"no rule {self.rule!r}; {_near(self.rule, self.names)}")
        for name in self.tables:
            if name not in self.declared:
                raise UsageError(f"no table or list {name!r}; {_near(name, self.declared)}")

    @property
    def declared(self) -> tuple[str, ...]:
        """The tables and lists of both."""
        both = [self.candidate, *([self.baseline] if self.baseline else [])]
        return tuple(dict.fromkeys(name for each in both for name in (*each.tables, *each.lists)))

    @property
    def names(self) -> tuple[str, ...]:
        """The rules of both, the candidate's first."""
        both = [*self.candidate.rules, *(self.baseline.rules if self.baseline else ())]
        return tuple(dict.fromkeys(rule.name for rule in both))

    @property
    def told(self) -> tuple[str, ...]:
        """The rules whose detections are told of."""
        return self.names if self.rule is None else (self.rule,)

    def needed(self, rules: RuleSet) -> RuleSet:
        """What of the rules has to be folded: those told of, and what they read the events of."""
        if self.rule is None:
            return rules
        found = (rule for rule in rules.rules if rule.name == self.rule)
        return replace(
            rules,
            rules=next((sources(rules.rules, rule) for rule in found), ()),
            tests=(),
        )


def _near(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known) or f"declared: {', '.join(known) or 'none'}"
    return hint.replace("`", "")
