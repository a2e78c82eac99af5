"""`python -m bench.check`: has anything become slower than what was recorded?

A short version of the benchmark; each workload's rate is taken relative to the calibration loop,
both in processor time and side by side, as other programs may run, and compared with what
docs/benchmarks.json has for the same size.  What is lower by more than the tolerance is measured
once more, and the better of the two counts.

BENCH_TOLERANCE is the part by which a ratio may be lower, 0.1 when not set.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from bench import rulebook, suite, timing, workload
from bench.document import DOCS

EVENTS = 500_000
RUNS = 15
TOLERANCE = 0.1
CHECKED = ("P1", "P2", "P3", "P4", "P5", "W1", "A1x10", "R10", "R100")
NDJSON = ("P1", "R10")  # reading and rendering are the same for all

Ratios: TypeAlias = Mapping[str, float]


def measure(events: int, runs: int, names: Sequence[str]) -> dict[str, float]:
    """Ratio to the calibration loop by `WORKLOAD matcher` and `WORKLOAD ndjson`."""
    return {
        f"{name} {way}": _ratio(f"{name} {way}", events, runs)
        for name in names
        for way in ("matcher", *(("ndjson",) if name in NDJSON else ()))
    }


def _ratio(what: str, events: int, runs: int) -> float:
    name, way = what.split()
    head = max(1, events // rulebook.SIZES[name].share)
    workload.cached_ndjson(events, head)
    found = suite.child(way, name, events, head, runs)["processor_ratio"]
    assert isinstance(found, float)
    return found


def recorded(events: int, runs: int, names: Sequence[str] = CHECKED) -> dict[str, object]:
    """The entry `check` of the record."""
    return {"events": events, "runs": runs, "ratios": measure(events, runs, names)}


def slower(before: Ratios, now: Ratios, tolerance: float) -> dict[str, float]:
    """By what part each ratio is lower, of those that are lower by more than the tolerance."""
    lower = {what: 1 - ratio / before[what] for what, ratio in now.items() if what in before}
    return {what: part for what, part in lower.items() if part > tolerance}


def confirmed(
    before: Ratios, now: Ratios, tolerance: float, again: Callable[[str], float]
) -> dict[str, float]:
    """`slower`, without what a second measurement does not find slower."""
    second = {what: max(now[what], again(what)) for what in slower(before, now, tolerance)}
    return slower(before, second, tolerance)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.check", description=__doc__)
    parser.add_argument("--record", type=Path, default=DOCS / "benchmarks.json")
    parser.add_argument("--only", default="", help=f"of {', '.join(CHECKED)}")
    parser.add_argument("--write", action="store_true", help="record instead of comparing")
    parser.add_argument("--events", type=int, default=EVENTS, help="with --write")
    parser.add_argument("--runs", type=int, default=RUNS, help="with --write")
    options = parser.parse_args(argv)
    names = options.only.split(",") if options.only else CHECKED
    if unknown := set(names) - set(CHECKED):
        parser.error(f"not checked: {', '.join(sorted(unknown))}")
    timing.pin_to_one_core()
    record: dict[str, Any] = json.loads(options.record.read_text())
    if options.write:
        record["check"] = recorded(options.events, options.runs, names)
        options.record.write_text(json.dumps(record, indent=2) + "\n")
        return
    if "check" not in record:
        sys.exit(f"bench: {options.record} has no short figures: python -m bench.check --write")
    _compare(record["check"], names, float(os.environ.get("BENCH_TOLERANCE", TOLERANCE)))


def _compare(entry: Mapping[str, Any], names: Sequence[str], tolerance: float) -> None:
    """Exits with what is slower, or says how everything stands."""
    events, runs, before = entry["events"], entry["runs"], entry["ratios"]
    now = measure(events, runs, names)
    for what, ratio in now.items():
        if what in before:
            print(f"{what:15} {ratio:10.4g}, recorded {before[what]:.4g}")
    lower = confirmed(before, now, tolerance, lambda what: _ratio(what, events, runs))
    if lower:
        said = [f"{what} by {part:.0%}" for what, part in lower.items()]
        sys.exit(
            f"bench: slower than recorded, by more than {tolerance:.0%}: {', '.join(said)}\n"
            "(relative to the calibration loop; BENCH_TOLERANCE allows more, and "
            "`python -m bench.check --write` records anew)"
        )
    print(f"bench: nothing is slower than recorded by more than {tolerance:.0%}")


if __name__ == "__main__":
    main()
