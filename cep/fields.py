"""The fields of a bound event that a rule's output reads, out of the event's bytes.

    reader(event type)(raw) = record(event type, the JSON object of raw, strict=False)

The plain reader of the matcher is the meaning; here is a quick way for what events usually hold.
Whatever it cannot vouch for goes to the plain reader.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType

import orjson

from dsl.model import EventType, Kind, Path, Type
from matcher.limits import DECIMAL_SCALED_MAX, INT_MAX, TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN
from matcher.record import Record, payload, read_line, record
from matcher.text_functions import canonical_ip
from matcher.timestamps import timestamp_ms

Reader = Callable[[bytes], Record]
Quick = Callable[[object], object]  # the scalar, or None when the plain reader must decide

_NOTHING: Record = MappingProxyType({})


def reader(event: EventType) -> Reader:
    """A function from an event's bytes to the fields of `event`; what does not fit is null."""
    if not event.fields:
        return lambda raw: _NOTHING

    def plain(raw: bytes) -> Record:
        return record(event, payload(read_line(raw), event), strict=False)

    quick: list[tuple[Path, str, Quick]] = []
    for field in event.fields:
        make = _QUICK.get(field.type.kind)
        if make is None or len(field.source) != 1:
            return plain
        quick.append(((field.name,), field.source[0], make(field.type)))

    def read(raw: bytes) -> Record:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return plain(raw)
        if "specversion" in value:
            return plain(raw)
        found: dict[Path, object] = {}
        for path, source, convert in quick:
            json_value = value.get(source)
            if json_value is not None:
                json_value = convert(json_value)
                if json_value is None:
                    return plain(raw)
            found[path] = json_value
        return found

    return read


# ------------------------------------------------------------------------------ quick converters


def _string(_: Type) -> Quick:
    return lambda value: value if type(value) is str else None


def _enum(declared: Type) -> Quick:
    known = frozenset(declared.values)
    return lambda value: value if type(value) is str and value in known else None


def _bool(_: Type) -> Quick:
    return lambda value: value if type(value) is bool else None


def _int(_: Type) -> Quick:
    return lambda value: value if type(value) is int and -INT_MAX <= value <= INT_MAX else None


def _float(_: Type) -> Quick:
    return lambda value: value if type(value) is float and math.isfinite(value) else None


def _decimal(declared: Type) -> Quick:
    factor = 10**declared.scale

    def convert(value: object) -> object:
        """Exact while the nearest integer is beyond doubt: well inside 2**50, away from .5."""
        if type(value) is int:
            scaled = value * factor
            return scaled if abs(scaled) < DECIMAL_SCALED_MAX else None
        if type(value) is float:
            product = value * factor
            if abs(product) < 2**50:
                nearest = round(product)
                return nearest if abs(product - nearest) < 0.25 else None
        return None

    return convert


def _timestamp(_: Type) -> Quick:
    def convert(value: object) -> object:
        if type(value) is int:
            return value if TIMESTAMP_MS_MIN <= value <= TIMESTAMP_MS_MAX else None
        return timestamp_ms(value) if type(value) is str else None

    return convert


def _ip(_: Type) -> Quick:
    return lambda value: _canonical(value) if type(value) is str else None


_canonical = lru_cache(maxsize=65_536)(canonical_ip)

_QUICK: dict[Kind, Callable[[Type], Quick]] = {
    Kind.STRING: _string,
    Kind.ENUM: _enum,
    Kind.BOOL: _bool,
    Kind.INT: _int,
    Kind.FLOAT: _float,
    Kind.DECIMAL: _decimal,
    Kind.TIMESTAMP: _timestamp,
    Kind.DURATION: _int,
    Kind.IP: _ip,
}
