"""A back-test as it is run: partition after partition, step by step.

run = Run(question, history)
for progress in run.steps():        # stop here, and nothing is left behind
    …
run.result()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from cep import limits
from cep.backtest.answer import Answer
from cep.backtest.difference import Difference
from cep.backtest.history import History, LogHistory, Piece
from cep.backtest.occurrence import Occurrence
from cep.backtest.question import Question
from cep.backtest.result import Part, Progress, Result
from cep.backtest.side import Side
from cep.backtest.tally import Episodes
from cep.fold import Outcome
from cep.partitioning import check_log
from cep.render import Rendered
from dsl.model import RuleSet

_BASELINE = "baseline_"  # before the names of columns


class Run:
    """Raises UsageError for rules that cannot be run on the log.

    `listed_max`: so many detections are listed of each class.  `notify` takes sentences about the
    rows of tables.
    """

    def __init__(
        self,
        question: Question,
        history: History,
        listed_max: int = limits.BACKTEST_LISTED,
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        assert 0 < listed_max <= limits.BACKTEST_LISTED_MAX
        baseline = question.baseline
        self._question = question
        self._history = history
        self._notify = notify
        self._rules = question.needed(question.candidate)
        self._rules_before = None if baseline is None else question.needed(baseline)
        self._answer = Answer(question, listed_max)
        if isinstance(history, LogHistory):
            for rules in (self._rules, self._rules_before):
                if rules is not None:
                    check_log(rules, history.log)

    def steps(self) -> Iterator[Progress]:
        """One after each step; raises SourceError when the log cannot be read on."""
        asked, read = self._question.range, 0
        records_all = self._history.count(asked)
        yield Progress(0, records_all)
        for number, partition in enumerate(self._history.partitions):
            sides = [self._side(self._rules, partition)]
            if self._rules_before is not None:
                sides.append(self._side(self._rules_before, partition))
            pair = _Pair(self._answer, number, partition, sides)
            first, end = None, 0
            for piece in self._history.pieces(partition, asked):
                first, end = (piece.first_position if first is None else first), piece.end_position
                read += end - piece.first_position
                pair.step(piece)
                yield Progress(read, records_all)
                if pair.over:
                    break
            self._answer.parts.append(Part(partition, first or 0, end))
            pair.end(self._history.ends and asked.end_position is None)

    def result(self) -> Result:
        """After the last step."""
        return self._answer.result()

    def _side(self, rules: RuleSet, partition: str) -> Side:
        return Side(rules, partition, self._question.range, self._question.tables, self._notify)


class _Pair:
    """Candidate and, if there is one, baseline (`sides`) in one partition."""

    def __init__(self, answer: Answer, number: int, partition: str, sides: Sequence[Side]) -> None:
        self._answer = answer
        self._number = number
        self._partition = partition
        self._sides = sides
        self._episodes = [Episodes() for _ in sides]
        self._places = [count() for _ in sides]
        self._difference = Difference(_spans_ms(sides), answer.tell, answer.lists)

    def step(self, piece: Piece) -> None:
        self._take([side.step(piece) for side in self._sides])

    @property
    def over(self) -> bool:
        return all(side.over for side in self._sides)

    def end(self, at_end_of_time: bool) -> None:
        self._take([side.end(at_end_of_time) for side in self._sides])
        self._difference.finish()
        answer = self._answer
        answer.settled_early += self._difference.settled_early
        answer.episodes_forgotten += sum(each.forgotten for each in self._episodes)
        for counted, side in zip((answer.now, answer.was), self._sides, strict=False):
            counted.add(side)
            answer.saw(side)

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        for which, outcome in enumerate(outcomes):
            prefix = _BASELINE if which else ""
            for found in self._told(outcome):
                self._answer.count(found, prefix)
            for rule, at_ms in self._episodes[which].opened(outcome):
                if rule in self._answer.told:
                    self._answer.tally.count(rule, at_ms, f"{prefix}alerts")
        occurrences = [self._occurrences(*each) for each in enumerate(outcomes)]
        if len(occurrences) > 1:
            watermark_ms = min(side.fold.watermark_ms for side in self._sides)
            self._difference.step(occurrences[0], occurrences[1], watermark_ms)

    def _told(self, outcome: Outcome) -> Iterator[Rendered]:
        told = self._answer.told
        return (found for found in outcome.detections if found.match.rule.name in told)

    def _occurrences(self, which: int, outcome: Outcome) -> list[Occurrence]:
        """Those of the candidate are listed on the way; without a baseline nothing is compared."""
        found_all = []
        for found in self._told(outcome):
            place = (found.match.at_ms, self._number, next(self._places[which]))
            if which == 0:
                self._answer.list_found(found, self._partition, place)
            if len(self._sides) > 1:
                found_all.append(Occurrence.of(found, self._partition, place))
        return found_all


def _spans_ms(sides: Sequence[Side]) -> dict[str, int | None]:
    """For how long behind its event time each rule of either side may still find something.

    Twice as long as a partial match may go on is long enough in any case.
    """
    spans: dict[str, int | None] = {}
    for side in sides:
        for rule, span_ms in side.fold.spans().items():
            known = spans.get(rule, 0)
            longest = None if known is None or span_ms is None else max(known, 2 * span_ms)
            spans[rule] = longest
    return spans
