"""Versions of a rule: hashes of what it means, not of how it is written.

`version` covers everything the rule detects and says; `pattern_version` what its partial matches
depend on.  A rule whose pattern version is unchanged keeps its partial matches across an update.
Both cover, of each event type the rule reads, its discriminator, its time field and the type and
source of the fields the rule reads; so an added field changes no version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from dsl.model import Aggregate, EventType, Field, FieldRef, Path, Rule, Step, Symbol

_FORMAT = "1"
_SAYING = ("title", "severity", "tags", "doc", "suppress", "message", "attributes", "notify")
_PATTERN = ("keys", "alphabet", "steps", "pattern", "within_ms", "where", "skip")


def versions(rule: Rule, events: Mapping[str, EventType]) -> tuple[str, str]:
    """`version` and `pattern_version` of `rule`, 16 hex digits each."""
    pattern = [(name, _plain(getattr(rule, name))) for name in _PATTERN]
    saying = [(name, _plain(getattr(rule, name))) for name in _SAYING]
    pattern_reads = _events(rule, events, _PATTERN)
    all_reads = _events(rule, events, (*_PATTERN, *_SAYING))
    whole = _hash((rule.name, pattern, saying, all_reads))
    return whole, _hash((rule.name, pattern, pattern_reads))


def _hash(value: object) -> str:
    text = repr((_FORMAT, value))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _plain(value: object) -> object:
    """`value` as nested tuples of scalars, without places."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = [_plain(getattr(value, f.name)) for f in fields(value) if f.name != "span"]
        return (type(value).__name__, *parts)
    if isinstance(value, tuple | list):
        return tuple(_plain(item) for item in value)
    return str(value) if isinstance(value, str) else value


def read_fields(rule: Rule) -> dict[str, set[Path]]:
    """Every field path the rule reads, per event type."""
    return _reads(rule, (*_PATTERN, *_SAYING))


def _reads(rule: Rule, parts: tuple[str, ...]) -> dict[str, set[Path]]:
    reads: dict[str, set[Path]] = {}
    holders: tuple[Symbol | Step, ...] = (*rule.alphabet, *rule.steps)
    for holder in holders:
        paths = reads.setdefault(holder.event, set())
        paths.update(holder.key)
        paths.update(path for step, path in _references(holder.condition) if step is None)
    for part in parts:
        for step, path in _references(getattr(rule, part)):
            if step is not None and path is not None:
                reads[rule.steps[step].event].add(path)
    return {event: {path for path in paths if path} for event, paths in reads.items()}


def _references(value: object) -> Iterator[tuple[int | None, Path]]:
    if isinstance(value, FieldRef):
        yield value.step, value.path
    elif isinstance(value, Aggregate):
        if value.path is not None:
            yield value.step, value.path
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _references(getattr(value, f.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _references(item)


def _events(rule: Rule, events: Mapping[str, EventType], parts: tuple[str, ...]) -> object:
    described = []
    for name, paths in sorted(_reads(rule, parts).items()):
        event = events[name]
        read = [(path, _plain(_field(event, path))) for path in sorted(paths)]
        described.append((name, event.discriminator, _time(event), tuple(read)))
    return tuple(described)


def _time(event: EventType) -> object:
    return _plain(_field(event, (event.time_field,))) if event.time_field else None


def _field(event: EventType, path: Path) -> Field:
    level = event.fields
    for name in path:
        found = next(field for field in level if field.name == name)
        level = found.type.fields
    return found
