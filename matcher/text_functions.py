"""The functions on texts, one text at a time: what scalar and vectorised evaluation share.

Patterns are compiled once per text of the pattern.  Every function is total on texts: a pattern or
network that does not parse is a ValueError when the expression is prepared, not when events come.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import re2

TextTest: TypeAlias = Callable[[str], bool]


@lru_cache(maxsize=4096)
def regex(pattern: str) -> TextTest:
    """Whether RE2 finds `pattern` anywhere in the text; flags are written in it, as in `(?i)`."""
    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        raise ValueError(f"regular expression {pattern!r}: {error}") from error
    return lambda text: compiled.search(text) is not None


@lru_cache(maxsize=4096)
def like(pattern: str) -> TextTest:
    """SQL's LIKE on the whole text: % is any run of characters, _ any one, \\ escapes the next."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        elif character == "\\":
            parts.append(re2.escape(next(characters, "\\")))
        else:
            parts.append(re2.escape(character))
    compiled = re2.compile("(?s)" + "".join(parts))
    return lambda text: compiled.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def in_cidr(network: str) -> TextTest:
    """Whether a canonical ip address lies in `network`; never across IP versions."""
    parsed = ipaddress.ip_network(network, strict=False)
    return lambda text: ipaddress.ip_address(text) in parsed


def canonical_ip(text: str) -> str | None:
    """The one way to write an address (RFC 5952 for version 6); None if it is not an address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def starts_with(text: str, part: str) -> bool:
    return text.startswith(part)


def ends_with(text: str, part: str) -> bool:
    return text.endswith(part)


def contains(text: str, part: str) -> bool:
    return part in text


TEXT_TO_TEXT: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
}
TEXT_TEST: dict[str, Callable[[str, str], bool]] = {
    "like": lambda text, pattern: like(pattern)(text),
    "regex": lambda text, pattern: regex(pattern)(text),
    "in_cidr": lambda text, network: in_cidr(network)(text),
    "starts_with": starts_with,
    "ends_with": ends_with,
    "contains": contains,
}
