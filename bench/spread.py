"""Two worker processes against one, on a log of several partitions.

The log lies ready under a name that nobody reads and gets its own in one transaction, when the
workers are up: the time is that from there to the commit of the last event, with all the commits in
between.  Both numbers of workers read the same log in turns, run by run.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from sqlalchemy import Engine, update

import cep
from bench import rulebook, workload
from cep.log.sqlite import SqliteLog
from cep.log.topics import Topic
from cep.partitioning import check_partitioned
from cep.store import reads
from cep.store.store import open_store
from cep.store.tables import log_chunk
from cep.workers.job import Job, Listener
from cep.workers.supervisor import Supervisor
from dsl.model import RuleSet

PARTITIONS = 4
TOPIC = Topic("events", PARTITIONS, "user")
PARKED = Topic("parked", PARTITIONS, "user")
WORKERS = (1, 2)
CHUNK_EVENTS = 30_000  # of an append, as `cep append` does it
LOOK_SECONDS = 0.01


def two_against_one(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """The rules of a workload, every one of them by user."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    text = re.sub(r"\bby (card|ip)\b", "by user", rulebook.text(name))
    rules = cep.compile(re.sub(r"\{(card|ip)\}", "{user}", text))
    check_partitioned(rules, TOPIC)
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    costs: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    found = set()
    with workload.scratch() as folder:
        for run in range(runs):
            for workers in WORKERS:
                database = Path(folder) / f"{run}-{workers}.db"
                once = _once(rules, str(database), n, head, workers)
                rates[workers].append(head / once.seconds)
                costs[workers].append(once.processor_seconds)
                found.add(once.detections)
    assert len(found) == 1, f"runs disagree: {found}"
    one, two = (median(rates[workers]) for workers in WORKERS)
    cost_one, cost_two = (median(costs[workers]) for workers in WORKERS)
    return {
        "events": head,
        "partitions": PARTITIONS,
        "cores": len(os.sched_getaffinity(0)),
        "detections": found.pop(),
        "one_events_per_second": round(one),
        "two_events_per_second": round(two),
        "factor": float(f"{two / one:.3g}"),
        "processor_factor": float(f"{2 * cost_one / cost_two:.3g}"),
    }


class Once(NamedTuple):
    seconds: float
    processor_seconds: float  # of all workers together
    detections: int


def _once(rules: RuleSet, database: str, n: int, head: int, workers: int) -> Once:
    """One run over a new log and store in one file."""
    log, store = _parked_log(database, n, head), open_store(database)
    supervisor = Supervisor(Job(rules, database, database), TOPIC.names, workers, Listener())
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    while supervisor.trouble() is not None:
        time.sleep(LOOK_SECONDS)
    _hand_over(store.engine)
    before = _processor_seconds(supervisor.processes)
    begin = time.perf_counter()
    while sum(status.position for status in reads.partitions(store.engine)) < head:
        assert thread.is_alive(), "the workers have failed"
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - begin
    spent = _processor_seconds(supervisor.processes) - before
    supervisor.stop()
    thread.join()
    detections = sum(reads.detections_per_rule(store.engine).values())
    log.close()
    store.close()
    return Once(seconds, spent, detections)


def _processor_seconds(processes: Sequence[int]) -> float:
    """User and system time of processes so far."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _parked_log(database: str, n: int, head: int) -> SqliteLog:
    lines = workload.cached_ndjson(n, head).read_bytes().splitlines(keepends=True)
    log = SqliteLog(database, PARKED.name)
    log.declare(PARKED)
    for start in range(0, head, CHUNK_EVENTS):
        log.publish(b"".join(lines[start : start + CHUNK_EVENTS]))
    topic = SqliteLog(database, TOPIC.name)
    topic.declare(TOPIC)
    topic.close()
    return log


def _hand_over(database: Engine) -> None:
    with database.begin() as connection:
        for parked, name in zip(PARKED.names, TOPIC.names, strict=True):
            connection.execute(
                update(log_chunk).where(log_chunk.c.topic == parked).values(topic=name)
            )
