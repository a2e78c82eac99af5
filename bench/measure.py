"""One measurement in a process of its own: `python -m bench.measure WHAT RULES N HEAD RUNS`.

It reads the first HEAD events of a stream of N and prints JSON.

A child process per measurement keeps peak memory and caches apart.  It runs on one core: threads
of libraries are limited by the parent's environment, the process is pinned here.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

import cep
from bench import baseline, decoding, rulebook, workload
from bench.columns import batches
from cep.cli.memory import tune_garbage_collection
from cep.engine import Engine
from cep.limits import END_OF_TIME_MS
from cep.log.file import FileLog
from cep.render import Rendered
from dsl.model import RuleSet
from matcher.batch import Batch
from matcher.matcher import Matcher
from matcher.record import record
from matcher.reference import ReferenceEvent, reference_matches
from matcher.schema import Schema
from matcher.strings import Strings

PARTIAL_MATCHES = 1_000_000
BASELINE_BYTES = 64 << 20  # of the stream, for the bare decoder


def matcher_alone(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(a) columns in memory → matches; batches are made before the clock starts."""
    rules = cep.compile(rulebook.text(name))
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    parts = batches(workload.generate(n).head(head), schema, strings)
    end = parts[0].take(np.zeros(0, np.int64))
    Matcher(rules.rules, schema, strings).advance(parts[0], 0)  # compiles the kernel

    def once() -> int:
        matcher = Matcher(rules.rules, schema, strings)
        found = 0
        for part in parts:
            found += len(matcher.advance(part, int(part.ts[-1])))
        return found + len(matcher.advance(end, END_OF_TIME_MS))

    return _timed(once, head, runs)


def ndjson_to_detections(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """(b) an NDJSON file in the page cache → rendered detections, through the engine."""
    rules = cep.compile(rulebook.text(name))
    path = workload.cached_ndjson(n, head)
    warm = workload.cached_ndjson(2_000, 2_000)

    def run(path: Path) -> int:
        found = 0

        def sink(detections: Sequence[Rendered]) -> None:
            nonlocal found
            found += sum(bool(detection.body) for detection in detections)

        Engine(rules, FileLog(str(path)), None, sink=sink).run()
        return found

    run(warm)
    result = _timed(lambda: run(path), head, runs)
    bare = baseline.decoder_events_per_second(_first_lines(path))
    result["ratio_to_bare_decoder"] = round(_rate(result) / bare, 3)
    return result | {"bare_decoder_events_per_second": round(bare)}


def _first_lines(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(BASELINE_BYTES)
    return data[: data.rindex(b"\n") + 1]


def agrees_with_reference(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Compares the matcher with the naive one."""
    rules = cep.compile(rulebook.text(name))
    stream = workload.generate(n).head(head)
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    parts = batches(stream, schema, strings)
    matcher = Matcher(rules.rules, schema, strings)
    found = [match for part in parts for match in matcher.advance(part, int(part.ts[-1]))]
    found += matcher.advance(parts[0].take(np.zeros(0, np.int64)), END_OF_TIME_MS)
    fast = sorted(
        (match.rule.name, match.at_ms, tuple(bound.position for bound in match.events))
        for match in found
    )
    events = _reference_events(stream, rules)
    naive = sorted(
        (rule.name, match.at_ms, tuple(event.position for _, event in match.bound))
        for rule in rules.rules
        for match in reference_matches(rule, events)
    )
    assert fast == naive, f"{name}: the matcher and the reference differ"
    return {"events": head, "matches": len(naive)}


def _reference_events(stream: workload.Workload, rules: RuleSet) -> list[ReferenceEvent]:
    types = {event.discriminator: event for event in rules.events.values()}
    events = []
    for position, line in enumerate(workload.ndjson(stream).splitlines()):
        value = json.loads(line)
        event = types[value["type"]]
        fields = record(event, value, strict=False)
        events.append(ReferenceEvent(int(stream.ts[position]), position, event.name, fields))
    return events


def partial_matches(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Memory of a million live two-step runs, one per key, evidence (raw bytes) left out."""
    rules = cep.compile(rulebook.text("P1"))
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    rows = np.arange(PARTIAL_MATCHES)
    base = workload.Workload(
        ts=workload.START_MS + rows // 20,
        type=np.full(PARTIAL_MATCHES, workload.TX, np.int8),
        user=rows.astype(np.int32),
        card=rows.astype(np.int32),
        amount=np.full(PARTIAL_MATCHES, 100),
        country=np.zeros(PARTIAL_MATCHES, np.int8),
        ip=rows.astype(np.int32),
    )
    parts: list[Batch] = batches(base, schema, strings)
    Matcher(rules.rules, schema, strings).advance(parts[0], 0)
    matcher = Matcher(rules.rules, schema, strings)
    gc.collect()
    before = _resident_bytes()
    for part in parts:
        matcher.advance(part, int(part.ts[-1]))
    gc.collect()
    grown = _resident_bytes() - before
    return {"live": PARTIAL_MATCHES, "bytes_each": round(grown / PARTIAL_MATCHES, 1)}


def _timed(once: Callable[[], int], n: int, runs: int) -> dict[str, object]:
    loaded = _resident_bytes()
    rates, found = [], set()
    for _ in range(runs):
        begin = time.perf_counter()
        found.add(once())
        rates.append(n / (time.perf_counter() - begin))
    assert len(found) == 1, f"runs disagree: {found}"
    steps = baseline.calibration_steps_per_second()
    return {
        "events_per_second": round(median(rates)),
        "runs": [round(rate) for rate in rates],
        "ratio_to_calibration": round(median(rates) / steps, 4),
        "detections": found.pop(),
        "memory_before_bytes": loaded,
        "memory_peak_bytes": _peak_bytes(),
    }


def _rate(result: dict[str, object]) -> float:
    rate = result["events_per_second"]
    assert isinstance(rate, int)
    return float(rate)


def _peak_bytes() -> int:
    """Not getrusage: its figure begins with that of the parent process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


MEASURES = {
    "matcher": matcher_alone,
    "ndjson": ndjson_to_detections,
    "reference": agrees_with_reference,
    "partial": partial_matches,
    "decoding": decoding.stages,
}


def main() -> None:
    what, name, n, head, runs = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tune_garbage_collection()  # as `cep run` does
    print(json.dumps(MEASURES[what](name, int(n), int(head), int(runs))))


if __name__ == "__main__":
    main()
