"""Times, numbers and problems in words, as templates show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


def parsed(time: object) -> datetime | None:
    """A time as the API writes it; None for anything else."""
    if not isinstance(time, str):
        return None
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def clock(time: object) -> str:
    """`2026-03-01 09:00:00`, in UTC; a dash for none."""
    found = parsed(time)
    return "–" if found is None else found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(time: object) -> str:
    """`3 min ago`, `in 2 h`; a dash for none."""
    found = parsed(time)
    if found is None:
        return "–"
    ms = round((datetime.now(UTC) - found).total_seconds() * 1000)
    if abs(ms) < 1000:
        return "now"
    return f"{duration(ms)} ago" if ms > 0 else f"in {duration(-ms)}"


def duration(ms: object) -> str:
    """The largest unit that fits, rounded down: `2 h`, `850 ms`."""
    if not isinstance(ms, int | float):
        return "–"
    for size, unit in _UNITS:
        if ms >= size:
            return f"{int(ms // size)} {unit}"
    return f"{int(ms)} ms"


def number(value: object) -> str:
    """With thin spaces between thousands."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,}".replace(",", "\u202f")


def words(name: object) -> str:
    """`true_positive` as people say it."""
    return str(name).replace("_", " ")


def values(record: object) -> list[tuple[str, str]]:
    """The members of a JSON object as texts, objects in objects with dotted names."""
    found: list[tuple[str, str]] = []
    _collect(record, "", found)
    return found


def _collect(value: object, name: str, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _collect(inner, f"{name}.{key}" if name else str(key), found)
    else:
        found.append((name, shown(value)))


def shown(value: object) -> str:
    """A JSON value as text; strings without quotes."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


_ADVICE = {
    401: "Sign in again.",
    403: "Ask an administrator for the permission.",
    412: "What you see now is how it is; look at it, and try again if it is still right.",
    429: "Wait a moment.",
}


def problem_lines(document: Mapping[str, Any]) -> list[str]:
    """What is wrong, from a problem of the API: its title, detail, and each error."""
    lines = [str(document.get("title", "The request cannot be answered"))]
    if detail := document.get("detail"):
        lines.append(str(detail))
    errors = document.get("errors") or []
    lines += [_error_line(error) for error in errors if isinstance(error, dict)]
    if advice := _ADVICE.get(int(document.get("status", 0))):
        lines.append(advice)
    return lines


def _error_line(error: Mapping[str, Any]) -> str:
    if "parameter" in error:
        return f"{error['parameter']}: {error.get('reason', '')}"
    where = error.get("line")
    said = str(error.get("message") or error.get("reason") or error)
    return said if where is None else f"line {where}: {said}"
