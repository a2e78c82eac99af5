"""One measurement in a process of its own: `python -m bench.measure WHAT RULES N HEAD RUNS`.

It reads the first HEAD events of a stream of N and prints JSON.

A child process per measurement keeps peak memory and caches apart.  It runs on one core: threads
of libraries are limited by the parent's environment, the process is pinned here.
"""

from __future__ import annotations

import json
import sys

from bench import (
    backtesting,
    checkpoint,
    delivering,
    latency,
    memory,
    reference,
    spread,
    stages,
    streams,
    throughput,
    timing,
)
from cep.cli.memory import tune_garbage_collection

MEASURES = {
    "matcher": throughput.matcher_alone,
    "ndjson": throughput.ndjson_to_detections,
    "arrow": throughput.arrow_to_detections,
    "parquet": throughput.parquet_to_detections,
    "redis": streams.redis_to_detections,
    "redis-batches": streams.redis_batches_to_detections,
    "reference": reference.agrees_with_reference,
    "memory": memory.partial_matches,
    "checkpoint": checkpoint.commits_and_restore,
    "latency": latency.append_to_committed,
    "stages": stages.time_by_stage,
    "workers": spread.two_against_one,
    "delivering": delivering.outbox_to_receiver,
    "backtest": backtesting.log_to_result,
}


def main() -> None:
    what, name, n, head, runs = sys.argv[1:]
    timing.pin_to_one_core()
    tune_garbage_collection()  # as `cep run` does
    print(json.dumps(MEASURES[what](name, int(n), int(head), int(runs))))


if __name__ == "__main__":
    main()
