"""Rows from a real Redis server."""

from __future__ import annotations

import socket

import pytest
import redis

import cep
from cep.errors import SourceError
from cep.tables.reading import Read
from cep.tables.redis_rows import RedisSource
from dsl.model import Table
from matcher.lookup.table import Table as Rows
from matcher.strings import Strings

RULE_SET = cep.compile("""
event E { ts: timestamp @time  shop: string }
table shops { id: string @pk  risk: float  country: string? } from redis "shop:*"
table items { shop: string @pk  item: int @pk  n: int } from redis "item:*"
list admins: [string] from redis "admins"
""")


def read(url: str, table: Table) -> tuple[Read, dict[tuple[object, ...], list[object]]]:
    """What Redis gives, and the rows by their key."""
    strings = Strings()
    assert table.source is not None
    found = RedisSource(table.source.address, url).read(table, strings)
    rows = Rows(table, strings)
    rows.replace(found.columns, 0, 0)
    names = [field.name for field in table.fields if field.name not in table.key]
    keys = sorted(tuple(rows.scalar(name, row) for name in table.key) for row in range(rows.size))
    return found, {
        key: [rows.scalar(name, rows.find_one(key, 0)) for name in names] for key in keys
    }


def test_hashes_are_rows_and_the_star_is_their_key(redis_url: str, client: redis.Redis) -> None:
    client.hset("shop:m1", mapping={"risk": "0.5", "country": "FR"})
    client.hset("shop:m:2", mapping={"risk": "1"})
    client.hset("shop:x", mapping={"risk": "2", "id": "named"})
    client.hset("other:1", mapping={"risk": "1"})
    found, rows = read(redis_url, RULE_SET.tables["shops"])
    assert rows == {("m1",): [0.5, "FR"], ("m:2",): [1.0, None], ("named",): [2.0, None]}
    assert (found.bad_rows, found.problems) == (0, ())


def test_what_does_not_fit_is_named_by_its_key(redis_url: str, client: redis.Redis) -> None:
    client.hset("shop:a", mapping={"risk": "high"})
    client.hset("shop:b", mapping={"country": "FR"})
    client.set("shop:c", "text")
    client.hset("shop:d", mapping={"risk": "1", "country": b"\xff"})
    client.hset("shop:e", mapping={"risk": "1"})
    client.hset("shop:f", mapping={"risk": "1", "id": "e"})
    client.hset(b"shop:\xff", mapping={"risk": "1"})
    found, rows = read(redis_url, RULE_SET.tables["shops"])
    assert rows == {("e",): [1.0, None]}
    assert found.bad_rows == 6
    assert found.problems == (
        "redis shop:a: risk: 'high' is not a number",
        "redis shop:b: risk: missing, and not optional",
        "redis shop:c: it is not a hash",
        "redis shop:d: it is not UTF-8 text",
        "redis shop:\\xff: it is not UTF-8 text",
        "redis shop:f: its key has come before, at redis shop:e",
    )


def test_many_hashes_and_keys_of_several_parts(redis_url: str, client: redis.Redis) -> None:
    pipeline = client.pipeline()
    for number in range(2_500):
        pipeline.hset(f"item:{number}", mapping={"shop": "s", "item": number, "n": number % 7})
    pipeline.execute()
    found, rows = read(redis_url, RULE_SET.tables["items"])
    assert found.bad_rows == 0
    assert rows == {("s", number): [number % 7] for number in range(2_500)}


def test_a_list_is_a_set_a_list_or_a_sorted_set(redis_url: str, client: redis.Redis) -> None:
    table = RULE_SET.lists["admins"]
    assert read(redis_url, table)[1] == {}
    client.sadd("admins", "root", "svc")
    assert list(read(redis_url, table)[1]) == [("root",), ("svc",)]
    client.delete("admins")
    client.rpush("admins", "b", "a", "b")
    assert list(read(redis_url, table)[1]) == [("a",), ("b",)]
    client.delete("admins")
    client.zadd("admins", {"z": 1, "y": 2})
    assert list(read(redis_url, table)[1]) == [("y",), ("z",)]
    client.delete("admins")
    client.set("admins", "root")
    with pytest.raises(SourceError, match="is not a set, a list or a sorted set"):
        read(redis_url, table)


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = RedisSource("shop:*", f"redis://user:canary-secret@127.0.0.1:{port}/0")
    with pytest.raises(SourceError) as refused:
        source.read(RULE_SET.tables["shops"], Strings())
    assert "canary-secret" not in str(refused.value)
    assert f"redis://127.0.0.1:{port}/0" in str(refused.value)
    assert "CEP_REDIS_URL" in str(refused.value)
    with pytest.raises(SourceError, match="cannot read"):
        RedisSource("shop:*", "no url").read(RULE_SET.tables["shops"], Strings())
