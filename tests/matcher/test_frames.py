"""Dicts, Arrow tables and data frames give the rows of the same events as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_builders import event, field
from test_decode import EVENTS, PAYMENT, TS, TS_MS, objects, rows_of

from matcher.decode import Decoded, Decoder
from matcher.json_text import json_of
from matcher.record import BadEvent, read_event
from matcher.schema import Schema, leaves
from matcher.strings import Strings

SCHEMA = Schema(EVENTS)


def outcome(decoded: Decoded, strings: Strings) -> tuple[object, ...]:
    dead = [(each.position, each.reason) for each in decoded.dead]
    return rows_of(decoded, SCHEMA, strings), dead, decoded.received, decoded.ignored


def naive(events: Sequence[Mapping[str, Any] | bytes], first: int) -> tuple[object, ...]:
    by_discriminator = {each.discriminator: each for each in EVENTS}
    rows, dead, ignored = [], [], 0
    for position, value in enumerate(events, first):
        try:
            found = read_event(by_discriminator, value)
        except BadEvent as error:
            dead.append((position, str(error)))
            continue
        if found is None:
            ignored += 1
            continue
        declared, ts, record = found
        kept = {leaf.path: record[leaf.path] for leaf in leaves(declared)}
        rows.append((position, declared.name, ts, kept))
    return rows, dead, len(events), ignored


python_only = st.one_of(
    st.sampled_from(
        [
            float("nan"),
            float("inf"),
            Decimal("1.005"),
            Decimal("NaN"),
            datetime(2024, 1, 1, tzinfo=UTC),
            timedelta(seconds=1),
            np.float64(2.5),
            np.int64(3),
            np.bool_(True),
            "\ud800",
            2**70,
            b"x",
            (1, 2),
        ]
    )
)
dicts = st.lists(
    st.tuples(
        objects,
        st.dictionaries(
            st.sampled_from(["ts", "user", "amount", "score", "count", "ok", "geo", "extra"]),
            python_only,
            max_size=1,
        ),
    ).map(lambda both: {**both[0], **both[1]}),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(dicts)
def test_dicts_mean_what_their_json_means(events: list[dict[str, Any]]) -> None:
    strings = Strings()
    decoded = Decoder(SCHEMA, strings).decode_dicts(events, 50)
    assert outcome(decoded, strings) == naive([json_of(each) for each in events], 50)
    for row in range(len(decoded.batch)):
        assert isinstance(json.loads(decoded.batch.raw.line(row)), dict)


def test_python_values_are_written_as_the_json_they_stand_for() -> None:
    event = {
        "at": datetime(2024, 12, 10, 6, 55, 46),
        "span": timedelta(seconds=1.5),
        "amount": Decimal("1.005"),
        "count": np.int64(3),
        "missing": float("nan"),
    }
    assert json.loads(json_of(event)) == {
        "at": "2024-12-10T06:55:46Z",
        "span": 1500,
        "amount": "1.005",
        "count": 3,
        "missing": None,
    }
    assert json.loads(json_of({"big": 2**70})) == {"big": 2**70}


columns = {
    "type": st.sampled_from(["Payment", "Payment", "Payment", "Login", "Other", None]),
    "ts": st.sampled_from([TS, TS_MS, None]),
    "user": st.text(max_size=3) | st.none(),
    "amount": st.one_of(st.none(), st.decimals(-99, 99, places=3).map(float), st.just(1.005)),
    "score": st.one_of(st.none(), st.floats(allow_nan=False)),
    "count": st.none() | st.integers(-(2**63), 2**63 - 1),
    "ok": st.none() | st.booleans(),
    "status": st.sampled_from(["approved", "declined", "maybe", None]),
    "net": st.none() | st.fixed_dictionaries({"ip": st.sampled_from(["::1", "10.0.0.1", "x"])}),
    "span": st.none() | st.timedeltas(timedelta(0), timedelta(days=9)),
    "geo": st.none()
    | st.fixed_dictionaries(
        {"lat": st.none() | st.floats(-9, 9), "n": st.none() | st.integers(0, 9)}
    ),
}
stamp_columns = [
    st.sampled_from([TS, "2024-12-10T06:55:46.5+01:00", "soon"]),
    st.integers(0, 10**13),
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(0, 8))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    wanted = [name for name in columns if name in ("type", "ts") or draw(st.integers(0, 3))]
    made = {name: pa.array(column(columns[name])) for name in wanted if name != "ts"}
    made["ts"] = pa.array(column(draw(st.sampled_from(stamp_columns))))
    if "amount" in made and draw(st.booleans()):
        places = column(st.none() | st.decimals(-99, 99, places=3))
        made["amount"] = pa.array(places, pa.decimal128(9, 3))
    if draw(st.booleans()) and "user" in made and made["user"].type == pa.string():
        made["user"] = made["user"].dictionary_encode()
    return pa.table(made)


@settings(max_examples=300, deadline=None)
@given(tables(), st.booleans())
def test_tables_equal_the_naive_reader(table: pa.Table, twice: bool) -> None:
    if twice:
        table = pa.concat_tables([table, table], promote_options="default")  # two chunks
    strings = Strings()
    decoded = Decoder(SCHEMA, strings).decode_arrow(table, 50)
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    assert outcome(decoded, strings) == naive(rows, 50)
    for row in range(len(decoded.batch)):
        assert isinstance(json.loads(decoded.batch.raw.line(row)), dict)


FRAME = {
    "type": ["Payment", "Payment", "Other"],
    "ts": [datetime(2024, 12, 10, 6, 55, 46)] * 3,
    "user": ["ann", "bob", "cid"],
    "amount": [1.25, 2.0, 3.0],
    "count": [1, None, 3],
    "ok": [True, None, False],
}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_are_read_through_the_arrow_stream(make: Any) -> None:
    schema = Schema([PAYMENT])
    strings = Strings()
    decoded = Decoder(schema, strings).decode_arrow(make(FRAME), 0)
    assert (len(decoded.batch), decoded.ignored, decoded.dead) == (2, 1, [])
    assert decoded.batch.ts.tolist() == [TS_MS, TS_MS]
    count = decoded.batch.columns[schema.column("Payment", ("count",))].tolist()
    assert count[0] == 1
    assert count[1] == np.iinfo(np.int64).min
    amount = decoded.batch.columns[schema.column("Payment", ("amount",))].tolist()
    assert amount == [125, 200]
    first = json.loads(decoded.batch.raw.line(0))
    assert first["ts"] == "2024-12-10T06:55:46Z"
    assert first["user"] == "ann"


def test_table_without_type_gives_dead_letters() -> None:
    decoder = Decoder(SCHEMA, Strings())
    without = decoder.decode_arrow(pa.table({"x": [1, 2]}), 0)
    assert [each.reason for each in without.dead] == ['no "type"'] * 2
    numbers = decoder.decode_arrow(pa.table({"type": [1, 2]}), 0)
    assert [each.reason for each in numbers.dead] == ['"type": expected string, got number'] * 2


def test_date_that_python_does_not_have_is_a_dead_letter() -> None:
    table = pa.table({"type": ["Login"], "ts": pa.array([2**61], pa.timestamp("ms"))})
    decoded = Decoder(Schema([event("Login", field("user", "string?"))]), Strings()).decode_arrow(
        table, 0
    )
    assert len(decoded.dead) == 1


def texts(kind: pa.DataType, values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string()).cast(kind)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
def test_texts_of_every_layout_are_read_alike(kind: pa.DataType) -> None:
    addresses = ["x", None, "::0001", "10.0.0.1", "::ffff:10.0.0.1", "ü"]
    table = pa.table(
        {
            "type": texts(kind, ["Payment", "Other", "Payment", "Payment", "Payment", "Payment"]),
            "ts": pa.array([TS_MS] * 6),
            "user": texts(kind, ["cut off", "ann", "ann", "ünal", "a" * 20, "bob"]),
            "amount": pa.array([1.0] * 6),
            "status": texts(kind, ["approved", None, "approved", None, "declined", "approved"]),
            "net": pa.array([{"ip": address} for address in addresses]),
        }
    ).slice(1)
    strings = Strings()
    decoded = Decoder(SCHEMA, strings).decode_arrow(table, 50)
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    assert outcome(decoded, strings) == naive(rows, 50)
    assert len(decoded.batch) == 3


def test_a_dictionary_may_have_as_many_texts_as_its_indices_can_number() -> None:
    users = [f"u{number}" for number in range(128)]
    indices = pa.array([127, None, 0], pa.int8())
    user = pa.DictionaryArray.from_arrays(indices, pa.array(users))
    strings = Strings()
    table = pa.table({"type": ["Login"] * 3, "ts": [TS_MS] * 3, "user": user})
    decoded = Decoder(SCHEMA, strings).decode_arrow(table, 0)
    codes = decoded.batch.columns[SCHEMA.column("Login", ("user",))].tolist()
    assert [strings.text(codes[0]), strings.text(codes[2])] == ["u127", "u0"]
    assert codes[1] == np.iinfo(np.int64).min


@pytest.mark.parametrize("unused", [0, 40], ids=["few texts", "more texts than rows"])
@pytest.mark.parametrize("null", [None, "Other"], ids=["with null", "without null"])
def test_a_dictionary_may_hold_null_a_text_twice_and_texts_of_no_row(
    unused: int, null: str | None
) -> None:
    def dictionary(indices: list[int | None], texts: list[str | None]) -> pa.Array:
        others = [f"text {number}" for number in range(unused)]
        return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(texts + others))

    table = pa.table(
        {
            "type": dictionary([0, 1, 2, 0, None, 3], ["Payment", "Login", null, "Payment"]),
            "ts": pa.array([TS_MS] * 6),
            "user": dictionary([3, 0, 1, 2, 1, 1], [None, "ann", "ann", "bob"]),
            "amount": pa.array([1.0] * 6),
            "status": dictionary([0, 0, 0, 2, 0, 1], ["approved", null, "declined"]),
        }
    )
    strings = Strings()
    decoded = Decoder(SCHEMA, strings).decode_arrow(table, 50)
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    assert outcome(decoded, strings) == naive(rows, 50)


def test_a_text_that_is_not_utf8_is_a_dead_letter_of_its_own() -> None:
    user = pa.array([b"ann", b"\xff\xfe", b"bob"]).cast(pa.string(), safe=False)
    table = pa.table(
        {"type": ["Payment"] * 3, "ts": [TS_MS] * 3, "user": user, "amount": [1.0] * 3}
    )
    decoded = Decoder(SCHEMA, Strings()).decode_arrow(table, 0)
    assert decoded.batch.position.tolist() == [0, 2]
    assert [each.position for each in decoded.dead] == [1]
    assert decoded.batch.raw.lines(np.array([0, 1]))[1].startswith(b'{"type":"Payment"')


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_rows_are_written_together_as_one_by_one(unit: str, zone: str | None) -> None:
    at = pa.array([TS_MS * 1000, None, -1_000_000]).cast(pa.timestamp("us"))
    at = at.cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    raw = Decoder(SCHEMA, Strings()).decode_arrow(
        pa.table({"type": ["Payment"] * 3, "ts": [TS_MS] * 3, "user": list("abc"),
                  "amount": [1.0] * 3, "at": at, "n": [1, None, 3]}), 0
    ).batch.raw  # fmt: skip
    assert raw.lines(np.arange(3)) == [raw.line(row) for row in range(3)]


def test_a_year_that_python_does_not_have_is_left_out_of_no_other_row() -> None:
    far = pa.array([2**60, 0]).cast(pa.timestamp("ms"))
    table = pa.table({"type": ["Payment"] * 2, "ts": [TS_MS] * 2, "user": ["a", "b"],
                      "amount": [1.0] * 2, "at": far})  # fmt: skip
    lines = Decoder(SCHEMA, Strings()).decode_arrow(table, 0).batch.raw.lines(np.arange(2))
    assert lines[0] == b""
    assert json.loads(lines[1])["at"] == "1970-01-01T00:00:00Z"
