"""`python -m bench [--events N] [--runs N] [--only NAME,…]`: measures, prints one JSON object.

Figures are of one core.  Progress goes to standard error.  With --write-docs what was measured also
takes its place in docs/benchmarks.json, and tables and plots of docs/benchmarks.md are made anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from bench import check, document, suite, timing, workload


def main(argv: Sequence[str] | None = None) -> None:
    known = [*suite.WORKLOADS, *suite.FIGURES]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--events", type=int, default=suite.WHOLE, help="of the payments stream")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many")
    parser.add_argument("--only", default="", help=f"of {', '.join(known)}")
    parser.add_argument("--full", action="store_true", help="the sizes that take long, too")
    parser.add_argument("--memory", action="store_true", help="only memory, up to 10 M keys")
    parser.add_argument("--write-docs", action="store_true", help="record in docs/")
    options = parser.parse_args(argv)
    chosen = options.only.split(",") if options.only else known
    if options.memory:
        chosen = ["memory"]
    if unknown := set(chosen) - set(known):
        parser.error(f"no such workload or figure: {', '.join(sorted(unknown))}")
    timing.pin_to_one_core()
    workload.cached_ndjson(2_000, 2_000)
    report: dict[str, object] = {"machine": suite.machine(options.events, options.runs)}
    report["workloads"] = {
        name: suite.measure_workload(name, options.events, options.runs)
        for name in suite.WORKLOADS
        if name in chosen
    }
    full = options.full or options.memory
    for name, measure in suite.FIGURES.items():
        if name in chosen:
            report[name] = measure(options.events, options.runs, full)
    print(json.dumps(report, indent=2))
    if options.write_docs:
        if chosen == known:
            report["check"] = check.recorded(check.EVENTS, check.RUNS)
        else:  # the record's size and machine stay those of its last whole run
            del report["machine"]
        document.write(report)


if __name__ == "__main__":
    main()
