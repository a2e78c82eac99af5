"""The answer to a back-test, and its JSON: what `cep backtest --json` prints and the API gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from cep import limits
from cep.backtest.occurrence import Shown
from cep.backtest.question import Range
from cep.backtest.tally import Tally
from cep.values import iso_time

_DAY_MS = 24 * 3_600_000
_OF_CANDIDATE = ("found", "suppressed", "alerts")
_OF_BASELINE = ("baseline_found", "baseline_suppressed", "baseline_alerts")
_OF_BOTH = ("same", "changed", "added", "lost")

Changed: TypeAlias = tuple[Shown, Shown]
"""As the candidate tells of it, and as the baseline does."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`records_all` is None where it is not known before they are read."""

    records_read: int
    records_all: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """The records of a partition that were read."""

    partition: str
    first_position: int
    end_position: int


@dataclass(frozen=True, slots=True)
class Result:
    """`counters` are those of the folds, summed over partitions; `capped`, by rule, what was
    refused at a limit.  Of the baseline they are None where there was none.

    `first_ms` and `last_ms` are the times of the first and last event of the range.  `warm_up_ms`
    is how long after its beginning matches may be missing that began before; None: for ever.
    """

    range: Range
    parts: Sequence[Part]
    first_ms: int | None
    last_ms: int | None
    counters: Mapping[str, int]
    capped: Mapping[str, int]
    baseline_counters: Mapping[str, int] | None
    baseline_capped: Mapping[str, int] | None
    tally: Tally
    found: Sequence[Shown]
    added: Sequence[Shown]
    lost: Sequence[Shown]
    changed: Sequence[Changed]
    warm_up_ms: int | None
    notes: Sequence[str]

    @property
    def compared(self) -> bool:
        return self.baseline_counters is not None

    @property
    def columns(self) -> tuple[str, ...]:
        return (*_OF_CANDIDATE, *_OF_BASELINE, *_OF_BOTH) if self.compared else _OF_CANDIDATE

    @property
    def records(self) -> int:
        return sum(part.end_position - part.first_position for part in self.parts)

    @property
    def days(self) -> float:
        """How long the range is: by its bounds, or else by its events."""
        first_ms = self.first_ms if self.range.since_ms is None else self.range.since_ms
        last_ms = self.last_ms if self.range.until_ms is None else self.range.until_ms
        if first_ms is None or last_ms is None:
            return 0.0
        return max(0, last_ms - first_ms) / _DAY_MS

    def per_day(self, column: str) -> float | None:
        days = self.days
        return round(self.tally.totals[column] / days, 3) if days else None

    def to_json(self) -> bytes:
        forecast: dict[str, object] = {
            "days": round(self.days, 6),
            "alerts_per_day": self.per_day("alerts"),
        }
        listed: dict[str, object] = {"found": _fragments(self.found)}
        body: dict[str, object] = {
            "since": _time(self.range.since_ms),
            "until": _time(self.range.until_ms),
            "first_at": _time(self.first_ms),
            "last_at": _time(self.last_ms),
            "records": self.records,
            "partitions": [
                {
                    "partition": part.partition,
                    "first_position": part.first_position,
                    "end_position": part.end_position,
                }
                for part in self.parts
            ],
            "totals": self._counts(self.tally.totals),
            "rules": [
                {"rule": rule, **self._counts(counts), **self._capped(rule)}
                for rule, counts in self.tally.by_rule.items()
            ],
            "buckets": {
                "width_ms": self.tally.buckets.width_ms,
                "items": [
                    {"at": iso_time(at_ms), **self._counts(counts)}
                    for at_ms, counts in self.tally.buckets
                ],
            },
            "forecast": forecast,
            "counters": dict(self.counters),
            "listed": listed,
            "warm_up_ms": self.warm_up_ms,
            "notes": list(self.notes),
        }
        if self.baseline_counters is not None:
            forecast["baseline_alerts_per_day"] = self.per_day("baseline_alerts")
            body["baseline_counters"] = dict(self.baseline_counters)
            listed["added"] = _fragments(self.added)
            listed["lost"] = _fragments(self.lost)
            listed["changed"] = [
                {"now": orjson.Fragment(now), "was": orjson.Fragment(was)}
                for now, was in self.changed
            ]
        return orjson.dumps(body)

    def _counts(self, counts: Counter[str]) -> dict[str, int]:
        return {column: counts[column] for column in self.columns}

    def _capped(self, rule: str) -> dict[str, int]:
        capped = {"capped": self.capped.get(rule, 0)}
        if self.baseline_capped is not None:
            capped["baseline_capped"] = self.baseline_capped.get(rule, 0)
        return capped


def _fragments(shown: Sequence[Shown]) -> list[orjson.Fragment]:
    return list(map(orjson.Fragment, shown))


def _time(ms: int | None) -> str | None:
    if ms is None or not limits.BEGINNING_OF_TIME_MS < ms < limits.END_OF_TIME_MS:
        return None
    return iso_time(ms)
