"""One event read plainly: scalars of every kind, and the reasons for refusing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_builders import event, field, type_of

from matcher.record import BadEvent, nesting_depth, read_event, read_line, record, scalar_of
from matcher.timestamps import BAD_TIMESTAMP, timestamp_ms, timestamps_ms

TS_MS = 1_733_813_746_000


@pytest.mark.parametrize(
    ("kind", "value", "scalar"),
    [
        ("bool", True, True),
        ("int", 5, 5),
        ("int", 5.0, 5),
        ("float", 5, 5.0),
        ("string", "é", "é"),
        ("timestamp", "2024-12-10T06:55:46Z", TS_MS),
        ("timestamp", "2024-12-10 08:55:46.999999+02:00", TS_MS + 999),
        ("timestamp", "2024-12-10T06:55:46", TS_MS),
        ("timestamp", TS_MS, TS_MS),
        ("timestamp", datetime(2024, 12, 10, 6, 55, 46, tzinfo=UTC), TS_MS),
        ("timestamp", datetime(2024, 12, 10, 6, 55, 46), TS_MS),
        (
            "timestamp",
            datetime(2024, 12, 10, 1, 55, 46, tzinfo=timezone(timedelta(hours=-5))),
            TS_MS,
        ),
        ("duration", 1500, 1500),
        ("duration", timedelta(seconds=1.5), 1500),
        ("ip", "2001:DB8:0:0::1", "2001:db8::1"),
        ("ip", "::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_value_becomes_the_scalar_of_its_kind(kind: str, value: object, scalar: object) -> None:
    found = scalar_of(value, type_of(kind))
    assert found == scalar
    assert type(found) is type(scalar)


@pytest.mark.parametrize(
    ("value", "scaled"),
    [
        ("1.005", 100),  # half to even
        ("1.015", 102),
        (1.015, 102),  # a Python float stands for its shortest text
        ("1.0050000000000000000000000000000000001", 101),
        ("-1.005", -100),
        ("1e-400", 0),
        ("0e99999999999999999", 0),
        ("90071992547409.91", 2**53 - 1),
        (12, 1200),
    ],
)
def test_decimal_rounds_half_even_from_its_text(value: object, scaled: int) -> None:
    assert scalar_of(value, type_of("decimal", scale=2)) == scaled


@pytest.mark.parametrize("value", ["90071992547409.92", 2**53, "1e400", "1e99999999999999999"])
def test_decimal_that_would_lose_places_is_refused(value: object) -> None:
    with pytest.raises(BadEvent, match="units of its last place"):
        scalar_of(value, type_of("decimal", scale=2))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_a_number_is_refused_in_python_values_too(value: float) -> None:
    for kind in ("float", "decimal", "int", "timestamp"):
        with pytest.raises(BadEvent):
            scalar_of(value, type_of(kind))


NESTED = event(
    "N",
    field("who", "string", source="actor.user.id"),
    field(
        "geo",
        "record?",
        fields=(
            field("lat", "float", source="geo.lat"),
            field("inner", "record", source="geo.inner", fields=(field("x", "int?"),)),
        ),
    ),
    field("tags", "list?", item=type_of("string")),
)


def test_fields_of_records_are_found_by_path() -> None:
    value = {
        "ts": 0,
        "actor": {"user": {"id": "ann"}},
        "geo": {"lat": 1, "inner": {"x": 3}},
        "tags": ["a", "b"],
    }
    assert record(NESTED, value) == {
        ("ts",): 0,
        ("who",): "ann",
        ("geo",): True,
        ("geo", "lat"): 1.0,
        ("geo", "inner"): True,
        ("geo", "inner", "x"): 3,
        ("tags",): ("a", "b"),
    }


def test_fields_of_an_absent_optional_record_are_null() -> None:
    found = record(NESTED, {"ts": 0, "actor": {"user": {"id": "ann"}}})
    assert found["geo", "lat"] is None
    assert found["geo", "inner", "x"] is None
    assert found[("tags",)] is None


def test_wrong_fields_are_null_when_not_strict() -> None:
    found = record(NESTED, {"ts": "soon", "geo": {"lat": "x", "inner": 1}}, strict=False)
    assert set(found.values()) == {None, True}
    assert found["geo",]


def test_numbers_keep_their_text_until_their_type_is_known() -> None:
    value = read_line(b'{"a": 1.10, "b": 12345678901234567890123}')
    assert value == {"a": "1.10", "b": "12345678901234567890123"}


def test_type_that_is_not_read_is_ignored_whatever_its_fields() -> None:
    assert read_event({"N": NESTED}, b'{"type":"M","ts":[]}') is None


def test_python_dicts_are_read_without_a_round_trip() -> None:
    value = {"type": "N", "ts": datetime(1970, 1, 1), "actor": {"user": {"id": "ann"}}}
    found = read_event({"N": NESTED}, value)
    assert found is not None
    assert found[1] == 0


def test_cloudevents_time_gives_way_to_the_time_in_the_data() -> None:
    declared = event("E")
    envelope = {"specversion": "1.0", "type": "E", "time": 5, "data": {}}
    assert read_event({"E": declared}, envelope)[1] == 5  # type: ignore[index]  # is not None
    envelope["data"] = {"ts": 7}
    assert read_event({"E": declared}, envelope)[1] == 7  # type: ignore[index]  # is not None


def test_depth_counts_open_brackets_outside_of_strings() -> None:
    assert nesting_depth(b"[" * 200) == 200
    assert nesting_depth(b"[]" * 200) == 1
    assert nesting_depth(b'"' + b"[" * 200 + b'"') == 0
    assert nesting_depth(b'"\\"' + b"[" * 200 + b'"') == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_reading_raises_nothing_but_bad_event(raw: bytes) -> None:
    try:
        read_event({"N": NESTED}, raw)
    except BadEvent as error:
        assert str(error)


def test_a_date_is_remembered_and_another_is_not_taken_for_it() -> None:
    written = [
        "\0" * 10 + "T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:59Z",
        "2024-02-29 23:59:59.5Z",
        "2023-02-29T23:59:59Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29T23:60:00Z",
        "2024-02-29T23:59:60Z",
        "2024-02-29T2::59:59Z",
        "2024-02-29T2/:59:59Z",
        "2024-02-29T23;59:59Z",
        "2024-02-29T23:59.59Z",
        "2024-02-29T23:59:5\x7fZ",
        "2024-02-29T23:59:59z",
        "2024-02-29T23:59:59",
        "2024-02-30T23:59:59Z",
        "2024-03-01T00:00:00+00:30",
        "12024-03-01T00:00:00Z",
    ]
    for texts in (written, written[::-1], [text for text in written for _ in range(2)]):
        one_by_one = [timestamp_ms(text) for text in texts]
        expected = [BAD_TIMESTAMP if ms is None else ms for ms in one_by_one]
        assert timestamps_ms(texts).tolist() == expected


def test_any_other_character_at_any_place_of_a_timestamp() -> None:
    stamp = "2024-12-10T11:22:33Z"
    texts = [stamp[:at] + chr(c) + stamp[at + 1 :] for at in range(20) for c in range(128)]
    one_by_one = [timestamp_ms(text) for text in texts]
    assert sum(ms is not None for ms in one_by_one) > 20
    assert timestamps_ms(texts).tolist() == [
        BAD_TIMESTAMP if ms is None else ms for ms in one_by_one
    ]


stamp_like = st.from_regex(
    r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"(\.[0-9]{0,10})?([Zz]|[+-][0-2][0-9](:?[0-6][0-9])?)?\n?\Z"
)


@settings(deadline=None)
@given(st.lists(st.none() | stamp_like | st.text(max_size=25), max_size=10))
def test_column_of_timestamps_equals_one_at_a_time(texts: list[str | None]) -> None:
    expected = []
    for text in texts:
        ms = None if text is None else timestamp_ms(text)
        expected.append(ms if ms is not None else BAD_TIMESTAMP - (text is None))
    assert timestamps_ms(texts).tolist() == expected
