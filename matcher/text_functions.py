"""The functions on texts, one text at a time: what scalar and vectorised evaluation share.

Patterns are compiled once per text of the pattern.  Every function is total on texts: a pattern or
network that does not parse is a ValueError when the expression is prepared, not when events come.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import re2

from matcher.limits import INT_MAX, TEXT_CHARS_MAX

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

_PLAIN_NETWORK = re.compile(
    rf"({_OCTET})\.({_OCTET})\.({_OCTET})\.({_OCTET})(?:/(3[0-2]|[12]?[0-9]))?"
)


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


def canonical_network(text: str) -> str | None:
    """The one way to write a network; None if it is not one.  An address is a network of its own.

    Bits of the host are cut off, and networks of version 4 inside of version 6 are version 4.
    """
    if plain := _PLAIN_NETWORK.fullmatch(text):
        *octets, length = map(int, plain.groups(default="32"))
        base = int.from_bytes(octets) >> 32 - length << 32 - length
        return f"{'.'.join(map(str, base.to_bytes(4)))}/{length}"
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return f"{mapped}/{network.prefixlen - 96}"
    return str(network)


def starts_with(text: str, part: str) -> bool:
    return text.startswith(part)


def ends_with(text: str, part: str) -> bool:
    return text.endswith(part)


def contains(text: str, part: str) -> bool:
    return part in text


@lru_cache(maxsize=4096)
def _finder(pattern: str) -> Any:
    regex(pattern)  # the same refusal
    return re2.compile(pattern)


def extract(text: str, pattern: str, group: int) -> str | None:
    """What RE2's `pattern` finds first: its group of that number, or all of it for 0."""
    found = _finder(pattern).search(text)
    part: str | None = None if found is None else found.group(group)
    return part


def concat(*texts: str) -> str | None:
    """One after another; null when that is longer than `TEXT_CHARS_MAX`."""
    return "".join(texts) if sum(map(len, texts)) <= TEXT_CHARS_MAX else None


def substring(text: str, start: int, count: int = TEXT_CHARS_MAX) -> str:
    """`count` characters from `start`, counted from 0, or from the end when negative."""
    begin = max(0, len(text) + start if start < 0 else start)
    return text[begin : begin + max(0, count)]


def replace(text: str, old: str, new: str) -> str | None:
    """Every `old` as `new`; null when that is longer than `TEXT_CHARS_MAX`."""
    if not old:
        return text
    size = len(text) + text.count(old) * (len(new) - len(old))
    return text.replace(old, new) if size <= TEXT_CHARS_MAX else None


def split(text: str, separator: str) -> tuple[str, ...] | None:
    """The parts between separators; null for an empty separator or a text too long."""
    if not separator or len(text) > TEXT_CHARS_MAX:
        return None
    return tuple(text.split(separator))


def join(items: tuple[object, ...], separator: str) -> str | None:
    return concat(separator.join(str(item) for item in items if item is not None))


def index_of(text: str, part: str) -> int | None:
    """Where `part` begins, counted from 0; null when it does not occur."""
    place = text.find(part)
    return None if place < 0 else place


def subnet(address: str, bits: int) -> str | None:
    """The network of so many leading bits that the address lies in; null when it has fewer."""
    parsed = ipaddress.ip_address(address)
    if not 0 <= bits <= parsed.max_prefixlen:
        return None
    return str(ipaddress.ip_network((parsed, bits), strict=False))


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")
_PRIVATE_6 = ("fc00::/7", "fe80::/10", "::1/128")


def is_private(address: str) -> bool:
    """Not routed on the internet: RFC 1918, loopback, link-local and their like of version 6."""
    return any(in_cidr(network)(address) for network in (*_PRIVATE, *_PRIVATE_6))


_INT = re.compile(r"\s*[+-]?[0-9]{1,19}\s*", re.ASCII)
_FLOAT = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)


def parse_int(text: str) -> int | None:
    """A whole number of 64 bits, or null."""
    number = int(text) if len(text) < 100 and _INT.fullmatch(text) else INT_MAX + 1
    return number if -INT_MAX <= number <= INT_MAX else None


def parse_float(text: str) -> float | None:
    """A finite number, or null."""
    number = float(text) if len(text) < 1000 and _FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


TEXT_TO_TEXT: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "trim_start": str.lstrip,
    "trim_end": str.rstrip,
}
TEXT_TEST: dict[str, Callable[[str, str], bool]] = {
    "like": lambda text, pattern: like(pattern)(text),
    "regex": lambda text, pattern: regex(pattern)(text),
    "in_cidr": lambda text, network: in_cidr(network)(text),
    "starts_with": starts_with,
    "ends_with": ends_with,
    "contains": contains,
}
PATTERNS: dict[str, Callable[[str], object]] = {
    "like": like,
    "regex": regex,
    "in_cidr": in_cidr,
    "extract": _finder,
}
"""Operators whose second argument is a literal that must parse."""
