"""The quick reader of fields equals the plain one, on usual and on strange events."""

from __future__ import annotations

import json

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cep.fields import reader
from dsl.model import EventType, Field, Kind, Type
from dsl.source import Span
from matcher.record import payload, read_line, record

TYPES = {
    "text": Type(Kind.STRING),
    "level": Type(Kind.ENUM, values=("low", "high")),
    "flag": Type(Kind.BOOL),
    "count": Type(Kind.INT),
    "ratio": Type(Kind.FLOAT),
    "amount": Type(Kind.DECIMAL, scale=2),
    "fine": Type(Kind.DECIMAL, scale=9),
    "ts": Type(Kind.TIMESTAMP),
    "span": Type(Kind.DURATION),
    "ip": Type(Kind.IP),
}
EVENT = EventType(
    "E",
    "E",
    tuple(Field(name, type, (name,)) for name, type in TYPES.items()),
    "ts",
    None,
    0,
    None,
    Span("", 0, 0),
)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-10_000, 10_000, places=3).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["1.005", "2.675", "0.125", "1e3", "1E-3", "-0", "-0.0", "1e999", "0.5"]),
)
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["low", "high", "192.168.0.1", "::1", "2001:DB8::0:1", "01.2.3.4", "2026-01-01T00:00:00Z"]
    ),
).map(json.dumps)
VALUES = st.one_of(NUMBERS, TEXTS, st.sampled_from(["null", "true", "false", "[]", "{}", '["a"]']))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.dictionaries(st.sampled_from(list(TYPES)), VALUES))
def test_quick_reader_equals_the_plain_one(values: dict[str, str]) -> None:
    raw = ("{" + ",".join(f'"{name}":{value}' for name, value in values.items()) + "}").encode()
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return  # decimals such as 1E+3 are JSON, 00.1 is not
    assert reader(EVENT)(raw) == record(EVENT, payload(read_line(raw), EVENT), strict=False)


def test_fields_of_a_cloudevents_envelope_are_those_of_its_data() -> None:
    raw = b'{"specversion":"1.0","type":"E","data":{"text":"inside"},"text":"outside"}'
    assert reader(EVENT)(raw)[("text",)] == "inside"
