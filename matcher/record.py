"""One event, read plainly: the naive twin of the columnar decoder, and its slow path.

    read_line(raw bytes) → JSON object → envelope → record(event type, object) → {path: scalar}

Scalars are as documented in `dsl.model`.  Whatever is wrong with an event is a `BadEvent` with a
reason a person can act on; nothing else is raised, for any bytes.  Numbers keep the text they were
written with until the type of their field is known, so decimals round once, half to even.

Of a CloudEvents envelope (an object with `specversion` and an object `data`) the fields are those
of `data`; the type is the envelope's `type`, and the time falls back to the envelope's `time`.
"""

from __future__ import annotations

import decimal
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

import numpy as np

from dsl.model import EventType, Field, Kind, Path, Type
from matcher.limits import (
    DECIMAL_SCALED_MAX,
    EVENT_BYTES_MAX,
    EVENT_DEPTH_MAX,
    INT_MAX,
    TIMESTAMP_MS_MAX,
    TIMESTAMP_MS_MIN,
)
from matcher.schema import source_of
from matcher.text_functions import canonical_ip, canonical_network
from matcher.timestamps import datetime_ms, timestamp_ms

Record: TypeAlias = Mapping[Path, object]


class BadEvent(Exception):
    """The event cannot be used; `str(error)` is the reason."""


class NumberText(str):
    """A JSON number as it was written."""

    __slots__ = ()


def number_text(text: str) -> NumberText:
    """A number written outside of JSON; raises BadEvent for any other text."""
    if not _NUMERIC.fullmatch(text):
        raise BadEvent(f"{text[:40]!r} is not a number")
    return NumberText(text)


# ------------------------------------------------------------------------------------ JSON text


def read_line(raw: bytes) -> dict[str, object]:
    """The JSON object in `raw`; numbers that are not short integers are `NumberText`."""
    value = read_value(raw)
    if not isinstance(value, dict):
        raise BadEvent(f"expected a JSON object, got {_name_of(value)}")
    return value


def read_value(raw: bytes) -> object:
    """The JSON value in `raw`; see `read_line`."""
    if len(raw) > EVENT_BYTES_MAX:
        raise BadEvent(f"event of {len(raw)} bytes; at most {EVENT_BYTES_MAX} are read")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadEvent(f"not UTF-8 at byte {error.start}") from None
    if nesting_depth(raw) > EVENT_DEPTH_MAX:
        raise BadEvent(f"nested deeper than {EVENT_DEPTH_MAX} brackets")
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise BadEvent(f"not JSON: {error.msg} at character {error.pos}") from None


def nesting_depth(raw: bytes) -> int:
    """The most brackets open at one place, not counting those in strings."""
    if raw.count(b"{") + raw.count(b"[") <= EVENT_DEPTH_MAX:
        return 0  # not exactly, but no deeper than allowed
    depth = deepest = 0
    for token in _BRACKET_OR_STRING.finditer(raw):
        first = token.group()[0]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def _refuse_constant(name: str) -> object:
    raise BadEvent(f"{name} is not a number in JSON")


_JSON = json.JSONDecoder(
    parse_float=NumberText,
    parse_int=lambda text: int(text) if len(text) <= 20 else NumberText(text),
    parse_constant=_refuse_constant,
)


# ------------------------------------------------------------------------------------ envelope


def read_event(
    events: Mapping[str, EventType], raw: bytes | Mapping[str, object]
) -> tuple[EventType, int, Record] | None:
    """(event type, event time in ms, record), or None if no rule reads events of this type.

    `events` maps the discriminator to the event type.
    """
    value = read_line(raw) if isinstance(raw, bytes) else raw
    name = value.get("type")
    if name is None:
        raise BadEvent('no "type"')
    if not isinstance(name, str) or isinstance(name, NumberText):
        raise BadEvent(f'"type": expected string, got {_name_of(name)}')
    event = events.get(name)
    if event is None:
        return None
    fields = record(event, payload(value, event))
    ts = fields.get((event.time_field,)) if event.time_field is not None else None
    if not isinstance(ts, int):
        raise BadEvent("no event time")
    return event, ts, fields


def payload(value: Mapping[str, object], event: EventType) -> Mapping[str, object]:
    """The object that holds the fields: `value`, or the data of a CloudEvents envelope."""
    data = value.get("data")
    if value.get("specversion") is None or not isinstance(data, dict):
        return value
    for item in event.fields:
        source = item.source
        if item.name == event.time_field and len(source) == 1 and data.get(source[0]) is None:
            return {**data, source[0]: value.get("time")}
    return data


# ------------------------------------------------------------------------------------ fields


def record(event: EventType, value: Mapping[str, object], *, strict: bool = True) -> Record:
    """The fields of `event` in the JSON object `value`, by path; fields of records one by one.

    A record or list is present in the result under its own path too: True, or a tuple of items.
    With `strict=False` a field that is wrong or missing is null instead of a BadEvent.
    """
    found: dict[Path, object] = {}
    for item in event.fields:
        _read_field(item, value, (), (), True, strict, found)
    return found


def _read_field(
    item: Field,
    value: Mapping[str, object],
    prefix: Path,
    parent: tuple[str, ...],
    parent_present: bool,
    strict: bool,
    found: dict[Path, object],
) -> None:
    path = (*prefix, item.name)
    source = source_of(item, parent)
    try:
        json_value = _look_up(value, source)
        if json_value is None and parent_present and not item.type.optional:
            raise BadEvent("missing, and not optional")
        scalar = None if json_value is None else scalar_of(json_value, item.type)
    except BadEvent as error:
        if strict:
            raise BadEvent(f"field {'.'.join(path)}: {error}") from None
        scalar = None
    found[path] = scalar
    if item.type.kind is Kind.RECORD:
        for inner in item.type.fields:
            _read_field(inner, value, path, source, scalar is not None, strict, found)


def _look_up(value: Mapping[str, object], source: Sequence[str]) -> object:
    """The value at the place `source`; null anywhere on the way is null."""
    here: object = value
    for name in source:
        if here is None:
            return None
        if not isinstance(here, Mapping):
            raise BadEvent(f"expected an object around {name!r}, got {_name_of(here)}")
        here = here.get(name)
    return here


# ------------------------------------------------------------------------------------ scalars


def scalar_of(value: object, declared: Type) -> object:
    """A JSON value that is not null as a scalar of `declared`; NumPy scalars are read as well."""
    if isinstance(value, np.generic):
        value = value.item()
    return _READERS[declared.kind](value, declared)


def _read_bool(value: object, declared: Type) -> bool:
    if not isinstance(value, bool):
        raise _mismatch("bool", value)
    return value


def _read_int(value: object, declared: Type) -> int:
    """An integer; 2.0 and 2e0 are integers too."""
    if isinstance(value, int) and not isinstance(value, bool):
        whole = value
    elif isinstance(value, float | NumberText):
        number = _decimal_of_text(str(value))
        if number.adjusted() > 20:
            raise BadEvent("out of 64 bits")
        if number != number.to_integral_value():
            raise _mismatch("int", value)
        whole = int(number)
    else:
        raise _mismatch("int", value)
    if not -INT_MAX <= whole <= INT_MAX:
        raise BadEvent("out of 64 bits")
    return whole


def _read_float(value: object, declared: Type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | NumberText):
        raise _mismatch("float", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadEvent("out of the range of float" if number == number else "NaN is not a number")
    return number


def _read_decimal(value: object, declared: Type) -> int:
    """The number or numeric text, scaled and rounded half to even."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise _mismatch("decimal", value)
    number = value if isinstance(value, Decimal) else _decimal_of_text(str(value))
    if not number.is_finite():
        raise BadEvent(f"{value} is not a number")
    # Compare magnitudes first: a short text can stand for a number of a billion digits.
    magnitude = number.adjusted() + declared.scale
    if not number or magnitude < -2:
        return 0
    if magnitude > 16:
        raise BadEvent(f"decimal({declared.scale}) holds less than 2**53 units of its last place")
    scaled = int(_EXACT.to_integral_value(_EXACT.scaleb(number, declared.scale)))
    if abs(scaled) >= DECIMAL_SCALED_MAX:
        raise BadEvent(f"decimal({declared.scale}) holds less than 2**53 units of its last place")
    return scaled


_NUMERIC = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EXACT = decimal.Context(
    prec=2 * EVENT_BYTES_MAX, rounding=decimal.ROUND_HALF_EVEN, traps=[]
)  # no text that is read has more digits


def _decimal_of_text(text: str) -> Decimal:
    if not _NUMERIC.fullmatch(text):
        raise BadEvent(f"{text[:40]!r} is not a number")
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent.lstrip("+-0")) > 12:  # beyond what Decimal holds: only the sign matters
        digits = mantissa.strip("-").replace(".", "").strip("0")
        if not digits:
            return Decimal(0)
        exponent = "-999999" if exponent.startswith("-") else "999999"
        mantissa = "1"
    return Decimal(f"{mantissa}e{exponent}" if exponent else mantissa)


def _read_string(value: object, declared: Type) -> str:
    if not isinstance(value, str) or isinstance(value, NumberText):
        raise _mismatch("string", value)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadEvent("half of a surrogate pair is not text") from None
    return value


def _read_timestamp(value: object, declared: Type) -> int:
    """RFC 3339 text, or a whole number of ms since the epoch."""
    ms: int | None
    if isinstance(value, str) and not isinstance(value, NumberText):
        ms = timestamp_ms(value)
        if ms is None:
            raise BadEvent(f"{value[:40]!r} is not a timestamp")
        return ms
    if isinstance(value, datetime):
        return datetime_ms(value)
    if isinstance(value, bool) or not isinstance(value, int | float | NumberText):
        raise _mismatch("timestamp", value)
    ms = _read_int(value, declared)
    if not TIMESTAMP_MS_MIN <= ms <= TIMESTAMP_MS_MAX:
        raise BadEvent("timestamp outside of the years 1 to 9999")
    return ms


def _read_duration(value: object, declared: Type) -> int:
    """A whole number of ms."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    return _read_int(value, declared)


def _read_ip(value: object, declared: Type) -> str:
    text = _read_string(value, declared)
    canonical = canonical_ip(text)
    if canonical is None:
        raise BadEvent(f"{text[:60]!r} is not an ip address")
    return canonical


def _read_cidr(value: object, declared: Type) -> str:
    text = _read_string(value, declared)
    canonical = canonical_network(text)
    if canonical is None:
        raise BadEvent(f"{text[:60]!r} is not a network")
    return canonical


def _read_enum(value: object, declared: Type) -> str:
    text = _read_string(value, declared)
    if text not in declared.values:
        raise BadEvent(f"{text[:40]!r} is not one of {', '.join(declared.values)}")
    return text


def _read_list(value: object, declared: Type) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise _mismatch("list", value)
    item = declared.item
    if item is None:
        return tuple(value)
    return tuple(None if inner is None else scalar_of(inner, item) for inner in value)


def _read_record(value: object, declared: Type) -> bool:
    if not isinstance(value, Mapping):
        raise _mismatch("object", value)
    return True


_READERS: dict[Kind, Callable[[object, Type], object]] = {
    Kind.BOOL: _read_bool,
    Kind.INT: _read_int,
    Kind.FLOAT: _read_float,
    Kind.DECIMAL: _read_decimal,
    Kind.STRING: _read_string,
    Kind.TIMESTAMP: _read_timestamp,
    Kind.DURATION: _read_duration,
    Kind.IP: _read_ip,
    Kind.CIDR: _read_cidr,
    Kind.ENUM: _read_enum,
    Kind.LIST: _read_list,
    Kind.RECORD: _read_record,
}


def _mismatch(expected: str, value: object) -> BadEvent:
    return BadEvent(f"expected {expected}, got {_name_of(value)}")


def _name_of(value: object) -> str:
    """What JSON calls a value of this Python type."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case NumberText() | int() | float() | Decimal():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case Mapping():
            return "object"
    return type(value).__name__
