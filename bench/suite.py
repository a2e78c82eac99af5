"""What is measured, each figure by child processes: workloads, and figures of the engine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench import backtesting, baseline, delivering, rulebook, startup, streams, workload

ROOT = Path(__file__).parents[1]
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_THREAD = dict.fromkeys(THREAD_LIMITS, "1")
WORKLOADS = (*rulebook.SINGLE, *rulebook.GROWING, *rulebook.MANY)
WAYS = {"matcher": "matcher_on_columns", "ndjson": "ndjson_to_detections"}
FRAMES = {"arrow": "arrow_to_detections", "parquet": "parquet_to_detections"}
STREAMS = {"redis": "redis_to_detections", "redis-batches": "redis_batches_to_detections"}
FROM_ALL_EDGES = ("R10",)
WHOLE = 2_000_000  # events of the stream at which the figures have their full size
STATE_MIB = (100, 300)
STATE_EVENTS_MIN = 100_000  # so that there are enough left when the state has its size
LATENCY_SECONDS = 20
MEMORY_KEYS = 1_000_000


def measure_workload(name: str, events: int, runs: int) -> dict[str, object]:
    """One entry of `workloads`; the ways from input to detections must find as many."""
    size = rulebook.SIZES[name]
    head = max(1, events // size.share)
    workload.cached_ndjson(events, head)  # here, so that a child's memory is the measurement's
    result: dict[str, object] = {"events": head}
    if size.verified:
        result["equal_to_reference"] = child("reference", name, size.dense, size.verified, 1)
    ways = WAYS
    if name in FROM_ALL_EDGES:
        ways = WAYS | FRAMES | (STREAMS if streams.available() else {})
    found = {figure: child(way, name, events, head, runs) for way, figure in ways.items()}
    numbers = {figure: each["detections"] for figure, each in found.items()}
    if len(set(numbers.values())) != 1:
        sys.exit(f"bench: {name}: the ways differ in their detections: {numbers}")
    return result | found


def child(what: str, name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """The JSON that `bench.measure` prints."""
    print(f"bench: {what} {name} …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure", what, name, str(n), str(head), str(runs)],
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


def machine(events: int, runs: int) -> dict[str, object]:
    return {
        "processor": _processor(),
        "python": platform.python_version(),
        "numba": metadata.version("numba"),
        "numpy": metadata.version("numpy"),
        "events": events,
        "runs": runs,
        "calibration_steps_per_second": round(baseline.calibration_steps_per_second()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _stages(events: int, runs: int, full: bool) -> object:
    return {"R10": child("stages", "R10", events, events, 1)}


def _checkpoint(events: int, runs: int, full: bool) -> object:
    """By MiB of state; a gigabyte takes a longer stream, and minutes."""
    sizes = [_scaled(mib, events) for mib in STATE_MIB]
    stream = max(events, STATE_EVENTS_MIN)
    results = {f"{mib} MiB": child("checkpoint", "state", stream, mib, 9) for mib in sizes}
    if full:
        results["1024 MiB"] = child("checkpoint", "state", 4 * max(events, WHOLE), 1024, 9)
    return results


def _latency(events: int, runs: int, full: bool) -> object:
    head = max(1, events // rulebook.SIZES["R100"].share)
    return {"R100": child("latency", "R100", events, head, _scaled(LATENCY_SECONDS, events))}


def _memory(events: int, runs: int, full: bool) -> object:
    sizes = [_scaled(MEMORY_KEYS, events)] + ([10 * MEMORY_KEYS] if full else [])
    return {f"{keys:,} keys": child("memory", "P1", 0, keys, 1) for keys in sizes}


def _workers(events: int, runs: int, full: bool) -> object:
    return {"R10": child("workers", "R10", events, events, runs)}


def _startup(events: int, runs: int, full: bool) -> object:
    return startup.measure()


def _delivering(events: int, runs: int, full: bool) -> object:
    found = child("delivering", "webhook", events, _scaled(delivering.ALERTS, events), runs)
    return {"webhook": found}


def _backtest(events: int, runs: int, full: bool) -> object:
    head = _scaled(backtesting.EVENTS, events)
    return {"P1": child("backtest", "P1", max(events, head), head, runs)}


def _scaled(what: int, events: int) -> int:
    """Smaller when the stream is made smaller, never larger."""
    return max(1, what * min(events, WHOLE) // WHOLE)


FIGURES = {
    "stages": _stages,
    "checkpoint": _checkpoint,
    "latency": _latency,
    "memory": _memory,
    "startup": _startup,
    "workers": _workers,
    "delivering": _delivering,
    "backtest": _backtest,
}
"""Of the engine, each a function of (events, runs, full)."""
