"""Literals as text: string escapes, durations, timestamps, addresses, and their canonical form."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[\s\S])")
_DURATION_PART = re.compile(r"([0-9]+)(ms|s|m|h|d|w)")
_UNIT_MS = {
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_FAR_MS = 10**18


def string_body(literal: str) -> tuple[int, str]:
    """Offset and text of what stands between the quotes of a string literal."""
    width = 3 if literal.startswith('"""') else 1
    return width, literal[width:-width]


def unescape(literal: str) -> tuple[str, int | None]:
    """The value of a string literal, and the offset of its first bad escape, if any."""
    offset, body = string_body(literal)
    if "\\" not in body:
        return body, None
    bad: list[int] = []

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code in _ESCAPES:
            return _ESCAPES[code]
        if len(code) == 5 and not "d800" <= code[1:].lower() <= "dfff":
            return chr(int(code[1:], 16))
        bad.append(offset + match.start())
        return match[0]

    return _ESCAPE.sub(replace, body), bad[0] if bad else None


def quote(value: str) -> str:
    """`value` as a string literal in double quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    plain = (c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in escaped)
    return f'"{"".join(plain)}"'


def duration_ms(text: str) -> int:
    """`1m30s` → 90000; a part with more than 15 digits counts as very far."""
    parts = _DURATION_PART.findall(text)
    return sum(int(n) * _UNIT_MS[unit] if len(n) <= 15 else _FAR_MS for n, unit in parts)


def duration_text(ms: int) -> str:
    """The shortest literal for `ms`: 90000 → `1m30s`."""
    parts = []
    for unit, size in _UNIT_MS.items():
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def timestamp_ms(text: str) -> int | None:
    """ISO 8601 to ms since the epoch; without an offset it is UTC.  None when malformed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000
