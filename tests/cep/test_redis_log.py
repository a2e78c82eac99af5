"""Redis Streams as a log, besides what all logs have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from redis_server import RedisServer

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log import open_log
from cep.log.redis import RedisLog

# ------------------------------------------------------------------------- entries


def lines(log: RedisLog, position: int = 0) -> list[bytes]:
    found: list[bytes] = []
    while (records := log.read(log.partitions[0], position, 50)) is not None and records.count:
        found += records.data.splitlines()
        position = records.end_position
    return found


@pytest.fixture
def log(redis_url: str, client: redis.Redis) -> Iterator[RedisLog]:
    """Of the empty topic `t`."""
    with closing(RedisLog(redis_url, "t", follow=False)) as opened:
        yield opened


def test_fields_of_an_entry_are_an_event_of_texts(log: RedisLog, client: redis.Redis) -> None:
    client.xadd("t", {"type": "Login", "user": 'a"b\\\n', "n": 5})
    client.xadd("t", {"data": '{"a":1}\n{"a":2}', "trace": "x"})
    client.xadd("t", {"trace": "x", "data": "{}"})
    client.xadd("t", {"user": b"\xff"})
    login, one, two, traced, undecodable = lines(log)
    assert json.loads(login) == {"type": "Login", "user": 'a"b\\\n', "n": "5"}
    assert (one, two) == (b'{"a":1}', b'{"a":2}')
    assert json.loads(traced) == {"trace": "x", "data": "{}"}
    assert undecodable == b'{"user":"\xff"}'


def test_streams_of_a_topic_are_found_or_as_many_as_asked_for(
    redis_url: str, client: redis.Redis
) -> None:
    for key in ("t:0", "t:1", "t:3", "one"):
        client.xadd(key, {"data": "{}"})
    for url, want in (
        ("#t", ("t:0", "t:1")),
        ("?partitions=4#t", ("t:0", "t:1", "t:2", "t:3")),
        ("?partitions=1#t", ("t",)),
        ("#one", ("one",)),
        ("#t:3", ("t:3",)),
        ("", ("events",)),
    ):
        with closing(open_log(redis_url + url)) as log:
            assert log.partitions == want
    with pytest.raises(UsageError, match="partitions=many"):
        open_log(redis_url + "?partitions=many#t")


def test_server_on_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path, "--unixsocket", str(path))
    try:
        with closing(open_log(f"unix://{path}?db=1#t", follow=False)) as log:
            log.append("t", b"{}\n")
            assert log.end("t") == 1
        with redis.Redis.from_url(f"unix://{path}?db=1") as client:
            assert client.xlen("t") == 1
    finally:
        server.stop()


def test_end_is_counted_from_where_the_reader_stands(log: RedisLog, client: redis.Redis) -> None:
    for count in range(3):
        assert log.end("t") == 3 * count
        client.xadd("t", {"data": "1\n2\n3"})
        if count:
            assert len(lines(log)) == 3 * (count + 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "yes")
    assert log.end("t") == 9


def test_value_without_end_does_not_grow_memory(redis_url: str, client: redis.Redis) -> None:
    program = (
        "import resource, sys\n"
        "from cep.log import open_log\n"
        "log = open_log(sys.argv[1], follow=False)\n"
        "log.read('t', 0, 1)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "records = log.read('t', 1, 100)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(records.count, records.oversized[0].size_bytes, grown)\n"
    )
    size = 200 * limits.MIB
    client.xadd("t", {"data": "{}"})
    client.xadd("t", {"data": b"x" * size})
    done = subprocess.run(
        [sys.executable, "-c", program, redis_url + "#t"],
        capture_output=True,
        text=True,
        check=True,
    )
    count, found_size, grown_kib = map(int, done.stdout.split())
    assert (count, found_size) == (1, size)
    assert grown_kib < 64 * 1024


# ------------------------------------------------------------------------- what is missing


def add(client: redis.Redis, count: int, topic: str = "t") -> list[bytes]:
    """IDs of further entries of one record each."""
    return [client.xadd(topic, {"data": f'{{"n":{n}}}'}) for n in range(count)]


def read_and_marked(redis_url: str, count: int) -> str:
    """The bookmark behind so many records."""
    with closing(RedisLog(redis_url, "t", follow=False)) as log:
        position = 0
        while position < count:
            records = log.read("t", position, count - position)
            assert records is not None
            position = records.end_position
        return log.bookmark("t", count)


def resumed(redis_url: str, bookmark: str) -> RedisLog:
    log = RedisLog(redis_url, "t", follow=False)
    log.resume("t", bookmark)
    return log


def test_trimming_what_was_read_is_no_loss(redis_url: str, client: redis.Redis) -> None:
    ids = add(client, 10)
    bookmark = read_and_marked(redis_url, 6)
    client.xtrim("t", minid=ids[6], approximate=False)
    client.xdel("t", ids[2])
    with closing(resumed(redis_url, bookmark)) as log:
        mark = log.mark("t")
        assert lines(log, 6) == [b'{"n":6}', b'{"n":7}', b'{"n":8}', b'{"n":9}']
        assert log.end("t") == 10
        assert log.mark("t") == mark == json.loads(bookmark)["mark"]
        with pytest.raises(SourceError, match="6 entries behind 0-0 were removed"):
            log.read("t", 2, 1)


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("XTRIM t MAXLEN 1", "3 entries behind .* were removed before they were read"),
        ("XTRIM t MAXLEN 0", "4 entries behind .* were removed before they were read"),
        ("XDEL t {7}", "entries behind .* were deleted before they were read, {7} at least"),
        ("FLUSHALL", "t went back: 0 entries were added up to 0-0, but 6 up to .* were read"),
        ("DEL t", "t went back"),
    ],
)
def test_what_is_missing_stops_with_what_to_do(
    redis_url: str, client: redis.Redis, do: str, reason: str
) -> None:
    ids = [each.decode() for each in add(client, 10)]
    bookmark = read_and_marked(redis_url, 6)
    client.execute_command(*do.format(*ids).split())
    for act in (lambda log: log.mark("t"), lambda log: log.read("t", 6, 9)):
        with (
            closing(resumed(redis_url, bookmark)) as log,
            pytest.raises(SourceError, match=reason.format(*ids)) as refused,
        ):
            act(log)
        assert "start with another store" in str(refused.value)


def test_trimming_ahead_of_a_follower_is_noticed_at_once(
    redis_url: str, client: redis.Redis
) -> None:
    add(client, 4)
    with closing(RedisLog(redis_url, "t")) as log:
        assert len(lines(log)) == 4
        add(client, 5)
        client.xtrim("t", maxlen=2, approximate=False)
        with pytest.raises(SourceError, match="3 entries behind"):
            log.read("t", 4, 9)


def test_refilled_stream_is_another_one(redis_url: str, client: redis.Redis) -> None:
    add(client, 10)
    bookmark = read_and_marked(redis_url, 6)
    client.flushall()
    add(client, 20)
    with (
        closing(resumed(redis_url, bookmark)) as log,
        pytest.raises(SourceError, match="is another stream"),
    ):
        log.mark("t")
    add(client, 10, "u")
    client.rename("u", "t")
    with (
        closing(resumed(redis_url, bookmark)) as log,
        pytest.raises(SourceError, match="is another stream"),
    ):
        log.read("t", 6, 1)


def test_what_was_removed_before_the_first_read_is_said(
    redis_url: str, client: redis.Redis
) -> None:
    ids = add(client, 10)
    client.xdel("t", ids[7])
    client.xtrim("t", minid=ids[4], approximate=False)
    said: list[str] = []
    with closing(RedisLog(redis_url, "t", follow=False, notify=said.append)) as log:
        assert lines(log) == [b'{"n":%d}' % n for n in (4, 5, 6, 8, 9)]
        bookmark = log.bookmark("t", 2)
    assert said[-1] == "t: 5 entries were removed before it was first read"
    with closing(resumed(redis_url, bookmark)) as log:
        assert lines(log, 2) == [b'{"n":%d}' % n for n in (6, 8, 9)]


def test_bookmark_of_something_else_is_refused(log: RedisLog) -> None:
    for text in ("12", "{}", '{"after":"x"}', "nonsense"):
        with pytest.raises(SourceError, match="no bookmark of a Redis stream"):
            log.resume("t", text)


# ------------------------------------------------------------------------- the server


def test_progress_is_that_of_a_consumer_group(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REDIS_PROGRESS_INTERVAL_MS", 0)
    ids = add(client, 10)
    with closing(RedisLog(f"{redis_url}?group=fraud", "t")) as log:
        for end in (4, 7):
            log.read("t", end - 3, 3)
            log.committed("t", log.bookmark("t", end))
            log.read("t", end, 1)
            (group,) = client.xinfo_groups("t")
            assert group["name"] == b"fraud"
            assert group["last-delivered-id"] == ids[end - 1]
            assert (group["entries-read"], group["lag"]) == (end, 10 - end)


def test_settings_that_may_lose_events_are_said(redis_url: str, client: redis.Redis) -> None:
    said: list[str] = []
    client.config_set("no-appendfsync-on-rewrite", "yes")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        RedisLog(redis_url, "t", notify=said.append).close()
    finally:
        client.config_set("no-appendfsync-on-rewrite", "no")
        client.config_set("maxmemory-policy", "noeviction")
    assert [sentence.partition("/0: ")[2][:30] for sentence in said] == [
        "events that it acknowledged ma",
        "no-appendfsync-on-rewrite yes ",
        "maxmemory-policy is not noevic",
    ]
    said.clear()
    client.config_set("appendonly", "yes")
    client.config_set("appendfsync", "always")
    try:
        RedisLog(redis_url, "t", notify=said.append).close()
    finally:
        client.config_set("appendonly", "no")
    assert said == []


def test_user_that_may_not_see_the_settings_still_reads(
    redis_url: str, client: redis.Redis
) -> None:
    client.acl_setuser(
        "reader", enabled=True, passwords=["+canary-secret"], keys=["t"], commands=["+xrange"]
    )
    for allowed in ("+xinfo|stream", "+multi", "+exec", "+exists"):
        client.execute_command("ACL", "SETUSER", "reader", allowed)
    add(client, 3)
    said: list[str] = []
    url = redis_url.replace("//", "//reader:canary-secret@")
    with closing(RedisLog(url, "t", follow=False, notify=said.append)) as log:
        assert len(lines(log)) == 3
        log.committed("t", log.bookmark("t", 3))
    assert "its settings cannot be read" in said[0]
    assert "progress is not shown as consumer group 'cep': the user may not do this" in said[1]
    with pytest.raises(SourceError, match="it wants a password") as refused:
        RedisLog(url.replace("secret", "wrong"), "t")
    assert "canary" not in "".join([*said, str(refused.value)])
    client.acl_deluser("reader")


def test_key_that_is_no_stream_is_refused(log: RedisLog, client: redis.Redis) -> None:
    client.set("t", "text")
    for act in (
        lambda: log.read("t", 0, 1),
        lambda: log.mark("t"),
        lambda: log.end("t"),
        lambda: log.append("t", b"{}\n"),
    ):
        with pytest.raises(SourceError, match="the key is not a stream: choose another topic"):
            act()


def test_full_server_takes_nothing_in_and_says_so(log: RedisLog, client: redis.Redis) -> None:
    add(client, 3)
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(SourceError, match="cannot append: it is full: raise its maxmemory"):
            log.append("t", b'{"n":3}\n' * 5_000)
    finally:
        client.config_set("maxmemory", "0")
    assert len(lines(log)) == 3
    log.append("t", b'{"n":3}\n' * 5_000)
    assert log.end("t") == 5_003


def test_replica_is_read_and_not_written(
    redis_url: str, client: redis.Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    add(client, 3)
    replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(redis_server.port))
    try:
        with redis.Redis.from_url(replica.url) as connected:
            while connected.info("replication")["master_link_status"] != "up":
                pass
        with closing(RedisLog(replica.url, "t", follow=False)) as log:
            assert len(lines(log)) == 3
            with pytest.raises(SourceError, match="read-only replica: append to its master"):
                log.append("t", b"{}\n")
    finally:
        replica.stop()


def test_server_that_goes_is_waited_for_by_a_follower(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    said: list[str] = []
    following = RedisLog(server.url, "t", notify=said.append)
    reading = RedisLog(server.url, "t", follow=False)
    try:
        following.append("t", b'{"n":0}\n{"n":1}\n')
        assert lines(following) == lines(reading) == [b'{"n":0}', b'{"n":1}']
        server.kill()
        for _ in range(5):
            records = following.read("t", 2, 9)
            assert records is not None and records.count == 0
        with pytest.raises(SourceError, match="cannot read: the connection was closed"):
            reading.read("t", 2, 9)
        with pytest.raises(SourceError, match="cannot append"):
            following.append("t", b"{}\n")
        with pytest.raises(SourceError, match="cannot connect"):
            RedisLog(server.url, "t")
        server.start()
        following.append("t", b'{"n":2}\n')
        while not (records := following.read("t", 2, 9)) or not records.count:
            pass
        assert records.data == b'{"n":2}\n'
        assert len(said) == 2
        assert said[0].startswith(f"{server.url} is not there: ") and "waiting" in said[0]
        assert said[1] == f"{server.url} is there again"
    finally:
        following.close()
        reading.close()
        server.stop()
