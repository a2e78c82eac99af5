"""From append to committed detection: the engine follows an embedded log at half of its load.

First the log is filled and followed as fast as it goes: the throughput with a store.  Then a
producer in a process of its own, on another core where there is one, appends the same stream at
half that rate.  The latency of a detection is the time from handing the chunk with the event that
decided it to the log, to the moment the commit with it has returned.  Detections that event time
decides (absences) are left out: the event that moved time is not part of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench import rulebook, workload
from bench.appender import TOPIC, append
from bench.timing import percentiles
from cep.engine import Engine
from cep.log.sqlite import SqliteLog
from cep.render import Rendered
from cep.store.store import open_store
from dsl.model import RuleSet

LOAD = 0.5
SHARES = {"p50_ms": 0.5, "p99_ms": 0.99, "p99_9_ms": 0.999}
CHUNK_SECONDS = 0.005  # what a producer gathers before it appends
FILL_CHUNK_EVENTS = 10_000
PRODUCER_STARTUP_SECONDS = 60.0


def append_to_committed(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """`head` events measure the throughput; then `runs` is the number of seconds of load."""
    rules = rulebook.rules(name)
    with workload.scratch() as folder:
        _throughput(rules, f"{folder}/warm.db", 2_000, 2_000)
        full = _throughput(rules, f"{folder}/full.db", n, head)
        rate = full * LOAD
        events = min(n, max(1, int(rate * runs)))
        chunk = max(1, int(rate * CHUNK_SECONDS))
        seconds = _follow(rules, Path(folder) / "half.db", n, events, rate, chunk)
    figures = zip(SHARES, percentiles(seconds, tuple(SHARES.values())), strict=True)
    return {
        "throughput_events_per_second": round(full),
        "rate_events_per_second": round(rate),
        "events": events,
        "chunk_events": chunk,
        "detections": len(seconds),
        **{share: round(value * 1000, 2) for share, value in figures},
        "max_ms": round(max(seconds) * 1000, 2),
    }


def _throughput(rules: RuleSet, database: str, n: int, head: int) -> float:
    append(database, n, head, float("inf"), FILL_CHUNK_EVENTS)
    log, store = SqliteLog(database, TOPIC, follow=False), open_store(database)
    begin = time.perf_counter()
    Engine(rules, log, store).run()
    seconds = time.perf_counter() - begin
    log.close()
    store.close()
    return head / seconds


def _follow(
    rules: RuleSet, database: Path, n: int, events: int, rate: float, chunk: int
) -> list[float]:
    """Seconds from append to commit, of each detection."""
    committed: list[tuple[float, int]] = []

    def sink(detections: Sequence[Rendered]) -> None:
        now = time.monotonic()
        committed.extend(
            (now, max(found.match.positions)) for found in detections if not found.match.timer
        )

    workload.cached_ndjson(n, events)
    log, store = SqliteLog(str(database), TOPIC), open_store(str(database))

    def progress(read: int) -> None:
        if read >= events:
            engine.stop()

    engine = Engine(rules, log, store, sink=sink, progress=progress)
    producer = _producer(database, n, events, rate, chunk)
    # Whatever becomes of the producer, the engine must not wait for ever.
    limit = threading.Timer(PRODUCER_STARTUP_SECONDS + 4 * events / rate, engine.stop)
    limit.start()
    engine.run()
    limit.cancel()
    output, _ = producer.communicate()
    log.close()
    store.close()
    if producer.returncode or engine.fold is None or engine.fold.position != events:
        raise RuntimeError("the engine did not keep up, or the producer failed")
    times, positions = zip(*json.loads(output), strict=True)
    handed = [times[bisect_right(positions, at) - 1] for _, at in committed]
    return [at - since for (at, _), since in zip(committed, handed, strict=True)]


def _producer(
    database: Path, n: int, events: int, rate: float, chunk: int
) -> subprocess.Popen[bytes]:
    """Started on another core than this process, if the machine has one."""
    mine = os.sched_getaffinity(0)
    others = set(range(os.cpu_count() or 1)) - mine
    arguments = [str(database), str(n), str(events), str(rate), str(chunk)]
    producer = subprocess.Popen(
        [sys.executable, "-m", "bench.appender", *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    with suppress(OSError):  # not allowed there: it shares this core
        os.sched_setaffinity(producer.pid, others or mine)
    return producer
