"""Runs the `test` blocks of rule files through the engine's own steps.

Each test sees its rule, those whose derived events it reads, and of tables what it gives itself: no
source is read.  Times count from `TEST_EPOCH_MS`.  Events are records in the order they are
written, so lateness applies as it does in life; a field that the test leaves out is null.
`advance` moves the clock on.  At an `expect` everything up to now, or up to the time it names, is
decided (deadlines at that very ms included); it counts the alerts so far that were not suppressed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson

from cep.explain import explain, unmet_text
from cep.fold import Fold, Outcome
from cep.ports import Records
from cep.render import Rendered
from cep.seen import SeenEvents
from cep.values import duration_text, json_value
from dsl.model import (
    EventType,
    Field,
    InlineTest,
    Kind,
    Rule,
    RuleSet,
    Table,
    TestAdvance,
    TestEvent,
    TestExpect,
    TestGiven,
    Type,
)
from dsl.source import Source
from dsl.strata import sources
from matcher.unmet import unmet

_TIME = "@time"  # no name that a rule could write
NEAREST = "nearest: "
"""What the line of a failure's text begins with that says how near a match came."""

TEST_EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z, a Monday


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation or event of the test that did not hold; `offset` is its place in the file."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class TestResult:
    test: InlineTest
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def name(self) -> str:
        return f"{self.test.rule}: {self.test.title}" if self.test.title else self.test.rule


def run_tests(rules: RuleSet) -> list[TestResult]:
    return [run_test(rules, test) for test in rules.tests]


def run_test(rules: RuleSet, test: InlineTest) -> TestResult:
    begin = time.perf_counter()
    rule = next(rule for rule in rules.rules if rule.name == test.rule)
    failures = tuple(_Run(rules, rule, test).failures())
    return TestResult(test, failures, time.perf_counter() - begin)


class _Run:
    """One test under way: `now_ms` counts from the test's start."""

    def __init__(self, rules: RuleSet, rule: Rule, test: InlineTest) -> None:
        self.events = {name: _for_tests(event) for name, event in rules.events.items()}
        self.rule = rule
        self.test = test
        self.now_ms = 0
        self.detections: list[Rendered] = []
        wheres = [s.where for s in test.steps if isinstance(s, TestExpect) and s.where is not None]
        tested = RuleSet(
            events=self.events,
            rules=sources(rules.rules, rule),
            tests=(),
            tables={name: _optional_fields(table) for name, table in rules.tables.items()},
            lists=rules.lists,
        )
        self.fold = Fold(tested, "test", also={rule.name: wheres})
        self.seen = SeenEvents(self.fold, rule)
        self.key_tables = {rule.key_table for rule in tested.rules} - {None}
        if self.key_tables:
            self.fold.advance(TEST_EPOCH_MS)  # what is given at the beginning counts from it
            self.seen.pass_time(TEST_EPOCH_MS)

    def failures(self) -> Iterable[Failure]:
        for number, step in enumerate(self.test.steps):
            match step:
                case TestEvent():
                    self.now_ms = max(self.now_ms, step.at_ms)
                    outcome = self._feed(step)
                    for letter in outcome.dead_letters:
                        yield Failure(
                            f"the event at {duration_text(step.at_ms)} cannot be used: "
                            f"{letter.reason}",
                            step.span.start,
                        )
                case TestGiven():
                    self._give(step)
                case TestAdvance():
                    self.now_ms += step.by_ms
                case TestExpect():
                    self._decide(max(self.now_ms, step.at_ms or 0), self.test.steps[number:])
                    found = [d for d in self._shown() if not self._misfit(step, d)]
                    if len(found) != step.count:
                        yield Failure(self._what_happened(step, len(found)), step.span.start)

    def _feed(self, event: TestEvent) -> Outcome:
        line = orjson.dumps(_json_event(self.events[event.event], event)) + b"\n"
        self.seen.take(self.fold.position, line)
        outcome = self.fold.step(Records(self.fold.position, line, 1))
        self._add(outcome)
        return outcome

    def _give(self, given: TestGiven) -> None:
        """Rows of a table; one that the rule does not look into has none to give."""
        now_ms = TEST_EPOCH_MS + self.now_ms
        if given.table in self.key_tables:  # a key comes or goes now, and not before
            self._add(self.fold.advance(now_ms))
        if given.table in self.fold.tables:
            self.fold.replace_rows(given.table, given.rows, now_ms)
        if given.table == self.rule.key_table:
            self.seen.follow(now_ms, self.fold.position)

    def _add(self, outcome: Outcome) -> None:
        for found in outcome.detections:
            self.seen.made(found)
            if found.match.rule.name == self.rule.name:
                self.detections.append(found)

    def _decide(self, now_ms: int, rest: Sequence[object]) -> None:
        """Time passes `now_ms`, unless a later event of the test happens just then."""
        more_now = any(isinstance(step, TestEvent) and step.at_ms <= now_ms for step in rest)
        passed_ms = TEST_EPOCH_MS + now_ms + (0 if more_now else 1)
        self.seen.pass_time(passed_ms)
        self._add(self.fold.advance(passed_ms))

    def _shown(self) -> list[Rendered]:
        return [found for found in self.detections if found.detection.suppressed_by is None]

    def _misfit(self, expect: TestExpect, found: Rendered) -> str:
        """Why the alert is not one that the test expects; "" when it is."""
        detection = found.detection
        if expect.at_ms is not None and detection.at_ms != TEST_EPOCH_MS + expect.at_ms:
            return f"not at {duration_text(expect.at_ms)}"
        values = {
            "severity": detection.severity,
            "message": detection.message,
            **detection.fields,
            **detection.key,
        }
        for name, wanted in expect.fields.items():
            if name not in values:
                return f"it has no {name}"
            if not _same(wanted, values[name]):
                return f"{name} is {_literal(values[name])}"
        parts = unmet(expect.where, found.environment)
        return f"where: {unmet_text(self.rule, parts)}" if parts else ""

    def _what_happened(self, expect: TestExpect, found: int) -> str:
        at = f" at {duration_text(expect.at_ms)}" if expect.at_ms is not None else ""
        fields = f" {_object_text(expect.fields)}" if expect.fields else ""
        where = " where …" if expect.where is not None else ""
        lines = [f"expected{at} {_alerts(expect.count)}{fields}{where}, found {found}"]
        shown = self._shown()
        lines.append(f"{_alerts(len(shown))} so far{':' if shown else ''}")
        for rendered in shown:
            one = rendered.detection
            at = duration_text(one.at_ms - TEST_EPOCH_MS)
            lines.append(f"  at {at} {_object_text(one.key)} {one.message}")
            misfit = self._misfit(expect, rendered)
            if misfit and expect.count:
                lines.append(f"    not the one expected: {misfit}")
        hidden = len(self.detections) - len(shown)
        if hidden:
            lines.append(f"{_alerts(hidden)} suppressed")
        if late := self.fold.counters["late"]:
            lines.append(f"{late} late event{'s' if late > 1 else ''}")
        if found < expect.count:
            lines += self._nearest(expect)
        return "\n".join(lines)

    def _nearest(self, expect: TestExpect) -> list[str]:
        """How far the key got that the test expects an alert for, or the nearest one."""
        events, watermark_ms = self.seen.in_order(), self.seen.watermark_ms
        told = explain(self.rule, events, watermark_ms, _since_start, rows=self.seen.rows())
        names = [part.name for part in self.rule.keys]
        for each in told:
            values = zip(self.rule.keys, each.key, strict=True)
            key = {part.name: json_value(part.type, value) for part, value in values}
            if all(_same(expect.fields[n], key[n]) for n in names if n in expect.fields):
                return [f"{NEAREST}{each.lines[0]}", *each.lines[1:]]
        if not told:
            return [f"{NEAREST}no event had a key that the rule sees"]
        return [f"{NEAREST}no event of that key was seen"]


# ------------------------------------------------------------------------------------- values


def _json_event(event: EventType, given: TestEvent) -> dict[str, object]:
    """The object a source would send: what the test gives, its type, and its time."""
    body = deepcopy({"type": event.discriminator, **given.value})
    for field in event.fields:
        if field.name == event.time_field:
            inner = body
            for name in field.source[:-1]:
                below = inner.setdefault(name, {})
                assert isinstance(below, dict)
                inner = below
            inner.setdefault(field.source[-1], TEST_EPOCH_MS + given.at_ms)
    return body


def _for_tests(event: EventType) -> EventType:
    """All fields optional; an event that is only emitted has a field of event time too."""
    fields = tuple(_optional_field(field) for field in event.fields)
    if event.time_field is not None:
        return replace(event, fields=fields)
    time = Field(_TIME, Type(Kind.TIMESTAMP, optional=True), (_TIME,))
    return replace(event, fields=(*fields, time), time_field=_TIME)


def _optional_fields(table: Table) -> Table:
    """A row that leaves a field out has null there; a key it always has."""
    fields = [f if f.name in table.key else _optional_field(f) for f in table.fields]
    return replace(table, fields=tuple(fields))


def _optional_field(field: Field) -> Field:
    return replace(field, type=_optional_type(field.type))


def _optional_type(type: Type) -> Type:
    inner = tuple(_optional_field(field) for field in type.fields)
    return replace(type, optional=True, fields=inner)


def _same(wanted: object, found: object) -> bool:
    numbers = (int, float, Decimal)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, numbers) and isinstance(found, numbers):
        return _exact(wanted) == _exact(found)
    return wanted == found


def _exact(value: int | float | Decimal) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _digits(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value).__name__)


def _since_start(at_ms: int) -> str:
    return duration_text(at_ms - TEST_EPOCH_MS)


def _alerts(count: int) -> str:
    return {0: "no alert", 1: "1 alert"}.get(count, f"{count} alerts")


def _object_text(values: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {_literal(value)}" for name, value in values.items()) + "}"


def _literal(value: object) -> str:
    return orjson.dumps(value, default=_digits).decode()


def place(test: InlineTest, failure: Failure) -> str:
    """`path:line` of a failure."""
    path = Path(test.span.path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:  # rules that came as text
        return test.span.path
    return f"{test.span.path}:{Source(str(path), text).line_column(failure.offset)[0]}"
