"""Requests of a page to the API of the same program, made for the reader of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2
from fastapi import Request

_FORWARDED = ("host", "cookie", "authorization", "origin")
_NO_CLIENT = ("127.0.0.1", 0)


class ApiRefused(Exception):
    """The API answered with a problem; `document` is what it said, `status` the HTTP status."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.document = document


class Api:
    """The API as the reader of a page may use it."""

    def __init__(self, request: Request) -> None:
        self._headers = {
            name: request.headers[name] for name in _FORWARDED if name in request.headers
        }
        self._base = f"{request.url.scheme}://{request.url.netloc}"
        client = request.client
        self._transport = httpx2.ASGITransport(
            request.app,
            raise_app_exceptions=False,
            client=(client.host, client.port) if client is not None else _NO_CLIENT,
        )

    async def get(self, path: str, **parameters: object) -> Any:
        """The JSON at `path`; parameters that are None or empty are left out.

        Raises `ApiRefused`.
        """
        return (await self.answer(path, **parameters)).json()

    async def answer(self, path: str, **parameters: object) -> httpx2.Response:
        """As `get`, with the headers."""
        given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
        return await self._request("GET", path, params=given)

    async def post(
        self, path: str, body: Mapping[str, object] | None = None, if_match: str | None = None
    ) -> httpx2.Response:
        """Raises `ApiRefused`."""
        return await self._request("POST", path, json=body, headers=_precondition(if_match))

    async def put(
        self,
        path: str,
        body: Mapping[str, object],
        if_match: str | None = None,
        is_new: bool = False,
    ) -> httpx2.Response:
        """`is_new`: there must be none yet.  Raises `ApiRefused`."""
        headers = {"if-none-match": "*"} if is_new else _precondition(if_match)
        return await self._request("PUT", path, json=body, headers=headers)

    async def delete(self, path: str, if_match: str | None = None) -> httpx2.Response:
        """Raises `ApiRefused`."""
        return await self._request("DELETE", path, headers=_precondition(if_match))

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=self._transport, trust_env=False) as client:
            answer = await client.request(
                method, self._base + path, headers=self._headers | dict(headers or {}), **more
            )
        if answer.is_success:
            return answer
        raise ApiRefused(answer.status_code, _document(answer))


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def _precondition(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"if-match": if_match}


def _document(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"title": "The request cannot be answered"}
