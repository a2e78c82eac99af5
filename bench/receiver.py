"""A receiver of webhooks that takes everything; prints its port, and serves until it is ended."""

from __future__ import annotations

import asyncio


class _Connection(asyncio.Protocol):
    """Enough of HTTP for one client that sends one request after the other."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, _, after = head.partition(b"content-length:")
            size = end + 4 + int(after.split(b"\r\n", 1)[0])
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
