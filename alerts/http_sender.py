"""The production `HttpSender`: httpx2 with checked addresses and nothing from the environment.

No redirect is followed, no proxy variable is read, no cookie is kept, at most
limits.ANSWER_READ_BYTES of an answer are read.  The URL's host is replaced by a checked address
before the connection is made; the Host header and the TLS name stay those of the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

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


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Sends a request to a checked address of its host, or refuses with `SendError`.

    Connections are kept open per address, so one transport serves one host only: with two hosts on
    one address, a connection opened under the TLS name of one could carry the other's request.
    """

    def __init__(
        self, policy: NetworkPolicy, resolver: Resolver, inner: httpx2.AsyncBaseTransport
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.raw_host.decode("ascii")
        port = port_of(request.url)
        addresses = await checked_addresses(self._policy, self._resolver, host, port)
        for address in addresses[:-1]:
            # A name with several addresses: the next one may be up.
            with contextlib.suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await self._send(request, host, address)
        return await self._send(request, host, addresses[-1])

    async def _send(self, request: httpx2.Request, host: str, address: str) -> httpx2.Response:
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # the Host header of the original URL included
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


class HttpxSender:
    """One client, hence one connection pool, per destination."""

    def __init__(self, policy: NetworkPolicy, resolver: Resolver | None = None) -> None:
        # Its INFO lines hold whole URLs, and a webhook's URL may be a secret.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        logging.getLogger("httpcore2").setLevel(logging.WARNING)
        self._policy = policy
        self._resolver = resolver or SystemResolver()
        self._clients: dict[str, httpx2.AsyncClient] = {}

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
                return await self._exchange(self._client(name, destination), target, headers, body)
        except TimeoutError as error:
            raise SendError(Reason.TIMEOUT, f"no answer in {destination.timeout_ms} ms") from error
        except httpx2.TimeoutException as error:
            raise SendError(Reason.TIMEOUT, type(error).__name__) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ssl.SSLError) as error:
            # The text of these may hold the URL; their kind says enough.
            raise SendError(Reason.NETWORK, _kind(error)) from error

    async def _exchange(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpAnswer:
        async with client.stream("POST", url, headers=dict(headers), content=body) as response:
            kept = bytearray()
            # Raw: an answer that unpacks to gigabytes is not unpacked.
            async for part in response.aiter_raw():
                kept += part
                if len(kept) >= limits.ANSWER_READ_BYTES:
                    break
            answer = bytes(kept[: limits.ANSWER_READ_BYTES])
            return HttpAnswer(response.status_code, _lower(response.headers), answer)

    def _client(self, name: str, destination: HttpSettings) -> httpx2.AsyncClient:
        client = self._clients.get(name)
        if client is None:
            verify = ssl.create_default_context(
                cafile=None if destination.ca_file is None else str(destination.ca_file)
            )
            inner = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, retries=0)
            client = httpx2.AsyncClient(
                transport=PinnedTransport(self._policy, self._resolver, inner),
                trust_env=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                timeout=destination.timeout_ms / 1000,
            )
            self._clients[name] = client
        return client

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


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
