"""`python -m bench [--events N] [--runs N] [--only NAME,…]`: measures, prints one JSON object.

Figures are of one core.  Workloads that need a construct the language does not have yet are null,
with the reason.  Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench import baseline, rulebook, startup, workload

ROOT = Path(__file__).parents[1]
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_THREAD = dict.fromkeys(THREAD_LIMITS, "1")
VERIFIED = (*rulebook.SINGLE, "R10")  # against the naive matcher, which is slow
REFERENCE_EVENTS = 10_000
# Very many rules read the first part of the stream only, so that the whole run takes minutes.
SHARE = {"R100": 10, "R1000": 40}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="of the payments stream")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many")
    parser.add_argument("--only", default="", help="workloads, separated by commas")
    options = parser.parse_args(argv)
    chosen = options.only.split(",") if options.only else [*rulebook.SINGLE, *rulebook.MANY]
    unknown = set(chosen) - {*rulebook.SINGLE, *rulebook.MANY}
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    workload.cached_ndjson(2_000, 2_000)
    report: dict[str, object] = {"machine": _machine(options.events, options.runs)}
    report["workloads"] = {name: _workload(name, options.events, options.runs) for name in chosen}
    if not options.only:
        report["later"] = {
            name: {"result": None, "why": why} for name, why in rulebook.LATER.items()
        }
        events = options.events
        report["decoding"] = _child("decoding", "R10", events, events, options.runs)
        report["partial_match"] = _child("partial", "P1", 0, 0, 1)
        report["startup"] = startup.measure()
    print(json.dumps(report, indent=2))


def _workload(name: str, events: int, runs: int) -> dict[str, object]:
    head = events // SHARE.get(name, 1)
    workload.cached_ndjson(events, head)  # here, so that a child's memory is the measurement's
    matcher = _child("matcher", name, events, head, runs)
    ndjson = _child("ndjson", name, events, head, runs)
    if matcher["detections"] != ndjson["detections"]:
        sys.exit(f"bench: {name}: {matcher['detections']} and {ndjson['detections']} detections")
    result: dict[str, object] = {"events": head}
    if name in VERIFIED:
        result["equal_to_reference"] = _child(
            "reference", name, REFERENCE_EVENTS, REFERENCE_EVENTS, 1
        )
    return result | {"matcher_on_columns": matcher, "ndjson_to_detections": ndjson}


def _child(what: str, name: str, n: int, head: int, runs: int) -> dict[str, object]:
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


def _machine(events: int, runs: int) -> dict[str, object]:
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


if __name__ == "__main__":
    main()
