"""Redis Streams → rendered detections, on a redis-server of its own that keeps nothing.

The server works beside the engine, on any core: that is how a log is read.  The figures are events
per second of the engine, which the benchmark keeps on one core.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from bench import rulebook, workload
from bench.timing import timed
from cep import limits
from cep.engine import Engine
from cep.log.redis import RedisLog
from cep.render import Rendered

ENTRY_EVENTS = 1_000
_PIPELINE_ENTRIES = 5_000
_START_SECONDS = 30


def available() -> bool:
    return shutil.which("redis-server") is not None


def redis_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """One event in each entry of the stream."""
    return _measure(name, n, head, runs, 1)


def redis_batches_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """`ENTRY_EVENTS` events in each entry."""
    return _measure(name, n, head, runs, ENTRY_EVENTS)


def _measure(name: str, n: int, head: int, runs: int, events: int) -> dict[str, object]:
    rules = rulebook.rules(name)

    def run(url: str, topic: str) -> int:
        found = 0

        def sink(detections: Sequence[Rendered]) -> None:
            nonlocal found
            found += sum(bool(detection.body) for detection in detections)

        with closing(RedisLog(url, topic, follow=False)) as log:
            Engine(rules, log, None, sink=sink).run()
        return found

    with server() as url:
        fill(url, "warm", workload.cached_ndjson(2_000, 2_000), events)
        fill(url, "events", workload.cached_ndjson(n, head), events)
        run(url, "warm")
        found = timed(lambda: run(url, "events"), head, runs)
        with closing(RedisLog(url, "events", follow=False)) as log:
            return found | {"log_alone_events_per_second": round(head / _seconds_to_read(log))}


def _seconds_to_read(log: RedisLog) -> float:
    begin, position = time.perf_counter(), 0
    while records := log.read("events", position, limits.BATCH_RECORDS_MAX):
        position = records.end_position
    return time.perf_counter() - begin


@contextmanager
def server() -> Iterator[str]:
    """The URL of a redis-server; it may use all cores, as it is not what is measured."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with workload.scratch() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(process.pid, range(os.cpu_count() or 1))
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def fill(url: str, topic: str, path: Path, events: int) -> None:
    """The lines of a file, so many in each entry."""
    import redis

    with redis.Redis.from_url(url) as client, path.open("rb") as file:
        client.delete(topic)
        entries = iter(lambda: b"".join(islice(file, events)), b"")
        while chunk := list(islice(entries, _PIPELINE_ENTRIES if events == 1 else 10)):
            pipeline: Any = client.pipeline(transaction=False)
            for data in chunk:
                pipeline.xadd(topic, {"data": data.rstrip(b"\n")})
            pipeline.execute()
