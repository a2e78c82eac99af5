"""Scalar values as JSON and as text for people.

| kind      | JSON                                        | text without a format spec      |
|-----------|---------------------------------------------|---------------------------------|
| decimal   | number with its exact digits (`12.5`)       | the same digits                 |
| timestamp | string, `2024-12-10T06:55:46.000Z`          | the same                        |
| duration  | whole number of milliseconds                | `1m30s`                         |
| list      | array                                       | items joined by `, `            |
| bool, int, float, string, enum, ip | as they are        | `true`, digits, the text itself |
| null      | null                                        | `null`                          |

The texts are those of `matcher.shown`.  A decimal is `decimal.Decimal` without trailing zeros here;
`exact_digits` writes it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

import orjson

from cep import limits
from dsl.model import Kind, Type
from matcher.shown import decimal_text, duration_text, iso_time, shown

__all__ = [
    "AS_IT_IS",
    "decimal_value",
    "duration_text",
    "exact_digits",
    "iso_time",
    "json_value",
    "text",
]

_NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
_SPEC = re.compile(
    r"(?:.?[<>=^])?[-+ ]?#?0?(?P<width>\d*)[,_]?(?:\.(?P<precision>\d+))?[a-zA-Z%]?", re.DOTALL
)

AS_IT_IS = frozenset(Kind) - {Kind.DECIMAL, Kind.TIMESTAMP, Kind.LIST}
"""Kinds whose scalars are JSON as they are."""


def decimal_value(scaled: int, scale: int) -> Decimal:
    """scaled / 10**scale, exactly, without trailing zeros after the point."""
    return Decimal(decimal_text(scaled, scale))


def json_value(type: Type, value: object) -> object:
    """`value` of `type` as JSON-ready Python; see the module head."""
    if value is None:
        return None
    match type.kind:
        case Kind.DECIMAL if isinstance(value, int):
            return decimal_value(value, type.scale)
        case Kind.TIMESTAMP if isinstance(value, int):
            return iso_time(value)
        case Kind.LIST if isinstance(value, tuple):
            item = type.item or Type(Kind.STRING)
            return [json_value(item, one) for one in value]
    return value


def exact_digits(value: object) -> object:
    """For `orjson.dumps`: a Decimal is a number with its exact digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value.__class__.__name__} has no JSON form here")


def text(type: Type, value: object, spec: str = "") -> str:
    """`value` of `type` for a message; `spec` is a Python format spec, bounded in width.

    A spec that does not suit the value is left out rather than stop a detection; the checker of the
    language refuses such specs beforehand where it can.
    """
    plain = shown(type, value)
    if not spec or not _bounded(spec):
        return plain
    is_number = type.kind in _NUMBERS and value is not None
    try:
        return format(json_value(type, value) if is_number else plain, spec)
    except (ValueError, TypeError):
        return plain


@lru_cache(maxsize=1024)
def _bounded(spec: str) -> bool:
    found = _SPEC.fullmatch(spec)
    if found is None:
        return False
    numbers = (found["width"] or "0", found["precision"] or "0")
    return all(len(n) <= 4 and int(n) <= limits.FORMAT_WIDTH_MAX for n in numbers)
