"""The rules of a store as a value: texts, and the mode of each rule.  Editing gives another one.

A text that is deployed takes the place of the text of its name.  What it declares is taken out of
all other texts, so a rule can be deployed by itself beside the file that has the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import dsl
from cep.errors import UsageError
from cep.load import required
from dsl.declared import declarations, without
from dsl.diagnostics import did_you_mean
from dsl.model import RuleSet

ROLLED_BACK = "rollback/"
"""The names of texts that a roll-back makes begin so."""


class Mode(StrEnum):
    """`SHADOW` detects and tells nobody; `PAUSED` sees no events."""

    LIVE = "live"
    SHADOW = "shadow"
    PAUSED = "paused"


@dataclass(frozen=True)
class RuleBase:
    """`texts` by name, in order; `modes` of the rules that are not live."""

    texts: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)

    def compiled(self) -> RuleSet:
        """Raises RulesError with every diagnostic, in terms of the texts' names."""
        return required(dsl.load_sources([dsl.Source(*named) for named in self.texts.items()]))

    def mode(self, rule: str) -> Mode:
        return self.modes.get(rule, Mode.LIVE)

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of all rules, without compiling anything."""
        return tuple(
            each.name
            for text in self.texts.values()
            for each in declarations(text)
            if each.kind == "rule"
        )

    def text_of(self, rule: str) -> str | None:
        """The text that the rule is in."""
        return next((name for name, text in self.texts.items() if _declares(text, rule)), None)

    def declared(self, rule: str) -> str | None:
        """The declaration of the rule, as it is written."""
        for text in self.texts.values():
            for kind, name, start, end in declarations(text):
                if (kind, name) == ("rule", rule):
                    return text[start:end]
        return None

    # ------------------------------------------------------------------------------------ edits

    def with_text(self, name: str, text: str) -> RuleBase:
        """Texts of which nothing is left are gone."""
        names = {(each.kind, each.name) for each in declarations(text)}
        names |= {("test", rule) for kind, rule in names if kind == "rule"}
        texts = {
            other: text if other == name else without(was, names)
            for other, was in self.texts.items()
        }
        texts.setdefault(name, text)
        kept = {other: was for other, was in texts.items() if other == name or declarations(was)}
        return replace(self, texts=kept)._forgetting()

    def without_text(self, name: str) -> RuleBase:
        texts = {other: text for other, text in self.texts.items() if other != name}
        return replace(self, texts=texts)._forgetting()

    def with_mode(self, rules: Collection[str], mode: Mode) -> RuleBase:
        """Raises UsageError for a rule that there is not."""
        known = self.rules
        for rule in rules:
            if rule not in known:
                raise UsageError(f"no rule {rule!r}; {_near(rule, known)}")
        others = {rule: was for rule, was in self.modes.items() if rule not in rules}
        changed = {} if mode is Mode.LIVE else dict.fromkeys(rules, mode)
        return replace(self, modes=others | changed)

    def with_earlier(self, rule: str, text: str) -> RuleBase:
        """The rule with a text that it had; the rest stays as it is now."""
        return self.with_text(f"{ROLLED_BACK}{rule}.cep", text + "\n")

    def rolled_back(self, rule: str, earlier: Sequence[RuleBase]) -> RuleBase:
        """The rule as it was before its text changed the last time; `earlier`, the newest first.

        What it makes use of (events, filters, facts) stays as it is now.  Raises UsageError when
        there is no such rule, or no other text of it.
        """
        now = self.declared(rule)
        found = (base.declared(rule) for base in earlier)
        before = next((text for text in found if text is not None and text != now), None)
        if before is None:
            known = self.rules
            said = "there is no earlier text of it" if rule in known else _near(rule, known)
            raise UsageError(f"no rule {rule!r} to go back to: {said}")
        return self.with_earlier(rule, before)

    def _forgetting(self) -> RuleBase:
        """Without the modes of rules that are gone."""
        known = self.rules
        modes = {rule: mode for rule, mode in self.modes.items() if rule in known}
        return replace(self, modes=modes)


def _declares(text: str, rule: str) -> bool:
    return any((each.kind, each.name) == ("rule", rule) for each in declarations(text))


def _near(rule: str, known: Sequence[str]) -> str:
    hint = did_you_mean(rule, known) or f"there are {', '.join(known) or 'none'}"
    return hint.replace("`", "")
