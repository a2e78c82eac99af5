"""Which alerts are meant: a matcher of a route or a silence, and the facts it looks at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from alerts import limits

TagsOf = Callable[[str], Collection[str]]
"""The tags of a rule, by its name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What of an alert can be matched; the values of `key` are texts, see `key_texts`."""

    rule: str
    severity: str
    tags: Collection[str]
    key: Mapping[str, str]


def key_texts(key: object) -> dict[str, str]:
    """A detection's key for matching: texts as they are, other values as JSON writes them."""
    if not isinstance(key, dict):
        return {}
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in key.items()
    }


def _pattern(text: str) -> str:
    if not 0 < len(text) <= limits.PATTERN_CHARACTERS_MAX or not text.isprintable():
        raise ValueError(
            f"a pattern is 1 to {limits.PATTERN_CHARACTERS_MAX} printable characters, * for any"
        )
    if text.count("*") > limits.PATTERN_STARS_MAX:
        raise ValueError(f"a pattern has at most {limits.PATTERN_STARS_MAX} times *")
    return text


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[str, AfterValidator(_pattern)]
Patterns = Annotated[
    tuple[Pattern, ...],
    Field(max_length=limits.PATTERNS_MAX),
    BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
]


class Matcher(BaseModel):
    """Everything that is given has to fit; of several patterns for one thing, one has to.

    Patterns are shell patterns (`card_*`) that tell upper from lower case.  `tags` fits when the
    rule has one of them.  A matcher without anything fits all alerts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Patterns = ()
    severity: Patterns = ()
    tags: Patterns = ()
    key: dict[str, Patterns] = Field(default_factory=dict, max_length=limits.PATTERNS_MAX)

    def says_nothing(self) -> bool:
        return not (self.rule or self.severity or self.tags or self.key)

    def fits(self, facts: Facts) -> bool:
        return (
            _fits(self.rule, [facts.rule])
            and _fits(self.severity, [facts.severity])
            and _fits(self.tags, facts.tags)
            and all(
                name in facts.key and _fits(patterns, [facts.key[name]])
                for name, patterns in self.key.items()
            )
        )


def _fits(patterns: Collection[str], texts: Collection[str]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns for text in texts)
