"""Versions of a rule: hashes of what it means, not of how it is written.

`version` covers everything the rule detects and says; `pattern_version` what its partial matches
depend on.  A rule whose pattern version is unchanged keeps its partial matches across an update.
Both cover, of each event type the rule reads, its discriminator, its time field and the type and
source of the fields the rule reads; so an added field changes no version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from dsl.model import Aggregate, EventType, Field, FieldRef, Path, Policy, Rule, Step, Symbol, Type

_FORMAT = "1"
_SAYING = (
    *("title", "severity", "tags", "doc", "priority"),
    *("suppress", "message", "attributes", "notify", "emits", "alerts"),
)
_PATTERN = ("keys", "alphabet", "steps", "pattern", "within_ms", "where", "skip")
_OPTIONS: tuple[tuple[str, object], ...] = (("policy", Policy()),)  # only if not this
_PARTS: dict[type, tuple[str, ...]] = {}  # field names of a model class, without its place


def versions(rule: Rule, events: Mapping[str, EventType]) -> tuple[str, str]:
    """`version` and `pattern_version` of `rule`, 16 hex digits each."""
    dump = _Dump()
    options = [name for name, usual in _OPTIONS if getattr(rule, name) != usual]
    pattern = [(name, dump.plain(getattr(rule, name))) for name in (*_PATTERN, *options)]
    pattern_reads = _events(dump.reads(rule), events)
    saying = [(name, dump.plain(getattr(rule, name))) for name in _SAYING]
    all_reads = _events(dump.reads(rule), events)
    whole = _hash((rule.name, pattern, saying, all_reads))
    return whole, _hash((rule.name, pattern, pattern_reads))


def fingerprint(*parts: object) -> str:
    """16 hex digits of what model objects (and scalars) mean, wherever they were written."""
    return _hash(_Dump().plain(parts))


def _hash(value: object) -> str:
    text = repr((_FORMAT, value))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(slots=True)
class _Dump:
    """Dumps model objects as nested tuples of scalars; remembers the bound fields it passed."""

    bound: set[tuple[int, Path]] = field(default_factory=set)

    def plain(self, value: Any) -> object:
        kind = type(value)
        if kind is tuple:
            return tuple([self.plain(item) for item in value])
        if kind is Type:
            return _plain_type(value)
        if not hasattr(kind, "__dataclass_fields__"):
            return str(value) if isinstance(value, str) else value
        if (kind is FieldRef or kind is Aggregate) and value.step is not None and value.path:
            self.bound.add((value.step, value.path))
        if kind is Aggregate:
            self.bound.update((value.step, path) for path in _own_fields(value.value))
        return (kind.__name__, *[self.plain(getattr(value, name)) for name in _parts(kind)])

    def reads(self, rule: Rule) -> dict[str, set[Path]]:
        """Every field that what was dumped so far reads, by event type."""
        found: dict[str, set[Path]] = {}
        outside = (*rule.policy.cancel, *rule.policy.resolve)
        holders: tuple[Symbol | Step, ...] = (*rule.alphabet, *rule.steps, *outside)
        for holder in holders:
            paths = found.setdefault(holder.event, set())
            paths.update(holder.key)
            paths.update(_own_fields(holder.condition))
        for step, path in self.bound:
            found[rule.steps[step].event].add(path)
        return found


def _parts(kind: type) -> tuple[str, ...]:
    if kind not in _PARTS:
        _PARTS[kind] = tuple(f.name for f in fields(kind) if f.name != "span")
    return _PARTS[kind]


@lru_cache(maxsize=1024)
def _plain_type(type_: Type) -> object:
    inner = [_plain_type(f.type) for f in type_.fields]
    item = _plain_type(type_.item) if type_.item is not None else None
    scalars = (type_.kind.value, type_.optional, type_.scale, type_.values)
    return (*scalars, item, tuple((f.name, f.source) for f in type_.fields), tuple(inner))


def _own_fields(value: Any) -> Iterable[Path]:
    """The fields of the event being tested that a condition reads."""
    if type(value) is FieldRef:
        return (value.path,) if value.step is None else ()
    return [path for arg in getattr(value, "args", ()) for path in _own_fields(arg)]


def _events(reads: Mapping[str, set[Path]], events: Mapping[str, EventType]) -> object:
    described = []
    for name, paths in sorted(reads.items()):
        event = events[name]
        read = [(path, *_field(event, path)) for path in sorted(paths)]
        time = _field(event, (event.time_field,)) if event.time_field else None
        described.append((name, event.discriminator, time, tuple(read)))
    return tuple(described)


def _field(event: EventType, path: Path) -> tuple[object, tuple[str, ...]]:
    """Type and source of a field, which the rule has been checked to have."""
    level, found = event.fields, None
    for name in path:
        found = next(f for f in level if f.name == name)
        level = found.type.fields
    assert isinstance(found, Field), "a path has at least one name"
    return _plain_type(found.type), found.source
