"""A real PostgreSQL that holds log and store is restarted and crashes while engines run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from engine_cases import RULES, events, records, rules
from postgres_server import PostgresServer

from cep.fold import Fold
from cep.log import open_topic
from cep.store import reads
from cep.store.store import open_store

START_SECONDS = 400  # the very first start compiles the kernels
PARTS = 4
PART = 150


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


def append(database: str, lines: Sequence[bytes]) -> None:
    with closing(open_topic(f"{database}#p")) as log:
        log.publish(b"".join(line + b"\n" for line in lines))


@contextmanager
def following(folder: Path, database: str) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "r.cep").write_text(RULES)
    command = [
        *(sys.executable, "-m", "cep.cli", "run", str(folder / "r.cep")),
        *("--from", f"{database}#p", "--store", database, "--idle", "0s", "--out", "jsonl"),
    ]
    with (folder / "said.txt").open("ab") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(folder: Path, database: str, position: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        store = open_store(database)
        found = [status.position for status in reads.partitions(store.engine)]
        store.close()
        if found and found[0] >= position:
            return
        assert time.monotonic() < deadline, (folder / "said.txt").read_text()
        time.sleep(0.05)


def detected(lines: Sequence[bytes]) -> list[bytes]:
    outcome = Fold(rules(), "p").step(records(lines, 0, len(lines)))
    return [found.body for found in outcome.detections]


def bodies(database: str) -> list[bytes]:
    store = open_store(database)
    found = [each.body for each in reads.detections(store.engine, limit=1000)]
    store.close()
    return found


def test_a_server_that_is_restarted_and_crashes_is_waited_for(
    tmp_path: Path, server: PostgresServer
) -> None:
    lines, database = events(PARTS * PART, 31), server.new_database()
    append(database, lines[:PART])
    with following(tmp_path, database) as process:
        wait_for(tmp_path, database, PART)
        for number in range(1, PARTS):
            (server.stop if number % 2 else server.kill)()
            time.sleep(0.3)
            assert process.poll() is None
            server.start()
            append(database, lines[number * PART : (number + 1) * PART])
            wait_for(tmp_path, database, (number + 1) * PART)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    said = (tmp_path / "said.txt").read_text()
    assert said.count("waiting until it is there again") == PARTS - 1
    assert said.count("the database is there again") == PARTS - 1
    assert "Traceback" not in said
    expected = detected(lines)
    assert bodies(database) == expected
    assert len(expected) > 20


def test_waiting_for_a_server_can_be_stopped(tmp_path: Path, server: PostgresServer) -> None:
    lines, database = events(PART, 32), server.new_database()
    append(database, lines)
    with following(tmp_path, database) as process:
        wait_for(tmp_path, database, PART)
        server.stop()
        while b"waiting until it is there again" not in (tmp_path / "said.txt").read_bytes():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (2, 3)
    server.start()
    assert bodies(database) == detected(lines)
