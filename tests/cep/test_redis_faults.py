"""The real process on a real server that fails: the same detections, or a stop that says why."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis
from engine_cases import RULES, events, fold_all, rules
from redis_server import RedisServer

from cep.log import open_log
from cep.store import reads
from cep.store.store import open_store

START_SECONDS = 400  # the very first start compiles the kernels
PARTS, PART = 6, 150


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that keeps what it acknowledges."""
    folder = tmp_path / "redis"
    folder.mkdir()
    found = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    yield found
    found.stop()


class Runs:
    """`cep run` over topic `p` with one store, started again and again."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        (folder / "r.cep").write_text(RULES)
        self.store = folder / "s.db"
        self.url = f"{server.url}#p"
        self._command = [
            *(sys.executable, "-m", "cep.cli", "run", str(folder / "r.cep"), "--from", self.url),
            *("--store", str(self.store), "--batch-records", "40", "--commit-interval", "0"),
        ]

    @contextmanager
    def process(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(
            [*self._command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as running:
            try:
                yield running
            finally:
                running.kill()

    def append(self, lines: Sequence[bytes]) -> None:
        with closing(open_log(self.url)) as log:
            log.append("p", b"".join(line + b"\n" for line in lines))

    def position(self) -> int:
        """The committed position, read without the store's own code."""
        try:
            with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
                row = connection.execute("SELECT position FROM checkpoint").fetchone()
        except sqlite3.OperationalError:
            return 0
        return 0 if row is None else int(row[0])

    def wait_for(self, position: float) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.position() < position:
            assert time.monotonic() < deadline, f"stands at {self.position()}, not {position}"
            time.sleep(0.01)

    def finish(self) -> list[bytes]:
        """Reads to the end; the detections of all runs."""
        with self.process("--no-follow") as process:
            _, errors = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 0, errors.decode()
        store = open_store(str(self.store))
        found = [each.body for each in reads.detections(store.engine, limit=1000)]
        store.close()
        return found


def parts(lines: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [lines[start : start + PART] for start in range(0, len(lines), PART)]


def test_server_killed_and_started_again_in_the_middle(tmp_path: Path, server: RedisServer) -> None:
    lines = events(PARTS * PART, 21)
    runs = Runs(tmp_path, server)
    with runs.process() as process:
        for number, part in enumerate(parts(lines)):
            runs.append(part)
            runs.wait_for(number * PART + 1)
            server.kill()
            time.sleep(0.2)
            server.start()
        runs.wait_for(len(lines))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    said = errors.decode()
    assert said.count("is not there: ") == PARTS
    assert said.count("is there again") >= PARTS - 1  # it may be stopped before the last
    assert runs.finish() == fold_all(rules(), lines)[0].bodies


def test_engine_killed_while_the_stream_is_trimmed_behind_it(
    tmp_path: Path, server: RedisServer
) -> None:
    """Up to the consumer group nothing is needed, not even of events that wait for time."""
    lines = events(PARTS * PART, 22)
    runs = Runs(tmp_path, server)
    trimmed = 0
    with redis.Redis.from_url(server.url) as client:
        for number, part in enumerate(parts(lines)):
            for line in part:
                client.xadd("p", {"data": line})
            with runs.process() as process:
                runs.wait_for((number + 0.5) * PART)
                while not (groups := client.xinfo_groups("p")):
                    time.sleep(0.01)
                process.kill()
            trimmed += client.xtrim("p", minid=groups[0]["last-delivered-id"], approximate=False)
    assert runs.finish() == fold_all(rules(), lines)[0].bodies
    assert trimmed > len(lines) / 4


def test_flushed_server_stops_the_engine_with_what_to_do(
    tmp_path: Path, server: RedisServer
) -> None:
    runs = Runs(tmp_path, server)
    runs.append(events(300, 23))
    with runs.process() as process:
        runs.wait_for(300)
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"p went back: 0 entries were added up to 0-0, but 1 up to" in errors
    assert b"start with another store" in errors


def test_emptied_store_stops_the_engine_with_what_to_do(
    tmp_path: Path, server: RedisServer
) -> None:
    lines = events(300, 24)
    runs = Runs(tmp_path, server)
    runs.append(lines)
    found = runs.finish()
    for file in tmp_path.glob("s.db*"):
        file.unlink()
    with runs.process("--no-follow") as process:
        _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 3
    assert b"the store knows nothing of 'p', it is another one or was emptied" in errors
    assert b"XGROUP DESTROY p cep" in errors
    with redis.Redis.from_url(server.url) as client:
        client.xgroup_destroy("p", "cep")
    assert runs.finish() == found


def test_waiting_for_a_server_can_be_stopped(tmp_path: Path, server: RedisServer) -> None:
    runs = Runs(tmp_path, server)
    runs.append(events(300, 23))
    with runs.process() as process:
        runs.wait_for(300)
        server.kill()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    server.start()
    assert process.returncode == 0
    assert b"waiting for it" in errors
    assert b"stopped at record 300" in errors
