"""The functions on texts, one text at a time: what scalar and vectorised evaluation share.

Patterns are compiled once per text of the pattern.  Every function is total on texts: a pattern or
network that does not parse is a ValueError when the expression is prepared, not when events come.
"""

from __future__ import annotations

import ipaddress
import re
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
    """Whether the whole text fits: % is any run of characters, _ any one; there is no escape."""
    wild = {"%": ".*", "_": "."}
    parts = [wild.get(character) or re2.escape(character) for character in pattern]
    compiled = re2.compile("(?s)" + "".join(parts))
    return lambda text: compiled.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def in_cidr(network: str) -> TextTest:
    """Whether a canonical ip address lies in `network`; never across IP versions."""
    parsed = ipaddress.ip_network(network, strict=False)

    def test(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in parsed
        except ValueError:  # asked about a text that is no address, whose answer nobody reads
            return False

    return test


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
is_plain_ipv4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}").fullmatch
"""Whether a text is an address of version 4 as nearly all events write it, which is canonical."""


def canonical_ip(text: str) -> str | None:
    """The one way to write an address; None if it is not an address.

    Version 6 is compressed as in RFC 5952, and version 4 inside of version 6 is version 4.
    """
    if is_plain_ipv4(text):
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


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
