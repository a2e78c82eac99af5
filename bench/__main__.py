"""`python -m bench [--events N] [--runs N] [--only NAME,…]`: measures, prints one JSON object.

Figures are of one core.  Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from bench import suite, timing, workload


def main(argv: Sequence[str] | None = None) -> None:
    known = [*suite.WORKLOADS, *suite.FIGURES]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="of the payments stream")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many")
    parser.add_argument("--only", default="", help=f"of {', '.join(known)}")
    parser.add_argument("--full", action="store_true", help="the sizes that take long, too")
    options = parser.parse_args(argv)
    chosen = options.only.split(",") if options.only else known
    if unknown := set(chosen) - set(known):
        parser.error(f"no such workload or figure: {', '.join(sorted(unknown))}")
    timing.pin_to_one_core()
    workload.cached_ndjson(2_000, 2_000)
    report = {"machine": suite.machine(options.events, options.runs)}
    report["workloads"] = {
        name: suite.measure_workload(name, options.events, options.runs)
        for name in suite.WORKLOADS
        if name in chosen
    }
    for name, measure in suite.FIGURES.items():
        if name in chosen:
            report[name] = measure(options.events, options.runs, options.full)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
