"""Appending to streams: all of what is given or nothing, over a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from cep import limits
from cep.log.lines import pieces
from cep.log.redis_partition import Server
from cep.log.redis_wire import Command, Refused, Unavailable, Wire


class Appender:
    """May be called from several threads; raises SourceError with the server's reason."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def append(self, parts: Mapping[str, bytes]) -> None:
        """Terminated lines by stream, in one transaction, many of them to an entry."""
        records, size = limits.APPEND_ENTRY_RECORDS_MAX, limits.APPEND_ENTRY_BYTES_MAX
        added: list[Command] = [
            ("XADD", stream, "*", "data", entry)
            for stream, data in parts.items()
            for entry in pieces(data, records, size)
        ]
        self.ask("append", lambda wire: transaction(wire, added))

    def ask(self, action: str, change: Callable[[Wire], None]) -> None:
        """Lets `change` have the connection."""
        with self._lock:
            try:
                self._wire = self._server.connect(self._wire)
            except Refused as error:
                self._wire = None
                raise self._server.error(action, error) from error
            try:
                change(self._wire)
            except Unavailable as error:
                self._wire = None
                raise self._server.error(
                    action, Refused(f"{error}; whether it was done is not known")
                ) from error
            except Refused as error:
                raise self._server.error(action, error) from error

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None


def transaction(wire: Wire, commands: list[Command]) -> None:
    """All of the commands or none; raises Refused with the first reason."""
    wire.send(("MULTI",), *commands, ("EXEC",))
    replies = [wire.reply() for _ in range(len(commands) + 2)]
    last = replies.pop()
    for reply in (*replies, *(last if isinstance(last, list) else [last])):
        if isinstance(reply, Refused):
            raise reply
