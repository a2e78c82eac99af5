"""Rows of a table from Redis hashes, and values of a list from a set, list or sorted set.

`from redis "merchant:*"` names a pattern of keys: each hash is a row, whose fields are those of the
table.  A key field that the hash does not have is what the `*` of the pattern stands for.
`from redis "admins"` of a list names one key.  The server is that of `CEP_REDIS_URL`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from cep import limits
from cep.errors import SourceError
from cep.tables.reading import Piece, Read, together
from dsl.model import Table
from matcher.lookup.rows import rows_of_texts
from matcher.strings import Strings

if TYPE_CHECKING:
    from redis import Redis

URL_VARIABLE = "CEP_REDIS_URL"
URL_DEFAULT = "redis://127.0.0.1:6379/0"
_KEYS_PER_ROUND_TRIP = 1_000


class RedisSource:
    """The keys that fit `address` on one server."""

    def __init__(self, address: str, url: str | None = None) -> None:
        self.address = address
        self._url = url or os.environ.get(URL_VARIABLE) or URL_DEFAULT

    def read(self, table: Table, strings: Strings) -> Read:
        import redis

        timeout = limits.REDIS_TIMEOUT_SECONDS
        try:
            client: Redis = redis.Redis.from_url(
                self._url, socket_timeout=timeout, socket_connect_timeout=timeout
            )
        except ValueError as error:
            raise self._error(table, error) from error
        with closing(client):
            pieces = self._list if len(table.fields) == 1 else self._rows
            try:
                return together(table, pieces(client, table, strings))
            except redis.RedisError as error:
                raise self._error(table, error) from error

    def _error(self, table: Table, error: Exception) -> SourceError:
        return SourceError(
            f"{table.name}: cannot read {self.address!r} from {self._server()}: {error}; "
            f"start the server, say where it is with {URL_VARIABLE}, "
            f"or read a file with --table {table.name}=FILE"
        )

    def _server(self) -> str:
        """The URL without what may be a password."""
        return re.sub(r"//[^/]*@", "//", self._url)

    def _rows(self, client: Redis, table: Table, strings: Strings) -> Iterator[Piece]:
        pattern = _pattern(self.address)
        keys: Iterator[bytes] = iter(sorted(set(client.scan_iter(self.address, count=1_000))))
        while chunk := list(islice(keys, _KEYS_PER_ROUND_TRIP)):
            answers = _hashes(client, chunk)
            yield _piece(table, chunk, answers, pattern, strings)

    def _list(self, client: Redis, table: Table, strings: Strings) -> Iterator[Piece]:
        key = self.address
        kind = client.type(key)
        readers: dict[bytes, Any] = {
            b"none": lambda: (),
            b"set": lambda: sorted(client.smembers(key)),
            b"list": lambda: client.lrange(key, 0, -1),
            b"zset": lambda: client.zrange(key, 0, -1),
        }
        if kind not in readers:
            known = "a set, a list or a sorted set"
            raise SourceError(f"{table.name}: the Redis key {key!r} is not {known}")
        values: Sequence[bytes] = readers[kind]()
        if values:
            texts, bad = _texts(values)
            found = rows_of_texts(table, [texts], strings)
            yield Piece(found.without(bad), lambda row: f"redis {key}, value {row}")


def _hashes(client: Redis, keys: Sequence[bytes]) -> list[Any]:
    """The hash of each key; an exception for a key that is no hash."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return pipeline.execute(raise_on_error=False)


def _piece(
    table: Table,
    keys: Sequence[bytes],
    answers: Sequence[Any],
    pattern: re.Pattern[bytes],
    strings: Strings,
) -> Piece:
    bad = {row: "it is not a hash" for row, a in enumerate(answers) if isinstance(a, Exception)}
    hashes = [{} if row in bad else answer for row, answer in enumerate(answers)]
    starred = [_starred(pattern, key) for key in keys]
    columns: list[list[str | None]] = []
    for field in table.fields:
        name = ".".join(field.source).encode()
        values: list[bytes | None] = [row.get(name) for row in hashes]
        if table.key == (field.name,):
            values = [s if v is None else v for v, s in zip(values, starred, strict=True)]
        texts, undecodable = _texts(values)
        bad |= undecodable
        columns.append(texts)
    found = rows_of_texts(table, columns, strings)
    return Piece(
        found.without(bad), lambda row: f"redis {keys[row].decode('utf-8', 'backslashreplace')}"
    )


def _starred(pattern: re.Pattern[bytes], key: bytes) -> bytes | None:
    found = pattern.fullmatch(key)
    return found[1] if found is not None and pattern.groups == 1 else None


def _pattern(address: str) -> re.Pattern[bytes]:
    """What the only `*` of a Redis pattern stands for is the group."""
    parts = address.encode().split(b"*")
    if len(parts) != 2 or re.search(rb"[?\[\]\\]", address.encode()):
        return re.compile(rb"(?!)")
    return re.compile(re.escape(parts[0]) + b"(.*)" + re.escape(parts[1]), re.DOTALL)


def _texts(values: Sequence[bytes | None]) -> tuple[list[str | None], dict[int, str]]:
    texts: list[str | None] = []
    bad: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            bad[row] = "it is not UTF-8 text"
            texts.append(None)
    return texts, bad
