"""Look-ups in rules: the fast matcher equals the reference while tables change underneath.

Positions are shuffled against event time, as they are after waiting for the watermark, so rows must
be those of each event's own place in the log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lookup_cases import columns
from random_rules import (
    BOOL,
    COMPARE,
    EVENTS,
    FIELDS,
    INT,
    INT_MAYBE,
    SPAN,
    STRING,
    STRING_MAYBE,
    call,
    const,
    ndjson,
    ref,
    rules,
    streams,
)

from dsl.model import Aggregate, Expr, Field, KeyRef, Kind, Rule, Step, Table
from matcher.decode import Decoder
from matcher.lookup.history import History
from matcher.lookup.reference_data import ReferenceData
from matcher.matcher import END_OF_TIME_MS, Match, Matcher
from matcher.record import record
from matcher.reference import ReferenceEvent
from matcher.reference_policy import reference_matches
from matcher.schema import Schema
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000"))

ROWS = Table(
    "rows",
    (Field("id", STRING, ("id",)), Field("n", INT_MAYBE, ("n",)), Field("t", STRING_MAYBE, ("t",))),
    ("id",),
    None,
    SPAN,
)
PAIRS = Table(
    "pairs",
    (Field("s", STRING, ("s",)), Field("x", INT, ("x",)), Field("n", INT_MAYBE, ("n",))),
    ("s", "x"),
    None,
    SPAN,
)
LISTED = Table("listed", (Field("value", INT, ("value",)),), ("value",), None, SPAN)
TABLES = (ROWS, PAIRS, LISTED)


@dataclass(frozen=True, slots=True)
class Written:
    """`row` is written, or the row of its key deleted, at `position`."""

    position: int
    table: Table
    row: dict[str, object]
    deleted: bool


@st.composite
def changes(draw: st.DrawFn) -> list[Written]:
    found = []
    for _ in range(draw(st.integers(0, 10))):
        table = draw(st.sampled_from(TABLES))
        number = st.sampled_from((0, 1, 2, None))
        row: dict[str, object] = {
            "id": draw(st.sampled_from(("u", "v", "p", "q"))),
            "s": draw(st.sampled_from(("u", "v"))),
            "x": draw(st.sampled_from((0, 1))),
            "value": draw(st.sampled_from((0, 1, 2))),
            "n": draw(number),
            "t": draw(st.sampled_from(("u", "v", None))),
        }
        known = {field.name: row[field.name] for field in table.fields}
        at = draw(st.sampled_from((-1, *range(0, 24, 3))))
        found.append(Written(at, table, known, draw(st.integers(0, 3)) == 0))
    return sorted(found, key=lambda change: change.position)


# ------------------------------------------------------------------------------------ conditions


@st.composite
def numbers(draw: st.DrawFn, step: int | None, both: bool = False) -> Expr:
    """A number looked up by fields of one event, or of an earlier one and the tested one."""
    key: Expr = ref(draw(st.sampled_from(("s", "k", "g"))), step)
    other = draw(st.integers(0, 5))
    if other == 0:  # a row is looked up even where the event is not there
        key = call("coalesce", key, const("u", STRING), type=STRING_MAYBE)
    if other == 1 and both:
        key = call("coalesce", key, ref("s"), type=STRING_MAYBE)
    if draw(st.booleans()):
        names = (const("rows", STRING), const("n", STRING))
        return call("lookup", *names, key, type=INT_MAYBE)
    names = (const("pairs", STRING), const("n", STRING))
    return call("lookup", *names, ref("s", step), ref("x", step), type=INT_MAYBE)


@st.composite
def listed(draw: st.DrawFn, step: int | None) -> Expr:
    there = call("listed", const("listed", STRING), ref("x", step))
    if draw(st.booleans()):
        there = call("listed", const("rows", STRING), ref("s", step))
    choice = draw(st.integers(0, 2))
    if choice == 0:
        return call("coalesce", there, const(False, BOOL))
    return call("not", there) if choice == 1 else there


def constant(name: str) -> Expr:
    """A number looked up by no event."""
    key = const(name, STRING)
    return call("lookup", const("rows", STRING), const("n", STRING), key, type=INT_MAYBE)


@st.composite
def of_many(draw: st.DrawFn, step: int) -> Expr:
    """A number looked up by the last event of a repeated step, or of all of its events."""
    names = (const("rows", STRING), const("n", STRING))
    if draw(st.booleans()):
        last = Aggregate(STRING_MAYBE, "last", step, ("s",), False, SPAN)
        return call("lookup", *names, last, type=INT_MAYBE)
    each = call("lookup", *names, ref("s"), type=INT_MAYBE)
    return Aggregate(INT_MAYBE, "sum", step, None, False, SPAN, each)


@st.composite
def conditions(
    draw: st.DrawFn, step: Step, singles: Sequence[int], repeated: Sequence[int]
) -> Expr:
    compare = draw(st.sampled_from(COMPARE))
    if repeated and draw(st.integers(0, 2)) == 0:
        return call(compare, draw(of_many(draw(st.sampled_from(repeated)))), const(1, INT))
    choice = draw(st.sampled_from(("own", "own", "listed", "constant", "earlier", "earlier")))
    if choice == "own" or (choice == "earlier" and not singles):
        return call(compare, draw(numbers(None)), const(1, INT))
    if choice == "listed":
        return draw(listed(None))
    if choice == "constant":
        right = ref("x", draw(st.sampled_from(singles))) if singles else ref("x")
        return call(compare, constant(draw(st.sampled_from(("u", "v")))), right)
    earlier = draw(st.sampled_from(singles))
    if draw(st.booleans()):
        return draw(listed(earlier))
    other = ref("x") if draw(st.booleans()) else draw(numbers(None))
    return call(compare, other, draw(numbers(earlier, both=True)))


@st.composite
def where_parts(
    draw: st.DrawFn, rule: Rule, singles: Sequence[int], repeated: Sequence[int]
) -> Expr:
    compare = draw(st.sampled_from(COMPARE))
    if repeated and draw(st.booleans()):
        return call(compare, draw(of_many(draw(st.sampled_from(repeated)))), const(1, INT))
    names = (const("rows", STRING), const("n", STRING))
    if rule.keys and draw(st.booleans()):
        index = draw(st.integers(0, len(rule.keys) - 1))
        key = KeyRef(rule.keys[index].type, index, SPAN)
        if draw(st.booleans()):
            there = call("listed", const("rows", STRING), key)
            return call("coalesce", there, const(False, BOOL))
        return call(compare, call("lookup", *names, key, type=INT_MAYBE), const(1, INT))
    if singles and draw(st.booleans()):
        return call(compare, draw(numbers(draw(st.sampled_from(singles)))), const(1, INT))
    return call(compare, constant("u"), const(1, INT))


@st.composite
def looking_rules(draw: st.DrawFn) -> Rule:
    """A random rule with look-ups added to its conditions."""
    rule = draw(rules())
    steps, singles, repeated = [], list[int](), list[int]()
    for step in rule.steps:
        condition = step.condition
        if draw(st.booleans()):
            more = draw(conditions(step, singles, repeated))
            condition = more if condition is None else call("and", condition, more)
        steps.append(replace(step, condition=condition))
        if not step.repeated and not step.absent:
            singles.append(step.index)
        elif not step.absent:
            repeated.append(step.index)
    where = rule.where
    if draw(st.integers(0, 2)) == 0:
        more = draw(where_parts(rule, singles, repeated))
        where = more if where is None else call("and", where, more)
    return replace(rule, steps=tuple(steps), where=where)


# ------------------------------------------------------------------------------------ the two sides

Event = tuple[int, dict[str, object]]  # position in the log, event
Outcome = tuple[tuple[object, ...], int, bool, tuple[tuple[int, int], ...]]


def expected(rule: Rule, events: Sequence[Event], written: Sequence[Written]) -> list[Outcome]:
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
    return [(m.key, m.at_ms, m.timer, m.positions) for m in reference_matches(rule, typed)]


class Process:
    """A matcher with its tables, as a new process has them."""

    def __init__(self, rule: Rule, written: Sequence[Written]) -> None:
        schema, strings = Schema.of(EVENTS, [rule]), Strings()
        self.tables = ReferenceData(TABLES, strings)
        for change in written:
            table, gone = change.table, [change.row] if change.deleted else []
            upserts = columns(table, [] if change.deleted else [change.row], strings)
            deletes = columns(table, gone, strings, keys_only=True)
            self.tables.apply(table.name, upserts, deletes, change.position, 0)
        self.matcher = Matcher([rule], schema, strings, tables=self.tables)
        self.decoder = Decoder(schema, strings)

    def feed(self, events: Sequence[Event]) -> list[Match]:
        batch = self.decoder.decode(ndjson([event for _, event in events]), 0).batch
        batch.position = np.array([position for position, _ in events], np.int64)[batch.position]
        return self.matcher.advance(batch, int(str(events[-1][1]["ts"])))

    def finish(self) -> list[Match]:
        return self.matcher.advance(self.decoder.decode(b"", 0).batch, END_OF_TIME_MS)


def detect(
    rule: Rule,
    events: Sequence[Event],
    written: Sequence[Written],
    cuts: Sequence[int],
    restart: bool,
) -> list[Outcome]:
    found: list[Match] = []
    pages: dict[str, bytes] = {}
    process = Process(rule, written)
    places = sorted({0, len(events), *(min(place, len(events)) for place in cuts)})
    for begin, end in pairwise(places):
        if restart:
            process = Process(rule, written)
            process.matcher.restore(pages)
        found += process.feed(events[begin:end])
        pages.update(process.matcher.snapshot())
    found += process.finish()
    return [(m.key, m.at_ms, m.timer, tuple((e.step, e.position) for e in m.events)) for m in found]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    looking_rules(),
    streams(),
    st.randoms(use_true_random=False),
    changes(),
    st.lists(st.integers(0, 24), max_size=4),
    st.booleans(),
)
def test_look_ups_equal_the_reference(  # type: ignore[no-untyped-def]  # a seeded random.Random
    rule: Rule,
    stream: list[dict[str, object]],
    random,
    written: list[Written],
    cuts: list[int],
    restart: bool,
) -> None:
    positions = list(range(len(stream)))
    random.shuffle(positions)
    placed = zip(positions, stream, strict=True)
    events = sorted(placed, key=lambda event: (event[1]["ts"], event[0]))  # type: ignore[arg-type, return-value]  # ints
    assert detect(rule, events, written, cuts, restart) == expected(rule, events, written)


def test_kinds_of_the_fields_looked_up_by_are_those_of_the_keys() -> None:
    assert FIELDS["s"].kind is FIELDS["k"].kind is Kind.STRING
    assert FIELDS["x"].kind is Kind.INT
