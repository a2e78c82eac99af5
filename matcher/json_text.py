"""Python values as the JSON text of an event."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson


def json_of(event: Mapping[str, Any]) -> bytes:
    """An event as JSON; what JSON has no way to write becomes null or its text."""
    try:
        return orjson.dumps(event, _json_value, _JSON_OPTIONS)
    except orjson.JSONEncodeError:  # an int beyond 64 bits, a key that is no text …
        try:
            return json.dumps(event, default=_json_value, skipkeys=True).encode()
        except (ValueError, RecursionError):
            return b"{}"


_JSON_OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
)


def _json_value(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(milliseconds=1)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
