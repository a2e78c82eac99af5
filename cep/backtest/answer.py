"""What has been found so far, of all partitions; from it the result is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from cep.backtest.difference import Verdict
from cep.backtest.listing import Listing
from cep.backtest.occurrence import Occurrence, Place, Shown, shown_as
from cep.backtest.question import Question
from cep.backtest.result import Changed, Part, Result
from cep.backtest.side import Side
from cep.backtest.tally import Tally
from cep.fold import COUNTERS
from cep.render import Rendered
from cep.values import duration_text
from dsl.model import Rule, RuleSet
from matcher.lookup.reference_data import tables_read
from matcher.schema import derived_read


class Counted:
    """Of one rule set: the counters of its folds, and what single rules were refused."""

    def __init__(self) -> None:
        self.counters = Counter(dict.fromkeys(COUNTERS, 0))
        self.capped: Counter[str] = Counter()
        self.spans_ms: dict[str, int | None] = {}

    def add(self, side: Side) -> None:
        self.counters.update(side.fold.counters)
        self.capped.update(side.fold.capped)
        self.spans_ms.update(side.fold.spans())


class Answer:
    """`prefix` of the columns of the baseline is `baseline_`."""

    def __init__(self, question: Question, listed_max: int) -> None:
        self.question = question
        self.told = frozenset(question.told)
        self.tally = Tally(question.told)
        self.now, self.was = Counted(), Counted()
        self.parts: list[Part] = []
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.settled_early = 0
        self.episodes_forgotten = 0
        self._found: Listing[Shown] = Listing(listed_max)
        self._added: Listing[Shown] = Listing(listed_max)
        self._lost: Listing[Shown] = Listing(listed_max)
        self._changed: Listing[Changed] = Listing(listed_max)
        self._by_verdict: Mapping[Verdict, Listing[Shown] | Listing[Changed]] = {
            Verdict.ADDED: self._added,
            Verdict.LOST: self._lost,
            Verdict.CHANGED: self._changed,
        }

    def count(self, found: Rendered, prefix: str) -> None:
        rule, at_ms = found.match.rule.name, found.match.at_ms
        self.tally.count(rule, at_ms, f"{prefix}found")
        if found.suppressed_by is not None:
            self.tally.count(rule, at_ms, f"{prefix}suppressed")

    def list_found(self, found: Rendered, partition: str, place: Place) -> None:
        if self._found.wants(place):
            self._found.add(place, shown_as(found, partition))

    def lists(self, verdict: Verdict, one: Occurrence) -> bool:
        return self._by_verdict[verdict].wants(one.place)

    def tell(self, verdict: Verdict, now: Occurrence | None, was: Occurrence | None) -> None:
        """What became of an occurrence; see `Difference`."""
        one = now or was
        assert one is not None
        self.tally.count(one.rule, one.at_ms, str(verdict))
        if verdict is Verdict.CHANGED and now is not None and was is not None:
            if now.shown is not None and was.shown is not None:
                self._changed.add(now.place, (now.shown, was.shown))
        elif verdict is not Verdict.SAME and one.shown is not None:
            (self._added if verdict is Verdict.ADDED else self._lost).add(one.place, one.shown)

    def saw(self, side: Side) -> None:
        """The times of the events that were in the range."""
        for ms in (side.first_ms, side.last_ms):
            if ms is not None:
                self.first_ms = ms if self.first_ms is None else min(self.first_ms, ms)
                self.last_ms = ms if self.last_ms is None else max(self.last_ms, ms)

    def result(self) -> Result:
        compared = self.question.baseline is not None
        return Result(
            range=self.question.range,
            parts=self.parts,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            counters=self.now.counters,
            capped=self.now.capped,
            baseline_counters=self.was.counters if compared else None,
            baseline_capped=self.was.capped if compared else None,
            tally=self.tally,
            found=self._found.items,
            added=self._added.items,
            lost=self._lost.items,
            changed=self._changed.items,
            warm_up_ms=self._warm_up_ms(),
            notes=list(self._notes()),
        )

    # ------------------------------------------------------------------------------------- notes

    @property
    def _cut(self) -> bool:
        """Whether something came before the range, as far as is known."""
        asked = self.question.range
        return asked.since_ms is not None or any(part.first_position for part in self.parts)

    def _warm_up_ms(self) -> int | None:
        if not self._cut:
            return 0
        spans = [*self.now.spans_ms.values(), *self.was.spans_ms.values()]
        known = [ms for ms in spans if ms is not None]
        return max(known, default=0) if len(known) == len(spans) else None

    def _notes(self) -> Iterator[str]:
        if self._cut:
            yield from self._warm_up_notes()
        for name in sorted(set(self._tables_without_source())):
            yield f"table {name} has no source of its own: here it has no rows"
        capped = self.now.capped.total() + self.was.capped.total()
        if capped:
            yield f"{capped:,} partial matches were refused at a limit: matches may be missing"
        if self.settled_early:
            yield (
                f"{self.settled_early:,} detections were compared before the end, because too many "
                "waited for their like: some that changed may be counted as added and lost"
            )
        if self.episodes_forgotten:
            yield f"{self.episodes_forgotten:,} alerts too many were open at once: some count twice"

    def _warm_up_notes(self) -> Iterator[str]:
        span_ms = self._warm_up_ms()
        if span_ms is None:
            yield "matches that began before the range are missing; no time bounds how long"
        elif span_ms:
            yield (
                "matches that began before the range are missing, for up to "
                f"{duration_text(span_ms)} after its beginning"
            )
        with_facts = [rule.name for rule in self._rules if any(True for _ in derived_read(rule))]
        if with_facts:
            names = ", ".join(dict.fromkeys(with_facts))
            yield f"facts about keys know nothing of what was before the range ({names})"

    def _tables_without_source(self) -> Iterator[str]:
        for rules in self._rule_sets:
            for table in tables_read(rules):
                given = table.name in self.question.tables
                if table.source is None and table.values is None and not given:
                    yield table.name

    @property
    def _rule_sets(self) -> list[RuleSet]:
        both = [self.question.candidate, self.question.baseline]
        return [self.question.needed(rules) for rules in both if rules is not None]

    @property
    def _rules(self) -> Iterable[Rule]:
        return [rule for rules in self._rule_sets for rule in rules.rules]
