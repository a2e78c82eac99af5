"""Tables answer as the naive history does: any changes, positions, compactions and restarts."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_cases import NUMBERS, PRICES, SERVERS, TABLES, ZONES, columns, ints

from dsl.model import Table
from matcher.lookup import table as table_module
from matcher.lookup.history import History
from matcher.lookup.reference_data import ReferenceData
from matcher.lookup.table import FROM_THE_BEGINNING, Applied
from matcher.strings import Strings

EXAMPLES = int(os.environ.get("CEP_EXAMPLES", "1000")) // 10
Row = Mapping[str, object]
TEXTS = st.sampled_from(("a", "b", "c", "d"))
SMALL = st.integers(-2, 2)
NETWORKS = (
    *("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "192.168.0.0/16"),
    *("2001:db8::/32", "2001:db8:8000::/33", "::/0", "2001:db8::1/128", "8000::/1"),
)
ADDRESSES = ("10.1.2.3", "10.1.9.9", "10.200.0.1", "8.8.8.8", "2001:db8::1", "2001:db8:8000::5")
ROWS = {
    "servers": st.fixed_dictionaries(
        {"host": TEXTS, "owner": st.none() | TEXTS, "tier": st.none() | SMALL},
        optional={"w": st.floats(allow_nan=False)},
    ),
    "prices": st.fixed_dictionaries(
        {"shop": TEXTS, "item": SMALL, "on": st.booleans(), "price": st.floats(0, 1)}
    ),
    "numbers": st.fixed_dictionaries({"value": SMALL}),
    "zones": st.fixed_dictionaries({"net": st.sampled_from(NETWORKS), "zone": st.none() | TEXTS}),
}


@st.composite
def changes(draw: st.DrawFn) -> tuple[Table, bool, list[Row], list[Row]]:
    """A table; whether the rows replace all others; rows to write; rows whose keys to delete."""
    table = draw(st.sampled_from(TABLES))
    rows = ROWS[table.name]
    return table, draw(st.booleans()), draw(st.lists(rows, max_size=5)), draw(st.lists(rows))


def key_of(table: Table, row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in table.key)


def write(history: History, live: dict[str, dict[object, Row]], change, position: int) -> None:  # type: ignore[no-untyped-def]  # what `changes` draws
    """The change as single writes and deletions."""
    table, replaces, rows, deleted = change
    known = live.setdefault(table.name, {})
    new = {key_of(table, row): row for row in rows}
    gone = set(known) - set(new) if replaces else {key_of(table, row) for row in deleted}
    for key, row in new.items():
        if replaces or key not in gone:
            history.write(table.name, position, row)
            known[key] = row
    for key in gone:
        known.pop(key, None)
        history.delete(table.name, position, key)  # type: ignore[arg-type]  # a key


def asked(table: Table) -> list[tuple[object, ...]]:
    match table.name:
        case "servers":
            return [(text,) for text in "abcde"]
        case "prices":
            return [(s, i, b) for s in "ae" for i in (-2, 0, 2) for b in (True, False)]
        case "numbers":
            return [(number,) for number in range(-3, 3)]
    return [(address,) for address in ADDRESSES]


@settings(deadline=None, max_examples=EXAMPLES)
@given(
    st.lists(st.tuples(changes(), st.integers(0, 3), st.booleans(), st.integers(0, 5)), max_size=12)
)
def test_any_change_is_seen_from_its_position_on(
    steps: list[tuple[tuple[Table, bool, list[Row], list[Row]], int, bool, int]],
) -> None:
    strings = Strings()
    data, history = ReferenceData(TABLES, strings), History(TABLES)
    live: dict[str, dict[object, Row]] = {}
    pages: dict[str, bytes] = {}
    position, horizon, loaded = 0, -1, set[str]()
    for change, gap, restart, behind in steps:
        table, replaces, rows, deleted = change
        position += gap
        written = columns(table, rows, strings)
        at = position if table.name in loaded or not replaces else FROM_THE_BEGINNING
        loaded.add(table.name)
        if replaces:
            data.load(table.name, written, 0, position, 10 * position)
        else:
            gone = columns(table, deleted, strings, keys_only=True)
            data.apply(table.name, written, gone, position, 10 * position)
        write(history, live, change, at)
        assert data.table(table.name).rows == len(live[table.name])
        horizon = max(horizon, position - behind)
        pages |= data.changed_pages(horizon)
        if restart:
            pages = {name: page for name, page in pages.items() if page}
            strings = Strings()
            strings.codes(["other", "codes", "d"])
            data = ReferenceData(TABLES, strings)
            assert data.restore(pages) == ([], [])
            assert table_module.SPARE_MIN < 0 or data.changed_pages(horizon) == {}
        for each in (table, *(TABLES if restart else ())):
            answers_like(data, history, each, strings, range(horizon, position + 2))


def answers_like(
    data: ReferenceData, history: History, table: Table, strings: Strings, positions: range
) -> None:
    name = table.name
    pairs = [(key, position) for key in asked(table) for position in positions]
    key_rows = [dict(zip(table.key, key, strict=True)) for key, _ in pairs]
    found = data.table(name).find(
        columns(table, key_rows, strings, keys_only=True), ints(*(at for _, at in pairs))
    )
    for (key, position), version in zip(pairs, found.tolist(), strict=True):
        assert history.holds(name, key, position) == (version >= 0)
        assert data.holds(name, key, position) == (version >= 0)
        for field in table.fields:
            if field.name not in ("net", *table.key):
                wanted = history.value(name, field.name, key, position)
                assert data.value(name, field.name, key, position) == wanted


@pytest.fixture
def eager_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "SPARE_MIN", -10)


@pytest.mark.usefixtures("eager_compaction")
def test_compaction_changes_no_answer() -> None:
    test_any_change_is_seen_from_its_position_on()


def test_null_finds_nothing() -> None:
    data = ReferenceData(TABLES, Strings())
    assert not data.holds("servers", (None,), 5)
    assert not data.holds("prices", ("a", None, True), 5)
    assert data.table("numbers").find([ints(-(2**63))], ints(0)).tolist() == [-1]
    assert data.table("zones").find([ints(-(2**63))], ints(0)).tolist() == [-1]


def test_what_is_the_same_is_not_written_again() -> None:
    strings = Strings()
    table = ReferenceData(TABLES, strings).table("servers")
    rows = columns(SERVERS, [{"host": "a", "w": 1.5}, {"host": "b"}], strings)
    assert table.replace(rows, 0, 0) == Applied(2, 0, 0)
    assert table.replace(rows, 5, 0) == Applied(0, 0, 0)
    other = columns(SERVERS, [{"host": "a", "owner": "x"}, {"host": "c"}], strings)
    assert table.replace(other, 6, 0) == Applied(1, 1, 1)
    assert (table.rows, table.size) == (2, 5)


def test_the_last_of_rows_with_one_key_counts() -> None:
    strings = Strings()
    table = ReferenceData(TABLES, strings).table("servers")
    table.replace(
        columns(SERVERS, [{"host": "a", "tier": 1}, {"host": "a", "tier": 2}], strings), 0, 0
    )
    assert table.scalar("tier", table.find_one(("a",), 0)) == 2


def test_keys_are_listed_as_they_are_and_as_they_were_written() -> None:
    strings = Strings()
    data = ReferenceData(TABLES, strings)
    table = data.table("numbers")
    assert [len(column) for column in table.keys_now()] == [0]
    data.load("numbers", columns(NUMBERS, [{"value": 3}, {"value": 1}], strings), 0, 7, 70)
    first = table.size
    data.apply("numbers", columns(NUMBERS, [{"value": 2}], strings), [ints(3)], 9, 90)
    (keys,), alive = table.keys_written(first)
    assert list(zip(keys.tolist(), alive.tolist(), strict=True)) == [(2, True), (3, False)]
    (now,) = table.keys_now()
    assert sorted(now.tolist()) == [1, 2]


def test_a_hundred_thousand_rows_take_tens_of_bytes_each() -> None:
    strings = Strings()
    table = ReferenceData(TABLES, strings).table("servers")
    names = strings.codes([f"host-{n}" for n in range(100_000)])
    owners = strings.codes(["x"] * 100_000)
    table.replace([names, owners, np.arange(100_000), np.ones(100_000)], 0, 0)
    arrays = [*table.columns, table.since, table.alive, table._prior, table._newest]
    assert sum(array.nbytes for array in arrays) <= 60 * 100_000


def test_pages_of_single_changes_stay_few() -> None:
    strings = Strings()
    data = ReferenceData((PRICES,), strings)
    pages: dict[str, bytes] = {}
    for number in range(200):
        row = {"shop": "a", "item": number, "on": True, "price": 0.5}
        data.apply("prices", columns(PRICES, [row], strings), [ints()] * 3, number, 0)
        pages |= data.changed_pages(number)
        pages = {name: page for name, page in pages.items() if page}
        assert len(pages) <= 10


def test_a_table_declared_otherwise_starts_empty_and_says_so() -> None:
    strings = Strings()
    data = ReferenceData((ZONES,), strings)
    data.load("zones", columns(ZONES, [{"net": "10.0.0.0/8"}], strings), 0, 0, 0)
    pages = data.changed_pages(0)
    other = Table("zones", ZONES.fields[:1], ("net",), None, ZONES.span)
    fresh = ReferenceData((other,), Strings())
    dropped, notices = fresh.restore(pages)
    assert sorted(dropped) == sorted(pages)
    assert notices == ["the stored rows of zones are dropped: its declaration has changed"]
