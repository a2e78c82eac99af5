"""Worker processes, killed, drained and refused: what is detected does not depend on them."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_cases import BASE_MS, EVENTS, RULES, events
from postgres_server import PostgresServer
from worker_runs import (
    command,
    contents,
    kill_workers,
    read_so_far,
    running,
    state_of,
)

import cep
from cep import limits
from cep.errors import WorkerError
from cep.log import open_topic
from cep.log.topics import Topic
from cep.store.store import open_store
from cep.workers.job import Job, Listener
from cep.workers.supervisor import Supervisor

DRAIN_SECONDS = 10
RECORDS = 20_000
KILLS = 8


def partitioned(
    path: Path | str, lines: list[bytes], key: str = "card", partitions: int = 4
) -> str:
    """URL of a log with these events."""
    url = f"{path}#events"
    log = open_topic(url, create=True)
    log.declare(Topic("events", partitions, key))
    for start in range(0, len(lines), 1_000):
        log.publish(b"\n".join(lines[start : start + 1_000]))
    log.close()
    return url


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "r.cep"
    path.write_text(RULES)
    return path


def payment(at_s: int, card: str, amount: str) -> bytes:
    ts = BASE_MS + at_s * 1000
    return f'{{"type":"Payment","ts":{ts},"card":"{card}","amount":{amount}}}\n'.encode()


def test_any_number_of_workers_and_kills_gives_the_same_detections(
    tmp_path: Path, rules: Path
) -> None:
    source = partitioned(tmp_path / "log.db", events(RECORDS, 11))
    alone = tmp_path / "alone.db"
    finite = ("--no-follow", "--commit-interval", "0", "--batch-records")
    arguments = command(rules, source, alone, *finite, "50")
    calm = subprocess.run(arguments, check=True, capture_output=True, timeout=600)
    want = contents(alone)
    assert len(want["detections"]) > 1_000
    assert sorted(calm.stdout.splitlines()) == sorted(row[-1] for row in want["detections"])
    for _, position, _, counters in want["partitions"]:
        count = dict(counters)  # type: ignore[call-overload]
        assert position > 0
        assert count["received"] == sum(
            count[name] for name in ("processed", "late", "dead_lettered", "quarantined", "ignored")
        )
    for workers in (2, 4):
        store = tmp_path / f"{workers}.db"
        seed = time.time_ns()
        rng = random.Random(seed)
        batch_records = str(rng.randint(30, 70))
        arguments = command(rules, source, store, *finite, batch_records)
        with running(tmp_path, [*arguments, "--workers", str(workers)]) as run:
            killed = kill_workers(run, store, rng)
            assert run.process.wait(600) == 0, run.said
        assert contents(store) == want, f"{workers} workers, seed {seed}"
        assert len(killed) >= 3
        # One that is killed when it has read all and is ending is not started again.
        started_again = run.said.count("was killed by SIGKILL; it is started again")
        assert 0 <= len(killed) - started_again <= workers
        # Lines are whole; those between a commit and a kill are in the store alone.
        bodies = {row[-1] for row in want["detections"]}
        assert len(set(run.printed)) == len(run.printed)
        assert set(run.printed) <= bodies


def test_workers_on_postgresql_detect_the_same(
    tmp_path: Path, rules: Path, postgres_server: PostgresServer
) -> None:
    source = partitioned(postgres_server.new_database(), events(3_000, 13))
    stores = {workers: postgres_server.new_database() for workers in (1, 2, 4)}
    for workers, store in stores.items():
        more = ("--no-follow", "--batch-records", "100", "--workers", str(workers))
        arguments = command(rules, source, store, *more)
        subprocess.run(arguments, check=True, capture_output=True, timeout=600)
    alone = contents(stores[1])
    assert len(alone["detections"]) > 200
    assert contents(stores[2]) == contents(stores[4]) == alone


def test_followed_log_is_drained_in_time_and_the_report_says_how_far(
    tmp_path: Path, rules: Path
) -> None:
    source = partitioned(tmp_path / "log.db", events(2_000, 5))
    store = tmp_path / "s.db"
    with running(tmp_path, command(rules, source, store, "--workers", "2")) as run:
        run.wait_for(lambda: store.exists() and read_so_far(store) == 2_000)
        begin = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(DRAIN_SECONDS) == 0
        assert time.monotonic() - begin < DRAIN_SECONDS
    for number in range(4):
        assert re.search(
            rf"events/{number} stopped at record \d+, 0 behind the log's end", run.said
        )
    bodies = [row[-1] for row in contents(store)["detections"]]
    assert sorted(run.printed) == sorted(bodies)


def test_worker_that_does_not_answer_is_killed_in_time(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", events(500, 5))
    store = tmp_path / "s.db"
    with running(tmp_path, command(rules, source, store, "--workers", "2")) as run:
        run.wait_for(lambda: store.exists() and read_so_far(store) == 500)
        os.kill(run.worker_ids()[1], signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(DRAIN_SECONDS) == 0
        assert state_of(run.worker_ids()[1]) == "Z"
    assert "worker 1 of 2 did not end in time: it is killed" in run.said


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", events(500, 5))
    store = tmp_path / "s.db"
    with running(tmp_path, command(rules, source, store, "--workers", "2")) as run:
        run.wait_for(lambda: store.exists() and read_so_far(store) == 500)
        workers = run.worker_ids().values()
        run.process.kill()
        deadline = time.monotonic() + 20
        while any(state_of(worker) != "Z" for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_named_reason_of_one_worker_ends_all_with_it(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", events(500, 5))
    path = tmp_path / "s.db"
    with running(tmp_path, command(rules, source, path, "--workers", "2")) as run:
        run.wait_for(lambda: path.exists() and read_so_far(path) == 500)
        store = open_store(str(path))
        store.acquire("events/1")
        store.close()
        log = open_topic(source)
        log.publish(b"".join(payment(10_000, f"c{n}", "1.00") for n in range(12)))
        log.close()
        assert run.process.wait(60) == 3
    assert "cep: partition 'events/1' was taken over by another engine" in run.said


def test_rules_that_need_other_keys_are_refused_at_start(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", [], key="country")
    arguments = command(rules, source, tmp_path / "s.db", "--workers", "2")
    done = subprocess.run(arguments, capture_output=True, timeout=100)
    assert done.returncode == 2
    assert b"rule hop (by card): its key needs the field country" in done.stderr
    assert b"topic events of 4 partitions by country" in done.stderr


def test_more_workers_than_partitions_are_refused(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", [])
    done = subprocess.run(
        command(rules, source, tmp_path / "s.db", "--workers", "5"),
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert b"has 4 partitions: at most so many workers" in done.stderr


def test_silence_is_told_to_each_partition_by_its_worker(tmp_path: Path, rules: Path) -> None:
    large = [payment(0, f"c{number}", "950.25") for number in range(12)]
    source = partitioned(tmp_path / "log.db", [line.rstrip(b"\n") for line in large])
    store = tmp_path / "s.db"
    # The last events, 38 s on, leave the absences of 30 s open: lateness is 10 s.
    log = open_topic(source)
    log.publish(b"".join(payment(38, f"c{number}", "1.00") for number in range(12)))
    log.close()
    arguments = command(rules, source, store, "--workers", "2", "--idle", "1s")
    with running(tmp_path, arguments) as run:
        run.wait_for(lambda: store.exists() and read_so_far(store) == 24)
        assert not run.printed
        run.wait_for(lambda: len(run.printed) == 12, 60)
    assert all(b'"rule":"unblocked"' in line for line in run.printed)


def test_ticks_that_a_log_cannot_take_are_refused_at_start(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", [])
    arguments = command(rules, source, tmp_path / "s.db", "--workers", "2", "--idle", "10ms")
    done = subprocess.run(arguments, capture_output=True, timeout=100)
    assert done.returncode == 2
    assert b"--idle: at least 1s" in done.stderr
    assert b"worker 1" not in done.stderr


def test_without_a_store_a_dead_worker_ends_all(tmp_path: Path, rules: Path) -> None:
    source = partitioned(tmp_path / "log.db", events(500, 5))
    arguments = [
        *(sys.executable, "-m", "cep.cli", "run", str(rules), "--from", source),
        *("--workers", "2", "--out", "jsonl"),
    ]
    with running(tmp_path, arguments) as run:
        run.wait_for(lambda: run.printed)
        os.kill(run.worker_ids()[2], signal.SIGKILL)
        assert run.process.wait(60) == 4
    assert "worker 2 of 2 was killed by SIGKILL; without a store it cannot go on" in run.said


LISTED = (
    EVENTS
    + """
list wanted: [string] from file "wanted.txt"
rule seen { by card match Payment[card in wanted] alert "{card}" }
"""
)


def test_tables_are_read_anew_by_all_workers(tmp_path: Path) -> None:
    rules, wanted = tmp_path / "r.cep", tmp_path / "wanted.txt"
    rules.write_text(LISTED)
    wanted.write_text("nobody\n")
    source, store = partitioned(tmp_path / "log.db", []), tmp_path / "s.db"
    cards = [f"c{number}" for number in range(12)]

    def pay(at_s: int) -> None:
        log = open_topic(source)
        log.publish(b"".join(payment(at_s, card, "1.00") for card in cards))
        log.close()

    with running(tmp_path, command(rules, source, store, "--workers", "2")) as run:
        pay(0)
        run.wait_for(lambda: store.exists() and read_so_far(store) == 12)
        wanted.write_text("\n".join(cards))
        run.process.send_signal(signal.SIGHUP)
        run.wait_for(lambda: run.said.count("the tables were read anew") == 4, 30)
        pay(100)
        pay(200)
        run.wait_for(lambda: len(run.printed) >= 12, 30)
    assert len(run.printed) == 12


def test_worker_that_dies_whenever_it_is_started_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WORKER_RESTART_MS", 10)
    monkeypatch.setattr(limits, "WORKER_DEATHS_MAX", 3)
    source, store = partitioned(tmp_path / "log.db", events(500, 5)), tmp_path / "s.db"
    said: list[str] = []
    # Called with detections, this is no named reason but a fault.
    job = Job(
        cep.compile(RULES),
        source,
        str(store),
        lines=os.getpid,  # type: ignore[arg-type]
        batch_records=20,
        commit_interval_ms=0,
    )
    supervisor = Supervisor(job, [f"events/{n}" for n in range(4)], 1, Listener(say=said.append))
    with pytest.raises(WorkerError, match="worker 1 of 1 ended with 1, 3 times in a row"):
        supervisor.run()
    waits = [float(wait) for wait in re.findall(r"started again in (\S+) s", "\n".join(said))]
    assert waits == [0.01, 0.02]
