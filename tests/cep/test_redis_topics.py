"""Topics of several Redis streams: spread as an embedded topic is, and read by workers as one."""

from __future__ import annotations

import random
import subprocess
from contextlib import closing
from pathlib import Path

import orjson
import pytest
import redis
from engine_cases import RULES, events
from worker_runs import command, contents, kill_workers, running

from api.health import records_behind
from api.state import ApiState
from cep.errors import SourceError, UsageError
from cep.load import load_rules
from cep.log import open_log, open_topic
from cep.log.publishing import TopicLog
from cep.log.topics import Topic
from cep.ports import Log
from cep.store.store import open_store

BY_CARD = Topic("t", 4, "card")


@pytest.fixture
def url(redis_url: str, client: redis.Redis) -> str:
    """Of the topic, on a server that holds nothing."""
    return f"{redis_url}#t"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "r.cep"
    path.write_text(RULES)
    return path


def spread(url: str, lines: list[bytes], topic: Topic = BY_CARD) -> None:
    with closing(open_topic(url, create=True)) as log:
        log.declare(topic)
        for start in range(0, len(lines), 700):
            log.publish(b"\n".join(lines[start : start + 700]))


def lines_of(log: Log) -> list[list[bytes]]:
    """By partition."""
    found = []
    for partition in log.partitions:
        position, lines = 0, list[bytes]()
        while (records := log.read(partition, position, 1_000)) is not None:
            position = records.end_position
            lines += records.data.splitlines()
        found.append(lines)
    return found


def test_events_go_to_the_stream_of_the_partition_of_an_embedded_topic(
    tmp_path: Path, url: str
) -> None:
    lines = [*events(2_000, 3), b"no event", b'{"type":"Block"}']
    embedded = f"{tmp_path / 'log.db'}#t"
    spread(embedded, lines)
    spread(url, lines)
    with (
        closing(open_log(embedded, follow=False)) as want,
        closing(open_log(url, follow=False)) as log,
    ):
        assert log.partitions == ("t:0", "t:1", "t:2", "t:3")
        found = lines_of(log)
        assert found == lines_of(want)
        assert all(found)


def test_publish_says_how_many_went_where(url: str) -> None:
    with closing(open_topic(url)) as log:
        log.declare(BY_CARD)
        appended = log.publish(b'{"card":"a"}\n{"card":"b"}\n{"card":"a"}\n{}')
        assert appended.count == 4
        assert {share.first_position for share in appended.shares.values()} == {None}
        for name, share in appended.shares.items():
            assert log.end(name) == share.count


def test_url_makes_the_topic_with_its_first_events_and_it_stays(redis_url: str, url: str) -> None:
    said = f"{redis_url}?partitions=4&key=card#t"
    with closing(open_topic(said)) as log:
        log.publish(b'{"card":"a"}\n')
    for again in (url, said, f"{redis_url}?key=card#t"):
        with closing(open_topic(again)) as log:
            assert log.topic == BY_CARD
    for other in ("?partitions=3&key=card", "?key=user", "?partitions=1"):
        with pytest.raises(UsageError, match="there is a topic t of 4 partitions by card already"):
            open_log(f"{redis_url}{other}#t")
    with closing(open_topic(url)) as log, pytest.raises(UsageError, match="it cannot become"):
        log.declare(Topic("t", 8, "card"))


def test_one_stream_does_not_become_several(url: str) -> None:
    with closing(open_topic(url)) as log:
        log.publish(b"{}\n")
        with pytest.raises(UsageError, match="there is a topic t of one partition already"):
            log.declare(BY_CARD)
        assert log.topic == Topic("t")


def test_one_stream_that_is_followed_does_not_become_several(url: str) -> None:
    with closing(open_topic(url)) as followed:
        followed.declare(followed.topic)
        with pytest.raises(UsageError, match="there is a topic t of one partition already"):
            spread(url, [])


def test_one_stream_on_a_server_that_takes_no_keys_is_appended_to(
    redis_url: str, url: str, client: redis.Redis
) -> None:
    client.acl_setuser(
        "streams",
        True,
        passwords=["+p"],
        keys=["*"],
        commands=["+@stream", "+@transaction", "+exists"],
    )
    with closing(open_topic(url.replace("//", "//streams:p@"), follow=False)) as log:
        assert log.publish(b"{}\n{}\n").count == 2
        assert lines_of(log) == [[b"{}", b"{}"]]
    client.acl_deluser("streams")


def test_topic_that_another_one_made_meanwhile_is_noticed(url: str) -> None:
    with closing(open_topic(url)) as log:
        spread(url, [], Topic("t", 2, "card"))
        with pytest.raises(UsageError, match="there is a topic t of 2 partitions"):
            log.declare(BY_CARD)


def test_one_of_the_streams_is_read_alone_and_takes_nothing(url: str) -> None:
    spread(url, events(200, 1))
    with closing(open_log(url, follow=False)) as log:
        want = lines_of(log)[2]
    with closing(open_topic(f"{url}:2", follow=False)) as alone:
        assert lines_of(alone) == [want]
        with pytest.raises(UsageError, match="one stream of topic t of 4 partitions by card"):
            alone.publish(b"{}\n")


def test_streams_that_others_filled_are_read_by_the_key_said_and_not_appended_to(
    redis_url: str, client: redis.Redis
) -> None:
    for number in range(3):
        client.xadd(f"t:{number}", {"data": "{}"})
    with closing(open_topic(f"{redis_url}?key=card#t")) as log:
        assert log.topic == Topic("t", 3, "card")
        with pytest.raises(UsageError, match="say how many"):
            log.publish(b"{}\n")
    with closing(open_topic(f"{redis_url}#t")) as log:
        assert log.topic == Topic("t", 3)
        with pytest.raises(UsageError, match="say how many"):
            log.publish(b"{}\n")
    with pytest.raises(UsageError, match="there are more streams, t:2 is one"):
        open_log(f"{redis_url}?partitions=2&key=card#t")
    with pytest.raises(UsageError, match="partitions=N"):
        open_log(f"{redis_url}?key=card#other")


def test_declaration_that_is_none_is_told(url: str, client: redis.Redis) -> None:
    for text in ("[]", "{", '{"partitions":1000000000,"key":"a"}', '{"partitions":2,"key":""}'):
        client.set("cep:topic:t", text)
        with pytest.raises(SourceError, match="cep:topic:t declares no topic"):
            open_log(url)


def test_log_that_is_read_elsewhere_is_counted_from_what_is_committed(
    tmp_path: Path, rules: Path, url: str, client: redis.Redis
) -> None:
    """As beside workers; what was committed may have been trimmed since."""
    spread(url, events(3_000, 7))
    store = open_store(str(tmp_path / "s.db"))
    subprocess.run(command(rules, url, tmp_path / "s.db", "--no-follow"), check=True)
    for number in range(4):
        client.xtrim(f"t:{number}", maxlen=0)
    with closing(open_topic(url)) as log:
        state = ApiState(store.engine, load_rules([rules]), log)
        assert records_behind(state) == dict.fromkeys(log.partitions, 0)
        appended = publish_some(log)
        assert records_behind(state) == {name: appended.get(name, 0) for name in log.partitions}
    store.close()


def publish_some(log: TopicLog) -> dict[str, int]:
    appended = log.publish(b"\n".join(events(50, 8)))
    return {name: share.count for name, share in appended.shares.items()}


def test_workers_that_are_killed_detect_the_same_as_an_embedded_topic_gives(
    tmp_path: Path, rules: Path, url: str
) -> None:
    lines = events(12_000, 11)
    embedded = f"{tmp_path / 'log.db'}#t"
    spread(embedded, lines)
    spread(url, lines)
    finite = ("--no-follow", "--batch-records", "200", "--commit-interval", "0")
    subprocess.run(command(rules, embedded, tmp_path / "e.db", *finite), check=True)
    subprocess.run(command(rules, url, tmp_path / "1.db", *finite), check=True)
    want = contents(tmp_path / "1.db")
    assert len(want["detections"]) > 400
    assert bodies(tmp_path / "1.db") == bodies(tmp_path / "e.db")
    store = tmp_path / "2.db"
    another = url.replace("#", "?group=second#")
    with running(tmp_path, command(rules, another, store, *finite, "--workers", "2")) as run:
        kill_workers(run, store, random.Random(1))
        assert run.process.wait(600) == 0, run.said
    assert contents(store) == want
    assert run.said.count("appendfsync always") == 1


def bodies(store: Path) -> list[object]:
    """What was detected, without the ids and names of partitions."""
    found = [orjson.loads(row[-1]) for row in contents(store)["detections"]]  # type: ignore[arg-type]
    return [(body["rule"], body["key"], body["message"]) for body in found]


def test_rules_of_other_keys_are_refused(tmp_path: Path, rules: Path, redis_url: str) -> None:
    for query, reason in (
        ("?partitions=4&key=country", b"rule hop (by card): its key needs the field country"),
        ("?partitions=4", b"the field whose value decides is not known: say it (?key=FIELD)"),
    ):
        source = f"{redis_url}{query}#refused"
        done = subprocess.run(
            command(rules, source, tmp_path / "s.db"), capture_output=True, timeout=100
        )
        assert done.returncode == 2
        assert reason in done.stderr
