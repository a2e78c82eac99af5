"""The reference for rules over derived events: the strata of a rule set, one after the other.

    reference_detections(rules, events, emit) = what every rule finds, in canonical order

`emit` is what a match emits: (event type, fields) pairs.  The rules of a stratum see, as one list
in canonical order, the events of the log and all that the strata below emitted; each of them runs
over the whole list at once.  The strata of `matcher.strata` must equal it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TypeAlias

from dsl.model import Rule, RuleSet
from dsl.strata import strata
from matcher.record import Record
from matcher.reference import END_OF_TIME_MS, ReferenceEvent, ReferenceMatch
from matcher.reference_policy import ReferenceResolution, reference_findings
from matcher.reference_resolved import window_findings
from matcher.reference_windows import WindowMatch, with_derived
from matcher.schema import derived_read

Match: TypeAlias = ReferenceMatch | WindowMatch
Emit: TypeAlias = Callable[[Match], Sequence[tuple[str, Record]]]
Order: TypeAlias = tuple[int, int, int, int, int]
"""Event time; phase, 0 unless time itself decided; record; stratum (0: the log); number in it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An event with its order; `made_by` is the detection it comes from and its number there."""

    order: Order
    event: ReferenceEvent
    made_by: tuple[ReferenceDetection, int] | None = None


@dataclass(frozen=True, slots=True)
class ReferenceDetection:
    """`bound` is (step index, event) in binding order."""

    match: Match
    order: Order
    bound: tuple[tuple[int, Placed], ...]


@dataclass(frozen=True, slots=True)
class ReferenceOver:
    """`by`, or (with a `phase` other than 0) time, says that what `rule` detected is over."""

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    by: Placed
    phase: int

    @property
    def record(self) -> int:
        """The number of the record behind `by`; -1 if it comes from a deadline."""
        _, phase, record, *_ = self.by.order
        return -1 if phase else record


@dataclass(frozen=True, slots=True)
class ReferenceOutcome:
    detections: list[ReferenceDetection]
    resolutions: list[ReferenceOver]


def reference_detections(
    rules: RuleSet,
    events: Sequence[ReferenceEvent],
    emit: Emit,
    watermark_ms: int = END_OF_TIME_MS,
) -> ReferenceOutcome:
    """What `rules` find in `events`, whose positions are their places in the log."""
    everything = [Placed((e.ts, 0, e.position, 0, 0), e) for e in events]
    detections: list[ReferenceDetection] = []
    resolutions: list[tuple[tuple[object, ...], ReferenceOver]] = []
    for number, level in enumerate(strata(rules.rules), 1):
        everything.sort(key=lambda placed: placed.order)
        listed = [replace(p.event, position=place) for place, p in enumerate(everything)]
        found: list[tuple[tuple[object, ...], Match]] = []
        for rule_number, rule in enumerate(level):
            seen = with_derived(listed, derived_read(rule))
            if rule.window is not None:
                of_windows = window_findings(rule, seen, watermark_ms)
                matches: Sequence[Match] = of_windows.matches
                over_rule: Sequence[ReferenceResolution] = of_windows.resolutions
            else:
                of_rule = reference_findings(rule, seen, watermark_ms)
                matches, over_rule = of_rule.matches, of_rule.resolutions
            found += [(_decided(m, rule_number, everything), m) for m in matches]
            for over in over_rule:
                by = everything[over.position]
                when = (over.at_ms, over.phase, by.order[1:], number, rule_number)
                resolutions.append(
                    (when, ReferenceOver(rule, over.key, over.at_ms, by, over.phase))
                )
        for place, (_, match) in enumerate(sorted(found, key=itemgetter(0))):
            bound = tuple((step, everything[event.position]) for step, event in match.bound)
            by = everything[match.by]
            order = (match.at_ms, match.phase, 0) if match.phase else by.order[:3]
            detection = ReferenceDetection(match, (*order, number, place), bound)
            detections.append(detection)
            for item, (event, record) in enumerate(emit(match)):
                made = ReferenceEvent(match.at_ms, -1, event, record)
                place_in_all = (*order, number, place * ITEMS_MAX + item)
                everything.append(Placed(place_in_all, made, (detection, item)))
    return ReferenceOutcome(
        sorted(detections, key=lambda detection: detection.order),
        [over for _, over in sorted(resolutions, key=itemgetter(0))],
    )


ITEMS_MAX = 1000
"""More than any rule emits for one match."""


def _decided(match: Match, rule_number: int, listed: Sequence[Placed]) -> tuple[object, ...]:
    """In which order the matches of a stratum are decided: as those of one rule, rule by rule."""
    by = listed[match.by].order[1:]
    places = tuple(listed[event.position].order[1:] for _, event in match.bound)
    steps = tuple(step for step, _ in match.bound)
    first = places[0] if places else by
    text = () if places else tuple(map(str, match.key))
    return match.at_ms, match.phase, by, rule_number, first, places, steps, text
