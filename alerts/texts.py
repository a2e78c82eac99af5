"""Texts of events made fit for people: one line, visible, short.  No channel's escapes are here."""

from __future__ import annotations

import unicodedata

import orjson

from alerts import limits

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # controls, formats, surrogates, line ends


def visible(text: str, keep: str = "") -> str:
    """Control characters as `\\x1b`, so that a reader in a terminal shows them harmlessly."""
    return "".join(
        char if char in keep or unicodedata.category(char) not in _UNSEEN else f"\\x{ord(char):02x}"
        for char in text
    )


def one_line(text: str) -> str:
    """`text` without control, format and line characters, and with single spaces."""
    spaced = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in text)
    return " ".join(spaced.split())


def cut(text: str, characters_max: int) -> str:
    """At most so many characters, the last one an ellipsis where some were cut off."""
    return text if len(text) <= characters_max else text[: characters_max - 1].rstrip() + "…"


def short(value: object) -> str:
    """A value of an event: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return _cut(visible(_cut(text)))


def _cut(text: str) -> str:
    return cut(text, limits.VALUE_CHARACTERS_MAX)
