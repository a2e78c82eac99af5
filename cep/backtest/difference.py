"""Which occurrences two rule sets have in common, as both are told of, step by step.

    same     both found it, and say the same of it
    changed  both found it, and say something else of it
    added    only the candidate found it
    lost     only the baseline found it

Where occurrences are alike in everything that is compared (as with `matches all`) they are counted
as often as they occur.  What only one of the two has told of waits for its like, until event time
is so far behind it that the other cannot find it any more.  Of rules that nothing bounds it waits
to the end; where too many wait, the oldest are settled and counted (`settled_early`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import islice

from cep import limits
from cep.backtest.occurrence import Occurrence


class Verdict(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    LOST = "lost"


Tell = Callable[[Verdict, Occurrence | None, Occurrence | None], None]
"""Of the candidate's occurrence and the baseline's; one is None where only one found it."""

_LOOK_MIN = 1_024  # with fewer that wait, it is not looked which are due
_NOW, _WAS = 0, 1


class Difference:
    """`spans_ms`: how long after its event time each rule may still find something; None: for ever.

    `listed` says whether an occurrence may be listed under a verdict.
    """

    def __init__(
        self,
        spans_ms: Mapping[str, int | None],
        tell: Tell,
        listed: Callable[[Verdict, Occurrence], bool],
    ) -> None:
        self.settled_early = 0
        self._spans_ms = spans_ms
        self._tell = tell
        self._listed = listed
        self._waiting: dict[bytes, tuple[list[Occurrence], list[Occurrence]]] = {}
        self._shown = 0
        self._look_at = _LOOK_MIN

    def step(self, now: Iterable[Occurrence], was: Iterable[Occurrence], watermark_ms: int) -> None:
        """What candidate and baseline found in one step, behind which both are at the watermark."""
        fresh = [*self._take(was, _WAS), *self._take(now, _NOW)]
        for verdict, occurrence in fresh:
            self._keep(verdict, occurrence)
        if len(self._waiting) >= self._look_at:
            self._settle_due(watermark_ms)
            self._settle_too_many()
            self._look_at = max(_LOOK_MIN, 2 * len(self._waiting))

    def finish(self) -> None:
        """Neither finds anything any more."""
        for identity in list(self._waiting):
            self._settle(identity)

    def _take(self, found: Iterable[Occurrence], side: int) -> list[tuple[Verdict, Occurrence]]:
        """Those that have nothing like them on the other side wait."""
        fresh = []
        for one in found:
            both = self._waiting.get(one.identity)
            if both is None:
                both = self._waiting[one.identity] = ([], [])
            others = both[1 - side]
            like = next((i for i, it in enumerate(others) if it.content == one.content), None)
            if like is None:
                both[side].append(one)
                fresh.append((Verdict.LOST if side == _WAS else Verdict.ADDED, one))
                continue
            self._shown -= others[like].shown is not None
            pair = (one, others.pop(like))
            if not both[_NOW] and not both[_WAS]:
                del self._waiting[one.identity]
            self._tell(Verdict.SAME, pair[side], pair[1 - side])
        return fresh

    def _keep(self, verdict: Verdict, one: Occurrence) -> None:
        """What may be listed is kept as it is shown, of the others only that they were."""
        room = self._shown < limits.BACKTEST_UNMATCHED_SHOWN_MAX
        if room and (self._listed(verdict, one) or self._listed(Verdict.CHANGED, one)):
            one.show()
            self._shown += 1
        one.let_go()

    def _settle_due(self, watermark_ms: int) -> None:
        for identity, both in list(self._waiting.items()):
            one = (both[_NOW] or both[_WAS])[0]
            span_ms = self._spans_ms.get(one.rule)
            if span_ms is not None and one.at_ms + span_ms < watermark_ms:
                self._settle(identity)

    def _settle_too_many(self) -> None:
        too_many = len(self._waiting) - limits.BACKTEST_UNMATCHED_MAX // 2
        if len(self._waiting) > limits.BACKTEST_UNMATCHED_MAX:
            for identity in list(islice(self._waiting, too_many)):
                self.settled_early += 1
                self._settle(identity)

    def _settle(self, identity: bytes) -> None:
        now, was = self._waiting.pop(identity)
        self._shown -= sum(one.shown is not None for one in (*now, *was))
        pairs = min(len(now), len(was))
        for changed, before in zip(now[:pairs], was[:pairs], strict=True):
            self._tell(Verdict.CHANGED, changed, before)
        for one in now[pairs:]:
            self._tell(Verdict.ADDED, one, None)
        for one in was[pairs:]:
            self._tell(Verdict.LOST, None, one)
