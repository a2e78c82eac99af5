"""The production `HttpSender`: httpx2's transport, with checked addresses and nothing else.

A transport knows neither redirects nor cookies nor proxies of the environment, and at most
limits.ANSWER_READ_BYTES of an answer are read.  The URL's host is replaced by a checked address
before the connection is made; the Host header and the TLS name stay those of the URL.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from functools import lru_cache

import httpx2

from alerts import limits
from alerts.errors import SendError
from alerts.network import (
    NetworkPolicy,
    Resolver,
    SystemResolver,
    check_url,
    checked_addresses,
    port_of,
)
from alerts.ports import HttpAnswer, HttpSettings
from alerts.reasons import Reason


class HttpxSender:
    """One transport, hence one pool of connections, per destination.

    Connections are kept open per address, so a pool serves one host only: with two hosts on one
    address, a connection opened under the TLS name of one could carry the other's request.
    """

    def __init__(self, policy: NetworkPolicy, resolver: Resolver | None = None) -> None:
        # Its INFO lines hold whole URLs, and a webhook's URL may be a secret.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        logging.getLogger("httpcore2").setLevel(logging.WARNING)
        self._policy = policy
        self._resolver = resolver or SystemResolver()
        self._transports: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def post(
        self,
        name: str,
        destination: HttpSettings,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer:
        """One POST within the destination's timeout; raises `SendError`."""
        try:
            target = check_url(url)
        except ValueError as error:
            raise SendError(Reason.BLOCKED, str(error)) from None
        try:
            async with asyncio.timeout(destination.timeout_ms / 1000):
                return await self._post(name, destination, target, headers, body)
        except TimeoutError as error:
            raise SendError(Reason.TIMEOUT, f"no answer in {destination.timeout_ms} ms") from error
        except httpx2.TimeoutException as error:
            raise SendError(Reason.TIMEOUT, type(error).__name__) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ssl.SSLError) as error:
            # The text of these may hold the URL; their kind says enough.
            raise SendError(Reason.NETWORK, _kind(error)) from error

    async def _post(
        self,
        name: str,
        destination: HttpSettings,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer:
        host = url.raw_host.decode("ascii")
        addresses = await checked_addresses(self._policy, self._resolver, host, port_of(url))
        transport = self._transport(name, destination)
        headers = {"host": url.netloc.decode("ascii"), **headers}
        for place, address in enumerate(addresses, start=1):
            request = httpx2.Request(
                "POST",
                _at_address(url, address),
                headers=headers,
                content=body,
                extensions={"sni_hostname": host},
            )
            try:
                return await _exchange(transport, request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if place == len(addresses):
                    raise
                # A name with several addresses: the next one may be up.
        raise SendError(Reason.NETWORK, "the host name has no address")

    def _transport(self, name: str, destination: HttpSettings) -> httpx2.AsyncHTTPTransport:
        transport = self._transports.get(name)
        if transport is None:
            verify = ssl.create_default_context(
                cafile=None if destination.ca_file is None else str(destination.ca_file)
            )
            kept_open = httpx2.Limits(max_keepalive_connections=destination.concurrency)
            transport = httpx2.AsyncHTTPTransport(
                verify=verify, trust_env=False, retries=0, limits=kept_open
            )
            self._transports[name] = transport
        return transport

    async def aclose(self) -> None:
        transports, self._transports = list(self._transports.values()), {}
        for transport in transports:
            await transport.aclose()


async def _exchange(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> HttpAnswer:
    response = await transport.handle_async_request(request)
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    kept = bytearray()
    try:
        # As it is on the wire: an answer that unpacks to gigabytes is not unpacked.
        async for part in stream:
            kept += part
            if len(kept) >= limits.ANSWER_READ_BYTES:
                break
    finally:
        await stream.aclose()
    answer = bytes(kept[: limits.ANSWER_READ_BYTES])
    return HttpAnswer(response.status_code, _lower(response.headers), answer)


@lru_cache(maxsize=limits.URLS_KEPT)
def _at_address(url: httpx2.URL, address: str) -> httpx2.URL:
    return url.copy_with(host=address)


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}


def _kind(error: BaseException) -> str:
    """`ConnectError: ConnectionRefusedError`: the kinds of the error and of its first cause."""
    names = [type(error).__name__]
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, ssl.SSLError)):
            names.append(cause.strerror or type(cause).__name__)
            break
        cause = cause.__cause__ or cause.__context__
    return ": ".join(names)
