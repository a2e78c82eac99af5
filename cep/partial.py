"""The partial matches that a rule had at the last checkpoint, from the pages of the store.

Only the pages of that rule, and of the starts it may share, are read and brought back; the engine
goes on meanwhile and is not asked.  It may be a little ahead: `AsOf` says where the pages are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cep import limits
from cep.deployment.running import Saved
from cep.errors import StoreError, UsageError
from cep.fold import rule_of_page
from cep.store.reads import StoredPages
from cep.values import json_value
from dsl.model import Rule, RuleSet
from matcher.lookup.reference_data import ReferenceData, tables_read
from matcher.pattern_parts import outermost
from matcher.saved import PageMismatch
from matcher.schema import Schema
from matcher.standing import NO_STEP, Standing, standing
from matcher.strata import Strata
from matcher.strings import Strings

Place: TypeAlias = tuple[int, int, int, int]
"""Of a partial match in a listing: start (ms), place of its first event, partition, and a number
among those alike."""

START: Place = (-(2**63), 0, 0, 0)
EVENTS_SHOWN_MAX = 20  # bound events of one partial match, the last ones


@dataclass(frozen=True, slots=True)
class AsOf:
    """The record behind the last one that the state has seen, and its watermark."""

    partition: str
    position: int
    watermark_ms: int


@dataclass(frozen=True, slots=True)
class PartialMatch:
    """`reached` of `parts` of the pattern; `step` is the one bound last, None where there is none.

    `bound` are (step, record) of the last of its `events`.  It ends at `ends_ms` unless something
    comes, or with `fires` becomes a match then; None where there is no such moment.
    """

    place: Place
    partition: str
    key: dict[str, object]
    step: str | None
    reached: int
    events: int
    bound: tuple[tuple[str, int | None], ...]
    awaits: tuple[str, ...]
    started_ms: int
    ends_ms: int | None
    fires: bool


@dataclass(frozen=True, slots=True)
class Partials:
    """`funnel` counts by the step bound last (None: none), all keys that were asked about."""

    rule: Rule
    kind: str
    parts: int
    as_of: tuple[AsOf, ...]
    funnel: Mapping[str | None, int]
    items: tuple[PartialMatch, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        return sum(self.funnel.values())


def partial_matches(
    stored: list[StoredPages],
    rules_of: Callable[[int], RuleSet],
    name: str,
    key: Mapping[str, str],
    after: Place = START,
    limit: int = limits.READ_PAGE_ROWS_MAX,
) -> Partials:
    """At most `limit` of those that come after a place, the earliest started first.

    `rules_of` gives the rules of a deployment (0: none was recorded).  `key` has all parts of the
    rule's key as text, or none.  Raises UsageError for a rule or key there is not, StoreError.
    """
    funnel: Counter[str | None] = Counter()
    items: list[PartialMatch] = []
    as_of: list[AsOf] = []
    notes: list[str] = []
    rule = _rule(rules_of(0), name) if not stored else None
    kind = "sequence"
    for number, pages in enumerate(stored):
        saved = Saved.of(pages.pages)
        rules = rules_of(saved.deployment)
        rule = _rule(rules, name)
        texts = _in_order(rule, key)
        strings = Strings()
        found = _restored(rules, rule, pages, strings)
        as_of.append(AsOf(pages.partition, pages.position, pages.watermark_ms))
        kind = found.kind
        if texts is not None:
            found = found.with_key(texts, strings)
        for step, count in found.funnel().items():
            funnel[None if step == NO_STEP else rule.steps[step].label] += count
        items += _listed(rule, found, pages.partition, number, after, limit)
        notes += [
            f"an older version of {name} goes on beside it"
            for left in saved.leaving
            if left.rule == name
        ]
    assert rule is not None
    items = sorted(items, key=lambda item: item.place)[:limit]
    parts = len(outermost(rule.pattern)) if rule.window is None else 0
    notes += _NOTES.get(kind, ())
    distinct = tuple(dict.fromkeys(notes))
    return Partials(rule, kind, parts, tuple(as_of), funnel, tuple(items), distinct)


_NOTES = {
    "shared": (
        "this rule shares its partial matches: each item is an event, and stands for all partial "
        "matches that end with it",
    ),
    "window": ("this rule looks at windows: each item is the window of one key",),
}


def _rule(rules: RuleSet, name: str) -> Rule:
    for rule in rules.rules:
        if rule.name == name:
            return rule
    raise UsageError(f"no rule {name!r} is running")


def _in_order(rule: Rule, key: Mapping[str, str]) -> tuple[str, ...] | None:
    names = [part.name for part in rule.keys]
    if not key:
        return None
    if sorted(names) != sorted(key):
        raise UsageError(
            f"the key of rule {rule.name!r} has the parts {', '.join(names) or 'none'}"
        )
    return tuple(key[name] for name in names)


def _restored(rules: RuleSet, rule: Rule, pages: StoredPages, strings: Strings) -> Standing:
    """The rule's state, in a matcher of its own that never sees an event."""
    alone = (rule,)
    tables = ReferenceData(tables_read(replace(rules, rules=alone)), strings)
    schema = Schema.of(rules.events, alone, {})
    strata = Strata(alone, schema, strings, tables=tables)
    own = {
        name: data
        for name, data in pages.pages.items()
        if not name.startswith("rule/") or rule_of_page(name) == rule.name
    }
    own.pop("deployment", None)
    try:
        strata.restore(own)
    except PageMismatch as error:
        raise StoreError(f"the stored state of {rule.name} is of other rules: {error}") from None
    return standing(strata.lane_of(rule.name), pages.watermark_ms)


def _listed(
    rule: Rule, found: Standing, partition: str, number: int, after: Place, limit: int
) -> Iterator[PartialMatch]:
    """Those behind `after`; only they are looked at one by one."""
    order = np.lexsort((found.rows, found.steps, found.keys, found.places, found.started_ms))
    found = found.where(order)
    behind, ordinals = _behind(found.started_ms, found.places, number, after)
    reached = _reached(rule)
    for row in np.flatnonzero(behind)[:limit].tolist():
        step = int(found.steps[row])
        events, bound = found.bound(row, EVENTS_SHOWN_MAX)
        waits = found.waits(row)
        started_ms, at = int(found.started_ms[row]), int(found.places[row])
        yield PartialMatch(
            place=(started_ms, at, number, int(ordinals[row])),
            partition=partition,
            key={
                part.name: json_value(part.type, value)
                for part, value in zip(rule.keys, found.key(row), strict=True)
            },
            step=None if step == NO_STEP else rule.steps[step].label,
            reached=reached.get(step, 0),
            events=events,
            bound=tuple((rule.steps[each].label, record) for each, record in bound),
            awaits=tuple(dict.fromkeys(rule.steps[each].label for each in waits.steps)),
            started_ms=started_ms,
            ends_ms=waits.ends_ms,
            fires=waits.fires,
        )


def _reached(rule: Rule) -> dict[int, int]:
    """Which part of the pattern a step is in, counted from 1."""
    parts = enumerate(outermost(rule.pattern), 1) if rule.window is None else ()
    return {step: number for number, steps in parts for step in steps}


def _behind(
    started_ms: NDArray[np.int64], at: NDArray[np.int64], number: int, after: Place
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of sorted rows come behind a place, and their numbers among those alike."""
    each = np.arange(len(at))
    first = np.ones(len(at), np.bool_)
    first[1:] = (np.diff(started_ms) != 0) | (np.diff(at) != 0)
    ordinals = each - np.maximum.accumulate(np.where(first, each, 0))
    own = np.full(len(at), number)
    behind = np.zeros(len(at), np.bool_)
    same = np.ones(len(at), np.bool_)
    for column, bound in zip((started_ms, at, own, ordinals + 1), after, strict=True):
        behind |= same & (column > bound)
        same &= column == bound
    return behind, ordinals + 1
