"""One connection to a Redis server: commands out, replies in, bytes of big replies left raw.

`redis` opens the connection (address, TLS, password); commands and replies are read and written
here, because the objects it makes of a reply cost more than all the rest of reading a log.  A bulk
string is kept up to `BULK_KEPT_BYTES` and never held whole beyond that.

    Refused           the server answered with an error; `code` is its first word
    └── Unavailable   it is worth waiting: gone, starting, failing over
"""

from __future__ import annotations

import re
import select
import socket
from typing import Any, TypeAlias

import numpy as np

from cep import limits
from cep.errors import UsageError

Command: TypeAlias = tuple[str | bytes | int, ...]

BULK_KEPT_BYTES = 64 * limits.KIB
_BUFFER_BYTES = limits.MIB
_PASSING = {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"}
_ADVICE = {
    "OOM": "it is full: raise its maxmemory, or trim what is behind the consumer group",
    "READONLY": "it is a read-only replica: append to its master",
    "WRONGTYPE": "the key is not a stream: choose another topic",
    "NOPERM": "the user may not do this: give it the commands of streams (ACL +@stream +info)",
    "NOAUTH": "it wants a password: redis://user:password@host",
    "MISCONF": "it cannot write to its disk, and so takes nothing in",
    "MOVED": "the key is on another node of the cluster: connect to that one",
    "LOADING": "it is reading its data in",
    "MASTERDOWN": "it is a replica that has lost its master",
}


class Refused(Exception):
    """An error reply; `str(error)` has the server's words and what to do."""

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        advice = _ADVICE.get(self.code)
        super().__init__(f"{advice} ({text})" if advice else text)


class Unavailable(Refused):
    """Nothing is wrong with what was asked: it may be asked again."""


class Wire:
    """A connection that is open from the start; `url` is one of redis://, rediss://, unix://."""

    def __init__(self, url: str) -> None:
        self._connection = _connect(url)
        self._socket: socket.socket = self._connection._get_socket()
        self._memory = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._memory)
        self.bytes = np.frombuffer(self._memory, np.uint8)
        self.begin = self.end = 0  # of what was received and not read yet

    @property
    def lost(self) -> bool:
        """Whether a connection with nothing under way was closed by the other side."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def send(self, *commands: Command) -> None:
        try:
            self._socket.sendall(b"".join(map(_packed, commands)))
        except OSError as error:
            raise Unavailable(f"the connection was lost: {error}") from error

    def ask(self, *command: str | bytes | int) -> Any:
        """The reply to one command; raises Refused for an error."""
        self.send(command)
        return self.answer()

    def answer(self) -> Any:
        """The next reply; raises Refused when it is an error."""
        reply = self.reply()
        if isinstance(reply, Refused):
            raise reply
        return reply

    def reply(self) -> Any:
        """The next reply: int, bytes, None, Refused, or a list of such."""
        kind, rest = self.header()
        if kind == b"+":
            return rest
        if kind == b"-":
            return refusal(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise Unavailable(f"the server does not speak RESP: {kind + rest[:40]!r}")

    def header(self) -> tuple[bytes, bytes]:
        """The kind of the next reply, and the rest of its first line."""
        while (at := self._memory.find(b"\r\n", self.begin, self.end)) < 0:
            self.fill()
        line = bytes(self._view[self.begin : at])
        self.begin = at + 2
        return line[:1], line[1:]

    def _bulk(self, size: int) -> bytes:
        kept, missing = bytearray(), size + 2
        while True:
            here = min(missing, self.end - self.begin)
            wanted = max(0, min(here, size - len(kept), BULK_KEPT_BYTES - len(kept)))
            kept += self._view[self.begin : self.begin + wanted]
            self.begin += here
            missing -= here
            if not missing:
                return bytes(kept)
            self.fill()

    def fill(self) -> None:
        """Waits for more bytes behind those that are there."""
        rest = self.end - self.begin
        if self.begin:
            self._view[:rest] = bytes(self._view[self.begin : self.end])
            self.begin, self.end = 0, rest
        if self.end == len(self._view):
            raise Unavailable("the server sends a line without end")
        try:
            received = self._socket.recv_into(self._view[self.end :])
        except OSError as error:
            raise Unavailable(f"the connection was lost: {error}") from error
        if not received:
            raise Unavailable("the connection was closed by the server")
        self.end += received

    def close(self) -> None:
        self._connection.disconnect()


def refusal(text: str) -> Refused:
    return Unavailable(text) if text.partition(" ")[0] in _PASSING else Refused(text)


def shown(url: str) -> str:
    """`url` without what may be a password."""
    return re.sub(r"//[^/]*@", "//", url.partition("?")[0].partition("#")[0])


def _connect(url: str) -> Any:
    import redis
    from redis import connection as connections
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthorizationError
    from redis.retry import Retry

    library: Any = connections  # parts of it have no types
    options: dict[str, Any] = {
        "socket_timeout": limits.REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": limits.REDIS_TIMEOUT_SECONDS,
    }
    try:
        options |= library.parse_url(url)
        kind = options.pop("connection_class", library.Connection)
        connection = kind(**(options | {"protocol": 2, "retry": Retry(NoBackoff(), 0)}))
    except (TypeError, ValueError, redis.RedisError) as error:
        raise UsageError(f"not a Redis URL: {shown(url)}: {error}") from error
    try:
        connection.connect()
    except (redis.AuthenticationError, AuthorizationError) as error:
        raise Refused(f"NOAUTH {error}") from error
    except redis.ConnectionError as error:  # LOADING too
        raise Unavailable(str(error)) from error
    except redis.TimeoutError as error:
        raise Unavailable(str(error)) from error
    except redis.RedisError as error:
        raise Refused(str(error)) from error
    return connection


def _packed(command: Command) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    sized = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), sized)
