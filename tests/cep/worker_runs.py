"""Runs of `cep run` with workers, for tests that kill them; and what a store then holds."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cep.store import reads
from cep.store.store import open_store
from cep.store.tables import dead_letter, detection, outbox

START_SECONDS = 400  # the very first start compiles the kernels
KILLS = 8


def command(rules: Path, source: str, store: Path | str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "cep.cli", "run", str(rules), "--from", source),
        *("--store", str(store), "--out", "jsonl", *more),
    ]


class Running:
    """A `cep run` in the background; its output is in files."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=errors)

    @property
    def said(self) -> str:
        return self._errors.read_text()

    @property
    def printed(self) -> list[bytes]:
        data = self._out.read_bytes()
        assert data.endswith(b"\n") or not data or self.process.poll() is None
        return data.splitlines()

    def wait_for(self, look: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
        """What `look` gives as soon as it is something; the run must go on until then."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)
        return found

    def worker_ids(self) -> dict[int, int]:
        """The newest process of each worker, by its number from 1."""
        found = re.findall(r"worker (\d+) of \d+, process (\d+)", self.said)
        return {int(number): int(process) for number, process in found}


@contextlib.contextmanager
def running(folder: Path, arguments: list[str]) -> Iterator[Running]:
    run = Running(folder, arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def positions(path: Path) -> dict[str, int]:
    store = open_store(str(path))
    found = {status.partition: status.position for status in reads.partitions(store.engine)}
    store.close()
    return found


def read_so_far(path: Path) -> int:
    return sum(positions(path).values())


def contents(path: Path | str) -> dict[str, list[tuple[object, ...]]]:
    """Everything that was found, by partition and in the order it was found there."""
    store = open_store(str(path))
    with store.engine.connect() as connection:
        connection.execution_options(read_only=True)

        def rows(query: Any) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(query)]

        columns = [c for c in detection.columns if c.name != "sequence"]
        told = select(outbox.c.detection_id, outbox.c.destination)
        found = {
            "detections": rows(
                select(*columns).order_by(detection.c.partition, detection.c.sequence)
            ),
            "outbox": sorted(rows(told)),
            "dead letters": rows(
                select(dead_letter).order_by(dead_letter.c.partition, dead_letter.c.position)
            ),
        }
    found["partitions"] = [
        (status.partition, status.position, status.watermark_ms, sorted(status.counters.items()))
        for status in reads.partitions(store.engine)
    ]
    store.close()
    return found


def kill_workers(run: Running, store: Path, rng: random.Random) -> list[int]:
    """Kills a worker each time something more was read, at most `KILLS` times in all."""
    killed: list[int] = []
    run.wait_for(run.worker_ids)
    read = 0
    while len(killed) < KILLS and run.process.poll() is None:
        while read_so_far(store) == read and run.process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3 * rng.random())
        alive = [worker for worker in run.worker_ids().values() if state_of(worker) != "Z"]
        if alive and run.process.poll() is None:
            killed.append(rng.choice(alive))
            os.kill(killed[-1], signal.SIGKILL)
        read = read_so_far(store)
    return killed


def state_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
