"""Server-sent events: answers that go on until the client leaves or the server stops.

There are never more than `limits.STREAMS_MAX` of them.  A client that was cut off says in
`Last-Event-ID` how far it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from fastapi import Response
from starlette.responses import StreamingResponse

from api import limits
from api.problems import Kind, Problem


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


class Event(NamedTuple):
    """`data` is one line; `id` is what the client says when it comes back."""

    kind: str
    data: bytes = b"{}"
    id: str | None = None


class Streams:
    """Those under way; the server closes them when it stops, for they would not end."""

    def __init__(self) -> None:
        self._under_way = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """To be called where the streams run: in the event loop."""
        self._closing.set()

    async def pause(self, seconds: float) -> bool:
        """Waits that long; False when the server stops."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return True
        return False

    def response(self, events: AsyncIterator[Event | None]) -> Response:
        """Streams `events`; None is a sign of life that clients do not see.

        Raises UNAVAILABLE when there are too many.
        """
        if self._under_way >= limits.STREAMS_MAX:
            raise Problem(Kind.UNAVAILABLE, f"{limits.STREAMS_MAX} streams are being listened to")
        return EventStream(
            self._counted(events),
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _counted(self, events: AsyncIterator[Event | None]) -> AsyncIterator[bytes]:
        self._under_way += 1
        try:
            async for event in events:
                yield b": still here\n\n" if event is None else _frame(event)
        finally:
            self._under_way -= 1


def _frame(event: Event) -> bytes:
    lines = [f"event: {event.kind}".encode(), b"data: " + event.data]
    if event.id is not None:
        lines.insert(0, f"id: {event.id}".encode())
    return b"\n".join(lines) + b"\n\n"
