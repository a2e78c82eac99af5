"""Scalar values as JSON and as text for people: tables of cases."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cep import limits
from cep.values import decimal_value, duration_text, iso_time, json_value, text
from dsl.model import Kind, Type

MONEY = Type(Kind.DECIMAL, scale=4)
STRINGS = Type(Kind.LIST, item=Type(Kind.STRING))


@pytest.mark.parametrize(
    ("duration_ms", "shown"),
    [
        (0, "0s"),
        (1, "1ms"),
        (90_000, "1m30s"),
        (-90_500, "-1m30s500ms"),
        (86_400_000, "1d"),
        (30 * 86_400_000 + 3_600_000, "30d1h"),
    ],
)
def test_duration_reads_like_rule_text(duration_ms: int, shown: str) -> None:
    assert duration_text(duration_ms) == shown


@pytest.mark.parametrize(
    ("at_ms", "shown"),
    [
        (1_733_813_746_000, "2024-12-10T06:55:46.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "10000-01-01T00:00:00.000Z"),
    ],
)
def test_time_is_utc_with_milliseconds(at_ms: int, shown: str) -> None:
    assert iso_time(at_ms) == shown


@pytest.mark.parametrize(
    ("scaled", "scale", "shown"),
    [
        (2_500_000, 4, "250"),
        (12_500, 4, "1.25"),
        (1, 4, "0.0001"),
        (-5, 1, "-0.5"),
        (0, 4, "0"),
        (10**15, 0, "1000000000000000"),
        (2**53 - 1, 15, "9.007199254740991"),
    ],
)
def test_decimal_keeps_its_exact_digits(scaled: int, scale: int, shown: str) -> None:
    value = decimal_value(scaled, scale)
    assert format(value, "f") == shown
    assert value == Decimal(scaled) / 10**scale


@pytest.mark.parametrize(
    ("type", "value", "spec", "shown"),
    [
        (MONEY, 2_500_000, ".2f", "250.00"),
        (MONEY, 2_500_000, "", "250"),
        (MONEY, 12_345_678_900, ",.2f", "1,234,567.89"),
        (MONEY, 25, ".1%", "0.2%"),
        (Type(Kind.INT), 7, "03d", "007"),
        (Type(Kind.FLOAT), 3.0, "", "3.0"),
        (Type(Kind.FLOAT), 2.5, ".0f", "2"),
        (Type(Kind.STRING), "ab", ">4", "  ab"),
        (Type(Kind.STRING), "ab", "d", "ab"),
        (Type(Kind.BOOL), True, "", "true"),
        (Type(Kind.INT), None, "", "null"),
        (Type(Kind.INT), None, ".2f", "null"),
        (Type(Kind.DURATION), 90_000, "", "1m30s"),
        (Type(Kind.DURATION), 90_000, ">7", "  1m30s"),
        (Type(Kind.TIMESTAMP), 0, "", "1970-01-01T00:00:00.000Z"),
        (STRINGS, ("a", None, "b"), "", "a, null, b"),
        (Type(Kind.INT), 1, "999999999", "1"),
        (Type(Kind.FLOAT), 1.0, ".999999f", "1.0"),
        (Type(Kind.STRING), "x", "{y}", "x"),
    ],
)
def test_text_follows_the_spec_and_never_fails(
    type: Type, value: object, spec: str, shown: str
) -> None:
    assert text(type, value, spec) == shown
    assert len(text(type, value, spec)) <= limits.FORMAT_WIDTH_MAX


def test_json_values_have_json_types() -> None:
    assert json_value(STRINGS, ("a", None)) == ["a", None]
    assert json_value(Type(Kind.TIMESTAMP), 0) == "1970-01-01T00:00:00.000Z"
    assert json_value(Type(Kind.DURATION), 90_000) == 90_000
    assert json_value(MONEY, None) is None
    assert json_value(Type(Kind.BOOL), False) is False
