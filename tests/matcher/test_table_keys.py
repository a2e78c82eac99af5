"""Rules whose keys are a table's rows: fast equals reference while rows come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from lookup_cases import columns
from model_builders import field
from random_rules import EVENTS, SPAN, ndjson, rules, streams

from dsl.model import Rule, Table
from matcher import limits
from matcher.decode import Decoder
from matcher.lookup.reference_data import ReferenceData, names_of
from matcher.matcher import Match, Matcher, Resolution
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import KeyRow, reference_findings
from matcher.schema import Schema, fields_read
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "500"))
END_MS = 2**62

Key = tuple[object, ...]
Outcome = tuple[Key, int, bool, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """Before the event at `place`, and, if `late`, when time has reached that event already.

    `keys` are written, and all others deleted when `whole`; or they are deleted (`gone`).
    """

    place: int
    late: bool
    keys: tuple[Key, ...]
    gone: bool
    whole: bool


KEYS = st.lists(
    st.tuples(st.sampled_from(("p", "q", "r")), st.sampled_from(("u", "v"))), max_size=3
)


@st.composite
def changes(draw: st.DrawFn, events: int, parts: int) -> list[Change]:
    found = [Change(0, False, (("p", "u")[:parts], ("q", "v")[:parts]), False, True)]
    for _ in range(draw(st.integers(0, 5))):
        keys = tuple(key[:parts] for key in draw(KEYS))
        place, late, gone, whole = draw(
            st.tuples(st.integers(0, events), st.booleans(), st.booleans(), st.booleans())
        )
        found.append(Change(place, late, keys, gone and not whole, whole))
    return sorted(found, key=lambda change: (change.place, change.late))


@dataclass(frozen=True, slots=True)
class Case:
    rule: Rule
    events: list[dict[str, object]]
    changes: list[Change]

    def at_ms(self, change: Change) -> int:
        """What event time the change is made at."""
        if change.late and change.place < len(self.events):
            return int(str(self.events[change.place]["ts"]))
        return int(str(self.events[change.place - 1]["ts"])) if change.place else 0


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rule, events = draw(rules(key_table="rows")), draw(streams())
    return Case(rule, events, draw(changes(len(events), len(rule.keys))))


def table_of(rule: Rule) -> Table:
    names = tuple(f"part{number}" for number in range(len(rule.keys)))
    return Table("rows", tuple(field(name, "string") for name in names), names, None, SPAN)


def outcomes(
    matches: Sequence[Outcome], resolutions: Sequence[tuple[Key, int, int]], *counts: int
) -> tuple[object, ...]:
    return list(matches), list(resolutions), counts


def expected(case: Case) -> tuple[object, ...]:
    read = {event for event, _ in fields_read(case.rule)}
    typed = [
        ReferenceEvent(int(str(e["ts"])), place, str(e["type"]), record(EVENTS[str(e["type"])], e))
        for place, e in enumerate(case.events)
        if e["type"] in read
    ]
    found = reference_findings(case.rule, typed, rows=list(rows(case)))
    return outcomes(
        [(m.key, m.at_ms, m.timer, m.positions) for m in found.matches],
        [(r.key, r.at_ms, r.position) for r in found.resolutions],
        found.capped,
        found.cancelled,
        found.skips_missed,
        found.forgotten,
    )


def rows(case: Case) -> Iterator[KeyRow]:
    known: set[Key] = set()
    for change in case.changes:
        gone = set(change.keys) if change.gone else set()
        came = set() if change.gone else set(change.keys)
        if change.whole:
            gone = known - came
        known = (known | came) - gone
        for keys, alive in (gone, False), (came, True):
            yield from (KeyRow(case.at_ms(change), change.place, key, alive) for key in keys)


@dataclass(slots=True)
class Process:
    """A matcher with its table; a new one takes up what the last one left."""

    matcher: Matcher
    decoder: Decoder
    tables: ReferenceData
    strings: Strings

    @staticmethod
    def of(rule: Rule) -> Process:
        schema, strings = Schema.of(EVENTS, [rule]), Strings()
        tables = ReferenceData([table_of(rule)], strings)
        matcher = Matcher([rule], schema, strings, tables=tables)
        return Process(matcher, Decoder(schema, strings), tables, strings)

    def change(self, change: Change, at_ms: int) -> None:
        first = self.write(change, at_ms)
        self.matcher.follow(self.tables.table("rows"), at_ms, first)

    def write(self, change: Change, at_ms: int) -> int | None:
        """Writes the rows; gives the first version written, but for a change of the whole table."""
        table = self.tables.table("rows")
        names, first = table.declared.key, table.size
        written = [dict(zip(names, key, strict=True)) for key in change.keys]
        keys = columns(table.declared, written, self.strings)
        none = columns(table.declared, [], self.strings)
        if change.whole:
            table.replace(keys, change.place, at_ms)
            return None
        upserts, deletes = (none, keys) if change.gone else (keys, none)
        table.apply(upserts, deletes, change.place, at_ms)
        return first


def detected(case: Case, cuts: Sequence[int], restart: bool) -> tuple[object, ...]:
    process = Process.of(case.rule)
    found: list[Match] = []
    resolutions: list[Resolution] = []
    pages: dict[str, bytes] = {}
    made: list[Change] = []

    def advance(first: int, end: int, watermark_ms: int) -> None:
        nonlocal found, resolutions
        batch = process.decoder.decode(ndjson(case.events[first:end]), first).batch
        found += process.matcher.advance(batch, watermark_ms)
        resolutions += process.matcher.resolutions

    begin = 0
    ends = {*cuts, *(change.place for change in case.changes), len(case.events)}
    for end in sorted(place for place in ends if place <= len(case.events)):
        if end > begin:
            advance(begin, end, int(str(case.events[end - 1]["ts"])))
        for change in (change for change in case.changes if change.place == end):
            advance(end, end, case.at_ms(change))
            process.change(change, case.at_ms(change))
            made.append(change)
        begin = end
        pages.update(process.matcher.snapshot())
        if restart:
            process = restarted(case, process, pages, made)
    advance(begin, begin, END_MS)
    matcher = process.matcher
    counters = matcher.counters[case.rule.name]
    return outcomes(
        [(m.key, m.at_ms, m.timer, tuple((e.step, e.position) for e in m.events)) for m in found],
        [(r.key, r.at_ms, r.position) for r in resolutions],
        counters.capped,
        counters.cancelled,
        counters.skips_missed,
        matcher.losses["forgotten"],
    )


def restarted(
    case: Case, before: Process, pages: dict[str, bytes], made: Sequence[Change]
) -> Process:
    """What was written is there again, then the state; following the table changes nothing."""
    after = Process.of(case.rule)
    for change in made:
        after.write(change, case.at_ms(change))
    after.matcher.restore(pages)
    after.matcher.rows = before.matcher.rows
    after.matcher.follow(after.tables.table("rows"), 0)
    return after


SLOW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CUTS = st.lists(st.integers(0, 24), max_size=4)


@SLOW
@given(cases(), CUTS, st.booleans())
def test_fast_equals_reference_while_rows_come_and_go(
    case: Case, cuts: list[int], restart: bool
) -> None:
    assert detected(case, cuts, restart) == expected(case)


@settings(SLOW, max_examples=max(100, EXAMPLES // 5))
@given(cases(), CUTS, st.booleans())
def test_too_many_runs_are_refused_alike_and_no_row_is_forgotten(
    case: Case, cuts: list[int], restart: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CENSUS_ROWS", 3)
        patch.setattr(limits, "RUNS_PER_RULE_MAX", 1)
        patch.setattr(limits, "OPEN_KEYS_MAX", 1)
        patch.setattr(limits, "KNOWN_KEYS_MAX", 1)
        assert detected(case, cuts, restart) == expected(case)


def test_the_random_cases_do_match() -> None:
    matching = 0

    @seed(0)
    @settings(max_examples=200, deadline=None, database=None)
    @given(cases())
    def count(case: Case) -> None:
        nonlocal matching
        matching += bool(expected(case)[0])

    count()
    assert matching >= 40


@settings(max_examples=1, deadline=None)
@given(rules(key_table="rows"))
def test_a_rule_reads_the_table_of_its_keys(rule: Rule) -> None:
    assert "rows" in set(names_of(rule))
