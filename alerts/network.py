"""Which hosts a webhook may reach: refuses everything that is not the public internet.

A URL's host is looked up once, every address found is checked, and the connection goes to a checked
address: a name cannot answer differently the second time.  What the operator allows is listed in
`[network]` of the configuration.  The tables follow the IANA special-purpose address registries;
addresses that carry an IPv4 address inside (NAT64, 6to4, Teredo, ISATAP) are refused as a whole.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Protocol

import httpx2

from alerts import limits
from alerts.errors import SendError
from alerts.reasons import Reason

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORTS = frozenset({80, 443, 8080, 8443})

_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")  # all that is assigned as global unicast
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)  # upper half of the interface id


class Resolver(Protocol):
    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of `host` as text; raises OSError when there is none."""
        ...


class SystemResolver:
    async def resolve(self, host: str, port: int) -> Sequence[str]:
        with suppress(ValueError):
            return [str(ip_address(host))]  # written as it is: nothing to look up
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """`allowed` networks may be called although they are not public; `ports` may be called."""

    allowed: tuple[Network, ...] = ()
    ports: frozenset[int] = DEFAULT_PORTS

    def refusal(self, address: Address) -> str | None:
        """Why `address` may not be called; None if it may."""
        if any(address.version == net.version and address in net for net in self.allowed):
            return None
        if isinstance(address, IPv4Address):
            public = not any(address in net for net in _REFUSED_V4)
        else:
            public = address in _GLOBAL_V6 and not any(address in net for net in _REFUSED_V6)
            public = public and (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP
        return None if public else f"{address} is not a public address and not allowed in [network]"


@lru_cache(maxsize=limits.URLS_KEPT)
def check_url(text: str) -> httpx2.URL:
    """The URL of a webhook, http or https, with a host and no user, fragment or odd characters.

    Raises ValueError; the text of the error does not repeat the URL, which may be a secret.
    """
    if not text.isascii() or not text.isprintable() or any(char in text for char in ' \\<>"`'):
        raise ValueError("a webhook URL has only printable ASCII characters, without spaces or \\")
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError("not a URL") from error
    if url.scheme not in ("http", "https"):
        raise ValueError("a webhook URL starts with http:// or https://")
    if not url.host:
        raise ValueError("a webhook URL names a host")
    if url.userinfo:
        raise ValueError("a webhook URL has no user or password")
    if url.fragment:
        raise ValueError("a webhook URL has no fragment")
    return url


def port_of(url: httpx2.URL) -> int:
    if url.port is not None:
        return url.port
    return 443 if url.scheme == "https" else 80


def parse_network(text: str) -> Network:
    """A CIDR or one address; raises ValueError."""
    return ip_network(text, strict=True)


def parse_address(text: str) -> Address:
    """An address as a resolver returns it: the zone is dropped, IPv4-mapped IPv6 is IPv4."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


async def checked_addresses(
    policy: NetworkPolicy, resolver: Resolver, host: str, port: int
) -> tuple[str, ...]:
    """The addresses that may be connected to; one bad address refuses the whole name.

    Raises `SendError`: BLOCKED by the policy, NETWORK when the name has no address.
    """
    if port not in policy.ports:
        raise SendError(Reason.BLOCKED, f"port {port} is not in ports of [network]")
    try:
        found = [parse_address(text) for text in await resolver.resolve(host, port)]
    except (OSError, UnicodeError, ValueError) as error:
        raise SendError(Reason.NETWORK, "the host name has no address") from error
    for address in found:
        refusal = policy.refusal(address)
        if refusal is not None:
            raise SendError(Reason.BLOCKED, refusal)
    if not found:
        raise SendError(Reason.NETWORK, "the host name has no address")
    return tuple(str(address) for address in found)
