"""Versions of a rule: hashes of what it means, not of how it is written.

`version` covers everything the rule detects and says; `pattern_version` what its partial matches
depend on.  A rule whose pattern version is unchanged keeps its partial matches across an update.
Both cover, of each event type the rule reads, its discriminator, its time field and the type and
source of the fields the rule reads; so an added field changes no version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from dsl.model import (
    WINDOW,
    Aggregate,
    Derived,
    EventType,
    Field,
    FieldRef,
    Path,
    Policy,
    Rule,
    Step,
    Symbol,
    Type,
)

_FORMAT = "1"
_SAYING = (
    *("title", "severity", "tags", "doc", "priority"),
    *("suppress", "message", "attributes", "notify", "emits", "alerts"),
)
_PATTERN = ("keys", "alphabet", "steps", "pattern", "within_ms", "where", "skip")
_OPTIONS: tuple[tuple[str, object], ...] = (
    ("policy", Policy()),
    ("window", None),
    ("key_table", None),
    ("resolve_when", None),
)  # only if not this
_PARTS: dict[type, tuple[str, ...] | None] = {}


def versions(rule: Rule, events: Mapping[str, EventType]) -> tuple[str, str]:
    """`version` and `pattern_version` of `rule`, 16 hex digits each."""
    dump = _Dump()
    options = [name for name, usual in _OPTIONS if getattr(rule, name) != usual]
    pattern = [(name, dump.plain(getattr(rule, name))) for name in (*_PATTERN, *options)]
    pattern_reads = _events(dump.reads(rule), events)
    saying = [(name, dump.plain(getattr(rule, name))) for name in _SAYING]
    all_reads = _events(dump.reads(rule), events)
    if rule.window is not None:  # a window keeps the values that its messages tell
        pattern_reads = all_reads
    whole = _hash((rule.name, pattern, saying, all_reads))
    return whole, _hash((rule.name, pattern, pattern_reads))


def fingerprint(*parts: object) -> str:
    """16 hex digits of what model objects (and scalars) mean, wherever they were written."""
    return _hash(_Dump().plain(parts))


def derived_version(derived: Derived, events: Mapping[str, EventType]) -> str:
    """What the state behind a derived field depends on: everything but who reads it."""
    source = replace(derived, reads=())
    return _hash((_Dump().plain(source), _events(_of_derived(source), events)))


def _hash(value: object) -> str:
    text = repr((_FORMAT, value))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(slots=True)
class _Dump:
    """Dumps model objects as nested tuples of scalars; remembers the bound fields it passed."""

    bound: set[tuple[int, Path]] = field(default_factory=set)
    derived: set[Derived] = field(default_factory=set)

    def plain(self, value: Any) -> object:
        kind = type(value)
        if kind is tuple:
            return tuple([self.plain(item) for item in value])
        if kind is Type:
            return _plain_type(value)
        names = _parts(kind)
        if names is None:
            return str(value) if isinstance(value, str) else value
        if kind is Derived:
            self.derived.add(value)
            return (kind.__name__, *[_Dump().plain(getattr(value, name)) for name in names])
        if kind is FieldRef and value.derived is not None:
            if value.step is not None:
                self.bound.update((value.step, path) for path in _own_fields(value))
        elif (kind is FieldRef or kind is Aggregate) and value.step is not None and value.path:
            self.bound.add((value.step, value.path))
        if kind is Aggregate:
            self.bound.update((value.step, path) for path in _own_fields(value.value))
        return (kind.__name__, *[self.plain(getattr(value, name)) for name in names])

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
            for holder in rule.steps if step == WINDOW else (rule.steps[step],):
                found[holder.event].add(path)
        for derived in self.derived:
            for event, paths in _of_derived(derived).items():
                found.setdefault(event, set()).update(paths)
        return found


def _parts(kind: type) -> tuple[str, ...] | None:
    """The field names of a model class, without its place; None of a scalar's type."""
    if kind not in _PARTS:
        names = [f.name for f in fields(kind)] if is_dataclass(kind) else None
        _PARTS[kind] = None if names is None else tuple(n for n in names if n != "span")
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
        if value.derived is not None:
            return [path for part in value.derived.reads for path in _own_fields(part)]
        return (value.path,) if value.step is None else ()
    return [path for arg in getattr(value, "args", ()) for path in _own_fields(arg)]


def _of_derived(derived: Derived) -> dict[str, set[Path]]:
    """The fields that the events behind a derived field are read for."""
    aggregate = derived.aggregate
    parts = (derived.condition, *derived.key, aggregate.value if aggregate else None)
    paths = {path for part in parts for path in _own_fields(part)}
    if aggregate is not None and aggregate.path is not None:
        paths.add(aggregate.path)
    return {derived.event: paths}


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
