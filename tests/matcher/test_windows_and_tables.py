"""Windows and facts that look rows up equal the reference while tables change underneath.

Positions are shuffled against event time, as they are after waiting for the watermark; what no
look-up can ask for any more is let go of after every batch, and restarts read tables from pages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from lookup_cases import columns
from random_lookups import looking_windows, rules_with_looking_facts
from random_rules import EVENTS, ndjson, streams
from test_lookups_equal_reference import TABLES, Written, changes
from test_windows_equal_reference import Outcome, outcome, outcomes_of

from dsl.model import Rule
from matcher.decode import Decoder
from matcher.lookup import table as table_module
from matcher.lookup.history import History
from matcher.lookup.reference_data import ReferenceData
from matcher.matcher import END_OF_TIME_MS, Match, Matcher, Resolution
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_resolved import window_findings
from matcher.reference_windows import with_derived
from matcher.schema import Schema, derived_read
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CUTS = st.lists(st.integers(0, 24), max_size=6)

Event = tuple[int, dict[str, object]]  # position in the log, event


@st.composite
def shuffled(draw: st.DrawFn) -> list[Event]:
    """A stream in order of (time, position); positions follow it only now and then."""
    stream = draw(streams())
    positions = draw(st.permutations(range(len(stream)))) if draw(st.booleans()) else None
    placed = zip(positions or range(len(stream)), stream, strict=True)
    return sorted(placed, key=lambda event: (int(str(event[1]["ts"])), event[0]))


Over = tuple[tuple[object, ...], int, int, int]
Found = tuple[list[Outcome], list[Over]]


def expected(rule: Rule, events: Sequence[Event], written: Sequence[Written]) -> Found:
    """Matches, and of windows the resolutions."""
    rows = History(TABLES)
    for change in written:
        if change.deleted:
            key = tuple(change.row[name] for name in change.table.key)
            rows.delete(change.table.name, change.position, key)
        else:
            rows.write(change.table.name, change.position, change.row)
    typed = [
        ReferenceEvent(
            int(str(e["ts"])), position, str(e["type"]), record(EVENTS[str(e["type"])], e), rows
        )
        for position, e in events
    ]
    seen = with_derived(typed, list(derived_read(rule)))
    if rule.window is None:
        return outcomes_of(rule, seen), []
    over = window_findings(rule, seen).resolutions
    return outcomes_of(rule, seen), [(r.key, r.at_ms, r.position, r.phase) for r in over]


class Process:
    """A matcher and its tables, which are read from pages but for the first time."""

    def __init__(self, rule: Rule, pages: dict[str, bytes], written: Sequence[Written]) -> None:
        schema, strings = Schema.of(EVENTS, [rule]), Strings()
        self.tables = ReferenceData(TABLES, strings)
        if pages:
            own = {name: data for name, data in pages.items() if name.startswith("table/")}
            assert self.tables.restore(own) == ([], [])
        else:
            self._write(written, strings)
        self.matcher = Matcher([rule], schema, strings, tables=self.tables)
        self.matcher.restore(
            {name: data for name, data in pages.items() if not name.startswith("table/")}
        )
        self.decoder = Decoder(schema, strings)

    def _write(self, written: Sequence[Written], strings: Strings) -> None:
        for change in written:
            table, gone = change.table, [change.row] if change.deleted else []
            upserts = columns(table, [] if change.deleted else [change.row], strings)
            deletes = columns(table, gone, strings, keys_only=True)
            self.tables.apply(table.name, upserts, deletes, change.position, 0)

    def feed(self, events: Sequence[Event]) -> list[Match]:
        batch = self.decoder.decode(ndjson([event for _, event in events]), 0).batch
        batch.position = np.array([position for position, _ in events], np.int64)[batch.position]
        return self.matcher.advance(batch, int(str(events[-1][1]["ts"])))

    def pages(self, rest: Sequence[Event]) -> dict[str, bytes]:
        """Changed pages; of what was replaced, only what `rest` or the windows may ask for."""
        asked = [position for position, _ in rest]
        later = self.matcher.oldest_looked_up
        horizon = min([*asked, 10**6] if later is None else [*asked, later])
        return self.tables.changed_pages(horizon) | self.matcher.snapshot()


def detect(
    rule: Rule,
    events: Sequence[Event],
    written: Sequence[Written],
    cuts: Sequence[int],
    restart: bool,
) -> Found:
    found: list[Match] = []
    over: list[Resolution] = []
    pages: dict[str, bytes] = {}
    process = Process(rule, pages, written)
    places = sorted({0, len(events), *(min(place, len(events)) for place in cuts)})
    for begin, end in pairwise(places):
        found += process.feed(events[begin:end])
        over += process.matcher.resolutions
        pages.update(process.pages(events[end:]))
        pages = {name: data for name, data in pages.items() if data}
        if restart and pages:
            process = Process(rule, pages, ())
    found += process.matcher.advance(process.decoder.decode(b"", 0).batch, END_OF_TIME_MS)
    over += process.matcher.resolutions
    resolved = [(r.key, r.at_ms, r.position, r.phase) for r in over]
    return [outcome(match) for match in found], resolved if rule.window is not None else []


@pytest.fixture(autouse=True)
def eager_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "SPARE_MIN", -10)


@SETTINGS
@given(looking_windows(), shuffled(), changes(), CUTS, st.booleans())
def test_windows_that_look_up_equal_the_reference(
    rule: Rule, events: list[Event], written: list[Written], cuts: list[int], restart: bool
) -> None:
    assert detect(rule, events, written, cuts, restart) == expected(rule, events, written)


@SETTINGS
@given(rules_with_looking_facts(), shuffled(), changes(), CUTS, st.booleans())
def test_facts_of_what_is_looked_up_equal_the_reference(
    rule: Rule, events: list[Event], written: list[Written], cuts: list[int], restart: bool
) -> None:
    assert detect(rule, events, written, cuts, restart) == expected(rule, events, written)


@pytest.mark.parametrize("strategy", [looking_windows, rules_with_looking_facts])
def test_random_rules_do_match(strategy: object) -> None:
    """The strategies are worth something: a fair share of random draws has matches."""
    matching = 0

    @seed(1)
    @settings(max_examples=200, deadline=None, database=None)
    @given(strategy(), shuffled(), changes())  # type: ignore[operator]  # a strategy's function
    def count(rule: Rule, events: list[Event], written: list[Written]) -> None:
        nonlocal matching
        matching += bool(expected(rule, events, written)[0])

    count()
    assert matching >= 10
