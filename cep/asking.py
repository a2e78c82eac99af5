"""Questions about the log of a server, answered apart from its engine (`cep.apart`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import dsl
from cep import limits
from cep.apart import run_apart
from cep.tables.reading import Source


@dataclass(frozen=True, slots=True)
class Nearest:
    """How near the rule came for one key: its parts as texts, by name, and what is to be said."""

    key: Mapping[str, str]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of at most `limits.KEYS_TOLD_MAX` keys, the nearest first; `further` ones came less near.

    `left_out` events were too old to be looked at.
    """

    keys: tuple[Nearest, ...]
    further: int
    events: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Asking:
    """`log` is the URL of the log, `tables` are the sources that the server was started with."""

    log: str
    tables: Mapping[str, Source] = field(default_factory=dict)

    def explain(
        self,
        texts: Mapping[str, str],
        rule: str,
        key: Mapping[str, str],
        *,
        events_max: int,
        until_ms: int,
    ) -> Explanation:
        """What `cep.why` finds, over all partitions.

        Raises UsageError for another key than the rule's, and when it takes too long.
        """
        return run_apart(
            _explain,
            self,
            dict(texts),
            rule,
            dict(key),
            events_max,
            until_ms,
            seconds_max=limits.EXPLAIN_SECONDS_MAX,
            bytes_max=limits.EXPLAIN_MEMORY_BYTES_MAX,
        )


def _explain(
    asking: Asking,
    texts: Mapping[str, str],
    name: str,
    key: Mapping[str, str],
    events_max: int,
    until_ms: int,
) -> Explanation:
    from cep.load import required
    from cep.log import open_log
    from cep.why import why
    from matcher.shown import shown

    rules = required(dsl.load_sources([dsl.Source(*named) for named in texts.items()]))
    rule = next(rule for rule in rules.rules if rule.name == name)
    log = open_log(asking.log, follow=False)
    try:
        answers = [
            why(rules, name, log, key, asking.tables, events_max, _say_nothing, until_ms, partition)
            for partition in log.partitions
        ]
    finally:
        log.close()
    told = sorted((told for one in answers for told in one.told), key=lambda told: told.order)
    told.reverse()
    keys = tuple(
        Nearest(
            {
                part.name: shown(part.type, value)
                for part, value in zip(rule.keys, one.key, strict=True)
            },
            one.lines,
        )
        for one in told[: limits.KEYS_TOLD_MAX]
    )
    return Explanation(
        keys,
        len(told) - len(keys),
        sum(one.events for one in answers),
        sum(one.left_out for one in answers),
    )


def _say_nothing(_: str) -> None:
    """Bad rows of tables were told of when the engine read them."""
