"""A request body becomes records of the log, or per-item reasons.

Accepted are one JSON object, an array of objects, and NDJSON; each event goes to the log byte for
byte as it was sent (line breaks between tokens aside).  Whether an event fits its declared type is
decided by the engine, which keeps the misfits as dead letters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import orjson

from api.problems import Kind, Problem
from cep.limits import LINE_BYTES_MAX

_JSON = {
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
}
_NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class ItemError:
    """`index` counts array items or lines from 0."""

    index: int
    reason: str


@dataclass(slots=True)
class Parsed:
    """`lines` are records without line ends, in the order they were sent."""

    lines: list[bytes] = field(default_factory=list)
    errors: list[ItemError] = field(default_factory=list)


def parse_events(content_type: str | None, body: bytes) -> Parsed:
    """Raises `Problem` when the body as a whole cannot be read."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in _NDJSON:
        items = list(enumerate(line.strip(b" \t\r") for line in body.split(b"\n")))
        items = [(index, line) for index, line in items if line]
    elif media_type in _JSON:
        items = list(enumerate(_json_items(body)))
    else:
        accepted = ", ".join(sorted(_JSON | _NDJSON))
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, f"use one of {accepted}")
    parsed = Parsed()
    for index, item in items:
        reason = _refusal(item)
        if reason is None:
            parsed.lines.append(_one_line(item))
        else:
            parsed.errors.append(ItemError(index, reason))
    return parsed


def _json_items(body: bytes) -> list[bytes]:
    text = body.strip(b" \t\r\n")
    if not text.startswith(b"["):
        if not text.startswith(b"{"):
            raise Problem(Kind.MALFORMED_BODY, "expected a JSON object or an array of objects")
        return [text]
    try:
        return [bytes(item) for item in _ITEMS.decode(text)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Problem(Kind.MALFORMED_BODY, "not a JSON array") from error


def _one_line(text: bytes) -> bytes:
    # The text is known to be JSON, where a raw line break stands only between tokens.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def _refusal(item: bytes) -> str | None:
    if len(item) > LINE_BYTES_MAX:
        return f"longer than {LINE_BYTES_MAX} bytes"
    try:
        value = orjson.loads(item)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error.msg} (character {error.pos})"
    return None if isinstance(value, dict) else "not a JSON object"
