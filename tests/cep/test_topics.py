"""Topics of several partitions: what they may be, where events go, which come twice."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cep
from cep import limits
from cep.errors import SourceError, UsageError
from cep.log import open_log, open_topic
from cep.log.routing import EventIds, Placement, read
from cep.log.sqlite import SqliteLog
from cep.log.topics import Topic

BY_USER = Topic("t", 4, "user")


def lines_of(log: SqliteLog, partition: str) -> list[bytes]:
    records = log.read(partition, 0, 100_000)
    assert records is not None
    return records.data.split(b"\n")[:-1]


def partitioned(url: str, topic: Topic = BY_USER) -> SqliteLog:
    log = SqliteLog(url, topic.name)
    log.declare(topic)
    return log


def test_events_of_one_key_are_in_one_partition_and_in_order(store_url: str) -> None:
    log = partitioned(store_url)
    rng = random.Random(3)
    lines = [b'{"type":"E","user":"u%d","n":%d}' % (rng.randrange(50), n) for n in range(400)]
    for start in range(0, 400, 37):
        log.publish(b"\n".join(lines[start : start + 37]))
    found = {name: lines_of(log, name) for name in log.partitions}
    assert sorted(found) == ["t/0", "t/1", "t/2", "t/3"]
    assert sorted(line for some in found.values() for line in some) == sorted(lines)
    homes: dict[str, set[str]] = {}
    for name, some in found.items():
        assert len(some) > 30
        assert some == [line for line in lines if line in set(some)]
        for line in some:
            homes.setdefault(orjson.loads(line)["user"], set()).add(name)
    assert all(len(names) == 1 for names in homes.values())
    log.close()


def test_place_of_a_key_is_its_checksum_for_ever() -> None:
    place = Placement(Topic("t", 7, "user"))
    for user in ("ada", "grace", "ü", ""):
        assert place.of({"user": user}) == zlib.crc32(user.encode()) % 7
    assert place.of({"user": 12}) == zlib.crc32(b"12.0") % 7


@pytest.mark.parametrize(
    "line",
    [b"", b"no json", b"[1]", b'{"n":1}', b'{"user":null}', b'{"user":["a"]}', b'{"user":{"a":1}}'],
)
def test_what_has_no_key_goes_to_the_first_partition(line: bytes) -> None:
    assert Placement(BY_USER).of(read(line)) == 0


@pytest.mark.parametrize(
    "alike",
    [
        [b'{"k":12}', b'{"k":12.0}', b'{"k":1.2e1}', b'{"k":120e-1}'],
        [b'{"k":0}', b'{"k":-0.0}'],
        [b'{"k":9007199254740993}', b'{"k":9007199254740993.0}'],
        [b'{"k":"::1"}', b'{"k":"0:0:0:0:0:0:0:1"}'],
        [b'{"k":"10.0.0.1"}', b'{"k":"::ffff:10.0.0.1"}'],
        [b'{"k":"\\u0061b"}', b'{"k":"ab"}', b'{"k":"x","k":"ab"}'],
        [b'{"k":"ab"}', b'{"k":"ab","other":"\\ud800"}'],
        [b'{"k":"ab"}', b'{"specversion":"1.0","k":"no","data":{"k":"ab"}}'],
    ],
)
def test_keys_that_the_engine_takes_for_equal_are_together(alike: list[bytes]) -> None:
    place = Placement(Topic("t", 251, "k"))
    assert len({place.of(read(line)) for line in alike}) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_line_has_a_place(line: bytes) -> None:
    assert 0 <= Placement(BY_USER).of(read(line)) < 4


def test_key_may_be_inside_of_the_event(tmp_path: Path) -> None:
    topic = Topic("t", 4, "actor.id")
    log = partitioned(str(tmp_path / "a.db"), topic)
    (home,) = log.publish(b'{"actor":{"id":"x"}}\n{"actor":{"id":"x"}}\n').shares
    assert home == f"t/{zlib.crc32(b'x') % 4}"
    log.close()


def test_topic_stays_what_it_was_made_as(store_url: str) -> None:
    partitioned(store_url).close()
    log = SqliteLog(store_url, "t")
    assert log.topic == BY_USER
    log.declare(BY_USER)
    for other in (Topic("t", 3, "user"), Topic("t", 4, "host"), Topic("t")):
        with pytest.raises(UsageError, match="topic t of 4 partitions by user already"):
            log.declare(other)
    log.close()


def test_topic_with_records_in_its_one_partition_cannot_get_more(store_url: str) -> None:
    log = SqliteLog(store_url, "t")
    log.append("t", b"{}\n")
    with pytest.raises(UsageError, match="topic t of one partition already"):
        log.declare(BY_USER)
    log.close()


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        (Topic("t", 4), "--key FIELD"),
        (Topic("t", 1, "user"), "no --key"),
        (Topic("t", 0, "user"), "1 to 256"),
        (Topic("t", 257, "user"), "1 to 256"),
        (Topic("t", 2, "a..b"), "--key FIELD"),
        (Topic("t/1", 2, "user"), "not a topic"),
    ],
)
def test_what_no_topic_can_be_is_refused(tmp_path: Path, topic: Topic, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        partitioned(str(tmp_path / "a.db"), topic)


def test_one_partition_can_be_read_alone_but_not_written(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    log = partitioned(path)
    log.publish(b'{"user":"x"}\n{"user":"x"}\n{}\n')
    log.close()
    name = f"t/{zlib.crc32(b'x') % 4}"
    alone = open_topic(f"{path}#{name}")
    assert alone.partitions == (name,)
    assert alone.end(name) == 2
    with pytest.raises(UsageError, match="not a topic"):
        alone.publish(b'{"user":"y"}\n')
    alone.close()


def test_one_append_to_several_partitions_is_whole_or_not_at_all(tmp_path: Path) -> None:
    log = partitioned(str(tmp_path / "a.db"))
    with pytest.raises(UsageError, match="over the limit"):
        log.publish(b'{"user":"a"}\n{"user":"b"}\n"' + b"x" * limits.LINE_BYTES_MAX + b'"\n')
    assert [log.end(name) for name in log.partitions] == [0, 0, 0, 0]
    log.close()


# --------------------------------------------------------------------------------------- ids


def test_event_that_is_there_is_left_out(store_url: str) -> None:
    log = partitioned(store_url)
    ids = EventIds(anywhere=("id",))
    first = log.publish(b'{"type":"E","user":"a","id":1}\n{"type":"E","user":"b","id":"1"}\n', ids)
    assert (first.count, first.duplicates) == (2, 0)
    again = log.publish(
        b'{"type":"E","user":"c","id":1}\n{"type":"F","user":"a","id":1}\n'
        b'{"type":"F","user":"a","id":1}\n{"type":"E","user":"a"}\nbad\n',
        ids,
    )
    assert (again.count, again.duplicates) == (3, 2)
    assert sum(log.end(name) for name in log.partitions) == 5
    log.close()


def test_ids_are_known_in_a_topic_of_one_partition_too(tmp_path: Path) -> None:
    log = SqliteLog(str(tmp_path / "a.db"), "t")
    ids = EventIds(anywhere=("id",))
    for _ in range(3):
        log.publish(b'{"type":"E","id":"x"}\n', ids)
    assert lines_of(log, "t") == [b'{"type":"E","id":"x"}']
    log.close()


def test_ids_are_forgotten_behind_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVENT_IDS_MAX", 10)
    log = SqliteLog(str(tmp_path / "a.db"), "t")
    ids = EventIds(anywhere=("id",))

    def duplicates(*numbers: int) -> int:
        lines = b"".join(b'{"type":"E","id":%d}\n' % number for number in numbers)
        return log.publish(lines, ids).duplicates

    assert duplicates(*range(10)) == 0
    assert duplicates(*range(10)) == 10
    assert duplicates(10) == 0
    assert duplicates(1) == 1
    assert duplicates(0) == 0
    log.close()


def test_ids_of_rules_are_the_fields_declared_so() -> None:
    ids = EventIds.of_rules(
        cep.compile(
            'event A { ts: timestamp @time  n: int @id @path("meta.n") }\n'
            "event B { ts: timestamp @time  n: int }\n"
            'rule r { match A -> B within 1m alert "x" }'
        )
    )
    assert ids.of({"type": "A", "meta": {"n": 3}}) == ids.of({"type": "A", "meta": {"n": 3}})
    assert ids.of({"type": "A", "meta": {"n": 3}}) != ids.of({"type": "A", "meta": {"n": 4}})
    assert ids.of({"type": "A", "n": 3}) is None
    assert ids.of({"type": "B", "n": 3}) is None


def test_log_of_several_partitions_is_read_whole_by_detect(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    log = partitioned(path)
    log.publish(b"".join(b'{"type":"E","ts":%d,"user":"u%d"}\n' % (n, n) for n in range(40)))
    log.close()
    rules = cep.compile(
        'event E { ts: timestamp @time  user: string }\nrule r { by user match E alert "{user}" }'
    )
    found = [found.message for found in cep.detect(rules, f"{path}#t")]
    assert sorted(found) == sorted(f"u{n}" for n in range(40))


def test_topic_that_got_partitions_while_it_was_open_is_a_named_error(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    SqliteLog(path, "t").close()
    reader = open_log(f"{path}#t")
    partitioned(path).close()
    with pytest.raises(SourceError, match="start again"):
        reader.read("t", 0, 10)
    reader.close()


def test_appender_that_knows_an_older_topic_writes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    writer = SqliteLog(path, "t")
    log = partitioned(path)
    with pytest.raises(SourceError, match="start again"):
        writer.publish(b"{}\n")
    assert writer.end("t") == 0
    for one in (writer, log):
        one.close()
