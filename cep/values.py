"""Scalar values as JSON and as text for people.

| kind      | JSON                                        | text without a format spec      |
|-----------|---------------------------------------------|---------------------------------|
| decimal   | number with its exact digits (`12.5`)       | the same digits                 |
| timestamp | string, `2024-12-10T06:55:46.000Z`          | the same                        |
| duration  | whole number of milliseconds                | `1m30s`                         |
| list      | array                                       | items joined by `, `            |
| bool, int, float, string, enum, ip | as they are        | `true`, digits, the text itself |
| null      | null                                        | `null`                          |

A decimal is `decimal.Decimal` without trailing zeros here; `cep.render.to_json` writes its digits.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from cep import limits
from dsl.model import Kind, Type

_EPOCH = date(1970, 1, 1)
_DAY_MS = 86_400_000
_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_SPEC = re.compile(
    r"(?:.?[<>=^])?[-+ ]?#?0?(?P<width>\d*)[,_]?(?:\.(?P<precision>\d+))?[a-zA-Z%]?", re.DOTALL
)


def iso_time(at_ms: int) -> str:
    """UTC with milliseconds and `Z`; years outside 1..9999 as numpy writes them."""
    day, ms = divmod(at_ms, _DAY_MS)
    seconds, ms = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z"


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    """The date so many days after 1970-01-01."""
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        import numpy as np

        return str(np.datetime64(day, "D"))


def duration_text(duration_ms: int) -> str:
    """`1d2h`, `1m30s`, `250ms`, `0s`; a minus sign in front of negative ones."""
    if duration_ms == 0:
        return "0s"
    rest = abs(duration_ms)
    parts = ["-"] if duration_ms < 0 else []
    for unit, size_ms in _UNITS_MS:
        count, rest = divmod(rest, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def decimal_text(scaled: int, scale: int) -> str:
    """The digits of scaled / 10**scale, without trailing zeros after the point."""
    whole, part = divmod(abs(scaled), 10**scale)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{part:0{scale}d}".rstrip("0") if part else f"{sign}{whole}"


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


def text(type: Type, value: object, spec: str = "") -> str:
    """`value` of `type` for a message; `spec` is a Python format spec, bounded in width.

    A spec that does not suit the value is left out rather than stop a detection; the checker of the
    language refuses such specs beforehand where it can.
    """
    shown = _shown(type, value)
    if not spec or not _bounded(spec):
        return str(shown)
    try:
        return format(shown, spec)
    except (ValueError, TypeError):
        return str(shown)


def _shown(type: Type, value: object) -> object:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if type.kind is Kind.DURATION and isinstance(value, int):
        return duration_text(value)
    if type.kind is Kind.LIST and isinstance(value, tuple):
        item = type.item or Type(Kind.STRING)
        return ", ".join(str(_shown(item, one)) for one in value)
    return json_value(type, value)


def _bounded(spec: str) -> bool:
    found = _SPEC.fullmatch(spec)
    if found is None:
        return False
    numbers = (found["width"] or "0", found["precision"] or "0")
    return all(len(n) <= 4 and int(n) <= limits.FORMAT_WIDTH_MAX for n in numbers)
