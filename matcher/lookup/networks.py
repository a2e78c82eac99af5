"""Networks that hold an address: the longest first.

A network is (family, high and low 64 bits of its base, length of its prefix).  To find those that
hold an address, the address is cut to each length in use and looked up: a few array operations per
length for all addresses at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import TypeAlias

import numpy as np

from matcher.batch import Column
from matcher.lookup.index import CompositeIndex, Ints, NumberIndex
from matcher.strings import Strings
from matcher.text_functions import is_plain_ipv4

_BITS = {4: 32, 6: 128}
_LOW = 2**64 - 1
_Parse: TypeAlias = Callable[[str], tuple[int, int, int]]


class NetworkIndex:
    """A `KeyIndex` whose keys are codes of networks in canonical text."""

    def __init__(self, strings: Strings, like: NetworkIndex | None = None) -> None:
        """Without keys; what `like` has found out about texts is used again."""
        self._index = CompositeIndex([NumberIndex(), NumberIndex(), NumberIndex()])
        self._networks: _Parsed = like._networks if like else _Parsed(strings, _parse_network)
        self._addresses: _Parsed = like._addresses if like else _Parsed(strings, _parse_address)
        self._lengths: list[int] = []  # of the prefixes in use, 1000 more for version 6

    @property
    def size(self) -> int:
        return self._index.size

    def ids(self, columns: Sequence[Column]) -> Ints:
        return self._index.ids(self._networks.of(np.asarray(columns[0], np.int64)))

    def add(self, columns: Sequence[Column]) -> Ints:
        parsed = self._networks.of(np.asarray(columns[0], np.int64))
        self._lengths = sorted({*self._lengths, *np.unique(parsed[2]).tolist()}, reverse=True)
        return self._index.add(parsed)

    def holding(self, addresses: Ints) -> Iterator[Ints]:
        """For each length, longest first: the id of the network that holds the address, or -1."""
        high, low, family = self._addresses.of(addresses)
        for length in self._lengths:
            version, bits = (6, length - 1000) if length >= 1000 else (4, length)
            mask = (2 ** _BITS[version] - 1) >> (_BITS[version] - bits) << (_BITS[version] - bits)
            masked = [high & _signed(mask >> 64), low & _signed(mask & _LOW)]
            ids = self._index.ids([*masked, np.full(len(addresses), length)])
            yield np.where(family == version, ids, -1)


class _Parsed:
    """Three ints for each code of a text, computed when the code is first seen."""

    def __init__(self, strings: Strings, parse: _Parse) -> None:
        self._strings = strings
        self._parse = parse
        self._known = np.zeros(0, np.bool_)
        self._parts = [np.zeros(0, np.int64) for _ in range(3)]

    def of(self, codes: Ints) -> list[Ints]:
        """Zeros for a null."""
        present = codes[codes >= 0]
        top = int(present.max(initial=-1)) + 1
        if top > len(self._known):
            more = max(top, 2 * len(self._known)) - len(self._known)
            self._known = np.append(self._known, np.zeros(more, np.bool_))
            self._parts = [np.append(part, np.zeros(more, np.int64)) for part in self._parts]
        for code in np.unique(present[~self._known[present]]).tolist():
            for part, value in zip(self._parts, self._parse(self._strings.text(code)), strict=True):
                part[code] = value
            self._known[code] = True
        if not len(self._known):
            return [np.zeros(len(codes), np.int64) for _ in self._parts]
        null = codes < 0
        return [np.where(null, 0, part.take(codes, mode="clip")) for part in self._parts]


def _parse_network(text: str) -> tuple[int, int, int]:
    if ":" not in text:
        plain, _, bits = text.partition("/")
        return 0, _plain(plain), int(bits)
    network = ip_network(text)
    base = int(network.network_address)
    return _signed(base >> 64), _signed(base & _LOW), 1000 + network.prefixlen


def _parse_address(text: str) -> tuple[int, int, int]:
    """High and low 64 bits and the version; version 0, which no network has, for no address."""
    if is_plain_ipv4(text):
        return 0, _plain(text), 4
    try:
        address = ip_address(text)
    except ValueError:
        return 0, 0, 0
    return _signed(int(address) >> 64), _signed(int(address) & _LOW), address.version


def _plain(text: str) -> int:
    """An address of version 4."""
    a, b, c, d = text.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


def _signed(bits: int) -> int:
    """64 bits as the int64 with the same bits."""
    return bits - 2**64 if bits >= 2**63 else bits
