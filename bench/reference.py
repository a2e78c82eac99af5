"""The matches of a workload, compared with those of the naive reference matcher."""

from __future__ import annotations

import json
from typing import TypeAlias

import numpy as np

from bench import rulebook, workload
from bench.columns import batches
from cep.limits import END_OF_TIME_MS
from dsl.model import Rule, RuleSet
from matcher.matcher import Matcher
from matcher.record import record
from matcher.reference import ReferenceEvent, ReferenceMatch
from matcher.reference_policy import reference_matches
from matcher.reference_windows import WindowMatch, window_matches
from matcher.schema import Schema
from matcher.strings import Strings

Found: TypeAlias = tuple[str, int, tuple[int, ...]]  # (rule, event time, positions of the events)


def agrees_with_reference(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Fails unless both find the same on the first `head` rows of a stream of `n`."""
    rules = rulebook.rules(name)
    stream = workload.generate(n).head(head)
    naive = _naive(rules, stream)
    assert _fast(rules, stream) == naive, f"{name}: the matcher and the reference differ"
    return {"events": head, "matches": len(naive)}


def _fast(rules: RuleSet, stream: workload.Workload) -> list[Found]:
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    parts = batches(stream, schema, strings)
    matcher = Matcher(rules.rules, schema, strings)
    found = [match for part in parts for match in matcher.advance(part, int(part.ts[-1]))]
    found += matcher.advance(parts[0].take(np.zeros(0, np.int64)), END_OF_TIME_MS)
    return sorted((match.rule.name, match.at_ms, match.positions) for match in found)


def _naive(rules: RuleSet, stream: workload.Workload) -> list[Found]:
    events = _reference_events(stream, rules)
    return sorted(
        (rule.name, match.at_ms, tuple(event.position for _, event in match.bound))
        for rule in rules.rules
        for match in _matches(rule, events)
    )


def _matches(rule: Rule, events: list[ReferenceEvent]) -> list[ReferenceMatch] | list[WindowMatch]:
    if rule.window is not None:
        return window_matches(rule, events)
    return reference_matches(rule, events)


def _reference_events(stream: workload.Workload, rules: RuleSet) -> list[ReferenceEvent]:
    types = {event.discriminator: event for event in rules.events.values()}
    events = []
    for position, line in enumerate(workload.ndjson(stream).splitlines()):
        value = json.loads(line)
        event = types[value["type"]]
        fields = record(event, value, strict=False)
        events.append(ReferenceEvent(int(stream.ts[position]), position, event.name, fields))
    return events
