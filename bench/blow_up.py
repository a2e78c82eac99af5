"""What a rule that grows without end costs the others, once it has reached its limit.

`python -m bench.blow_up`.  Beside R10 on the stream of payments a rule with a thousand starts a
second holds each for six hours.  Two folds read the same log, one of them without that rule; timed
is every step over one second of events, as that is how long the detections of others wait; in
processor time, as other programs may run.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import cep
from bench import rulebook, timing, workload
from cep.fold import Fold
from cep.ports import Records

EVENTS = 2_000_000  # of the stream of payments, over six hours
STARTS_PER_SECOND = 1_000
TIMED_SECONDS = 300
SECONDS_PER_STEP_BEFORE = 30

FLOOD = "\nevent Hit { ts: timestamp @time  host: string  size: int }\n"
PAIR = "match a: Hit -> b: Hit[size > 9] within 6h"
RUNS = "match a: Hit -> b: Hit[size > 9] -> c: Hit[size > 99] within 6h after match no skip"


class Flood(NamedTuple):
    """A pattern, the keys its starts are spread over, and the seconds until it is at its limit."""

    body: str
    keys: int
    seconds: int


KINDS = {
    "pair, a key": Flood(PAIR, 1, 20),
    "pair, a key each": Flood(PAIR, 10**9, 4_020),
    "runs, a key, limit 100": Flood(f"{RUNS} limit 100 runs", 1, 20),
    "runs, 1,000 keys, limit 100": Flood(f"{RUNS} limit 100 runs", 1_000, 120),
    "runs, a key each": Flood(RUNS, 10**9, 4_020),
    "runs, a key": Flood(RUNS, 1, 20),
}


def main() -> None:
    chosen = sys.argv[1:] or list(KINDS)
    timing.pin_to_one_core()
    for kind in chosen:
        print(json.dumps({kind: measured(KINDS[kind])}), flush=True)


def measured(flood: Flood) -> dict[str, object]:
    """Milliseconds of steps, and bytes of resident memory beyond those of the fold without it."""
    text = rulebook.text("R10") + FLOOD
    rule = f'rule flood {{ severity low by host {flood.body} alert "{{host}}" }}'
    stream = seconds_of(flood)
    folds = {"without": Fold(cep.compile(text), "p"), "with": Fold(cep.compile(text + rule), "p")}
    found: dict[str, list[bytes]] = {name: [] for name in folds}
    times: dict[str, list[float]] = {name: [] for name in folds}
    memory: dict[str, int] = {}

    def step(data: bytes) -> None:
        for name, fold in folds.items():
            records = Records(fold.position, data, data.count(b"\n"))
            begin = time.process_time()
            outcome = fold.step(records)
            times[name].append(1_000 * (time.process_time() - begin))
            fold.changed_pages()
            found[name] += [d.body for d in outcome.detections if d.detection.rule != "flood"]

    for _ in range(flood.seconds // SECONDS_PER_STEP_BEFORE + 1):
        step(b"".join(next(stream) for _ in range(SECONDS_PER_STEP_BEFORE)))
    runs = folds["with"].runs({"flood"})
    gc.collect()
    memory["resident_bytes_at_limit"] = timing.resident_bytes()
    for name in times:
        times[name].clear()
    for _ in range(TIMED_SECONDS):
        step(next(stream))
    memory["resident_bytes_later"] = timing.resident_bytes()
    kept = folds["with"].runs({"flood"})
    for name, fold in folds.items():  # without the rule, time stands where the last payment was
        found[name] += [d.body for d in fold.finish().detections if d.detection.rule != "flood"]
    assert found["with"] == found["without"], "other rules detect something else"
    shares = {name: timing.percentiles(taken, (0.5, 0.99)) for name, taken in times.items()}
    fold = folds["with"]
    return {
        "partial_matches": [runs, kept],
        "capped": fold.capped.get("flood", 0),
        "detections_of_others": len(found["with"]),
        "p50_ms": {name: round(taken[0], 2) for name, taken in shares.items()},
        "p99_ms": {name: round(taken[1], 2) for name, taken in shares.items()},
        "p99_ratio": round(shares["with"][1] / shares["without"][1], 2),
        **memory,
    }


def seconds_of(flood: Flood) -> Iterator[bytes]:
    """The log, a second at a time."""
    payments = workload.generate(EVENTS)
    seconds = flood.seconds + TIMED_SECONDS + 2 * SECONDS_PER_STEP_BEFORE
    edges = workload.START_MS + 1_000 * np.arange(seconds + 1)
    ends = np.searchsorted(payments.ts, edges).tolist()
    lines = workload.ndjson(payments.head(ends[-1])).splitlines(keepends=True)
    for second in range(seconds):
        number = second * STARTS_PER_SECOND
        at_ms = workload.START_MS + 1_000 * second + 999  # behind the payments of the second
        hits = (
            f'{{"type":"Hit","ts":{at_ms},"host":"h{(number + place) % flood.keys}","size":1}}\n'
            for place in range(STARTS_PER_SECOND)
        )
        yield b"".join(lines[ends[second] : ends[second + 1]]) + "".join(hits).encode()


if __name__ == "__main__":
    main()
