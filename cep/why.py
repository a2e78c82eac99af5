"""How near one rule came to a match on a log, for `cep explain`.

The log is read to its end, or to what is there now.  Memory is bounded: of the events that the rule
reads (and of one key, if asked) only the last ones are kept and looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cep import limits
from cep.errors import UsageError
from cep.explain import Told, explain
from cep.fold import Fold
from cep.ports import Log
from cep.seen import SeenEvents
from cep.tables.reading import Source
from cep.tables.sources import load, sources_of
from cep.values import iso_time
from dsl.diagnostics import did_you_mean
from dsl.model import Path, Rule, RuleSet, Step, Symbol
from dsl.strata import sources
from matcher.record import Record
from matcher.schema import derived_read
from matcher.shown import shown


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of each key, the nearest first; `left_out` events were too old to look at."""

    told: Sequence[Told]
    events: int
    left_out: int


def why(
    rules: RuleSet,
    name: str,
    log: Log,
    key: Mapping[str, str],
    tables: Mapping[str, Source],
    events_max: int,
    notify: Callable[[str], None],
    until_ms: int = limits.END_OF_TIME_MS,
    partition: str | None = None,
) -> Answer:
    """`key` has all parts of the rule's key by name, as text, or none; raises UsageError.

    It is told as if time stood at `until_ms`, of the first partition of the log or the one named.
    """
    partition = partition or log.partitions[0]
    rule = _rule(rules, name)
    asked = _in_order(rule, key)
    wanted = _everything if asked is None else _with_key(rule, asked)
    together = replace(rules, rules=sources(rules.rules, rule), tests=())
    given = sources_of(together, tables)
    fold = Fold(together, partition, elsewhere=given)
    load(fold, given, notify)
    reads_facts = any(True for _ in derived_read(rule))
    seen = SeenEvents(fold, rule, _everything if reads_facts else wanted, events_max, until_ms)
    _read(log, partition, fold, seen)
    events = seen.in_order()
    told = explain(rule, events, seen.newest_ms, iso_time, rows=seen.rows())
    if asked is not None:
        told = [each for each in told if _key_texts(rule, each.key) == asked]
    return Answer(told, len(events), seen.left_out)


def _read(log: Log, partition: str, fold: Fold, seen: SeenEvents) -> None:
    """All there is; the fold is needed only for what other rules emit."""
    steps = len(fold.rules.rules) > 1
    position = log.begin(partition)
    if position:
        fold.begin_at(position)
    while True:
        records = log.read(partition, position, limits.BATCH_RECORDS_MAX)
        if records is None or records.count == 0:
            break
        if records.tick_ms is not None:
            seen.pass_time(records.tick_ms)
        latest = {ingest.first_position: ingest.latest_ms for ingest in records.ingests}
        latest_ms = limits.END_OF_TIME_MS
        for place, line in enumerate(records.data.split(b"\n")[: records.count], position):
            latest_ms = latest.get(place, latest_ms)
            if line.strip():
                seen.take(place, line, latest_ms)
        if steps:
            for found in fold.step(records).detections:
                seen.made(found)
        position = records.end_position
    if steps:
        for found in fold.advance(seen.newest_ms).detections:
            seen.made(found)


def _rule(rules: RuleSet, name: str) -> Rule:
    for rule in rules.rules:
        if rule.name == name:
            return rule
    names = [rule.name for rule in rules.rules]
    hint = did_you_mean(name, names) or f"declared: {', '.join(names) or 'none'}"
    raise UsageError(f"no rule {name!r}; {hint.replace('`', '')}")


def _in_order(rule: Rule, key: Mapping[str, str]) -> tuple[str, ...] | None:
    """The parts of the key as the rule has them; None when no key is asked about."""
    if not key:
        return None
    names = [part.name for part in rule.keys]
    if sorted(names) != sorted(key):
        parts = " ".join(f"--key {name}=…" for name in names) or "none: leave --key out"
        raise UsageError(f"the key of rule {rule.name!r} is {parts}")
    return tuple(key[name] for name in names)


def _with_key(rule: Rule, texts: tuple[str, ...]) -> Callable[[str, Record], bool]:
    """Whether an event has the key in one of the places where the rule looks for it."""
    outside = (*rule.policy.cancel, *rule.policy.resolve)
    holders: tuple[Step | Symbol, ...] = (*rule.steps, *rule.alphabet, *outside)
    places: dict[str, set[tuple[Path, ...]]] = {}
    for each in holders:
        places.setdefault(each.event, set()).add(each.key)

    def has_key(event: str, fields: Record) -> bool:
        return any(
            _key_texts(rule, tuple(fields.get(path) for path in paths)) == texts
            for paths in places.get(event, ())
        )

    return has_key


def _everything(event: str, fields: Record) -> bool:
    return True


def _key_texts(rule: Rule, key: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(shown(part.type, value) for part, value in zip(rule.keys, key, strict=True))
