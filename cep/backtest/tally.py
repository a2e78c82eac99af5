"""What is counted: by rule, and by span of event time; and how many alerts would be opened.

An alert takes in the detections of a rule and key: it is opened by one that `suppress` does not
hide, and is over when the rule resolves it, or after a day without a detection, as if somebody had
resolved it then.  Rules that only emit events open none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from cep import limits
from cep.detection_json import key_json
from cep.fold import Outcome

_SECOND_MS = 1_000
_WIDTHS_MS = [
    _SECOND_MS * seconds for seconds in (60, 300, 900, 3_600, 6 * 3_600, 24 * 3_600, 7 * 24 * 3_600)
]


class Tally:
    """Columns of counts, by rule and by span of time."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.by_rule: dict[str, Counter[str]] = {rule: Counter() for rule in rules}
        self.buckets = Buckets()

    def count(self, rule: str, at_ms: int, column: str) -> None:
        self.by_rule[rule][column] += 1
        self.buckets.count(at_ms, column)

    @property
    def totals(self) -> Counter[str]:
        return sum(self.by_rule.values(), Counter())


class Buckets:
    """Spans of one width, which grows as more of them have something in them.

    Each width is a multiple of the one before, and the least with which there are not too many is
    taken, so the order of what is counted does not matter.
    """

    def __init__(self) -> None:
        self.width_ms = _WIDTHS_MS[0]
        self._counts: dict[int, Counter[str]] = {}

    def count(self, at_ms: int, column: str) -> None:
        number = at_ms // self.width_ms
        bucket = self._counts.get(number)
        if bucket is None:
            bucket = self._counts[number] = Counter()
            bucket[column] += 1
            while len(self._counts) > limits.BACKTEST_BUCKETS_MAX:
                self._widen()
        else:
            bucket[column] += 1

    def __iter__(self) -> Iterator[tuple[int, Counter[str]]]:
        """The beginning of each span in ms, and what is counted there; in order, empty ones not."""
        for number in sorted(self._counts):
            yield number * self.width_ms, self._counts[number]

    def _widen(self) -> None:
        wider = next((ms for ms in _WIDTHS_MS if ms > self.width_ms), 2 * self.width_ms)
        merged: dict[int, Counter[str]] = {}
        for number, counts in self._counts.items():
            merged.setdefault(number * self.width_ms // wider, Counter()).update(counts)
        self.width_ms, self._counts = wider, merged


class Episodes:
    """The alerts of one rule set in one partition, as they are opened."""

    def __init__(self) -> None:
        self.forgotten = 0  # that were open when too many were
        self._open: dict[tuple[str, bytes], int] = {}  # rule and key → newest detection in ms

    def opened(self, outcome: Outcome) -> list[tuple[str, int]]:
        """Rule and time of the alerts that a step opens."""
        opened = []
        for at_ms, _, rule, key, found in sorted(_facts(outcome), key=lambda fact: fact[:2]):
            newest_ms = self._open.get((rule, key))
            if not found:
                self._open.pop((rule, key), None)
                continue
            if newest_ms is None or at_ms - newest_ms >= limits.BACKTEST_EPISODE_MS:
                opened.append((rule, at_ms))
            self._open.pop((rule, key), None)  # the newest come last
            self._open[rule, key] = at_ms if newest_ms is None else max(at_ms, newest_ms)
        self._forget()
        return opened

    def _forget(self) -> None:
        while len(self._open) > limits.BACKTEST_EPISODES_MAX:
            del self._open[next(iter(self._open))]
            self.forgotten += 1


def _facts(outcome: Outcome) -> Iterator[tuple[int, int, str, bytes, bool]]:
    """Time, position, rule, key, and whether it is a detection; else it is a resolution."""
    for found in outcome.detections:
        match = found.match
        if match.rule.alerts and found.suppressed_by is None:
            position = match.positions[-1] if match.positions else -1
            yield match.at_ms, position, match.rule.name, key_json(found.said[0]), True
    for over in outcome.resolutions:
        yield over.at_ms, over.position, over.rule, over.key, False
