"""`python -m bench.document`: writes what docs/benchmarks.json has into docs/benchmarks.md.

Only the lines between the two markers are the program's; plots go to docs/plots/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import tables
from bench.plots import plots

DOCS = Path(__file__).parents[1] / "docs"
BEGIN = "<!-- figures: begin (written by `python -m bench --write-docs`) -->"
END = "<!-- figures: end -->"
ALTERNATIVES = {
    "throughput.svg": "Events per second by workload, against the goals and Flink",
    "window.svg": "Events per second of A1 by window",
}


def record_of(docs: Path = DOCS) -> dict[str, Any]:
    """What was recorded; empty when nothing was."""
    path = docs / "benchmarks.json"
    recorded: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {"workloads": {}} | recorded


def write(measured: Mapping[str, Any], docs: Path = DOCS) -> None:
    """Takes what was measured into the record, keeps what else is there, rewrites the page."""
    record = record_of(docs)
    record |= {name: value for name, value in measured.items() if name != "workloads"}
    record["workloads"] |= measured.get("workloads", {})
    (docs / "benchmarks.json").write_text(json.dumps(record, indent=2) + "\n")
    page = docs / "benchmarks.md"
    page.write_text(replaced(page.read_text(encoding="utf-8"), figures(record, docs)))


def replaced(text: str, figures: str) -> str:
    """The page with other figures between its markers; ValueError when they are not there."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("docs/benchmarks.md has lost its markers")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def figures(record: Mapping[str, Any], docs: Path = DOCS) -> str:
    """All tables and links to the plots, which are written."""
    folder = docs / "plots"
    folder.mkdir(exist_ok=True)
    drawn = plots(record)
    for name, text in drawn.items():
        (folder / name).write_text(text)

    def plot(name: str) -> str:
        return f"![{ALTERNATIVES[name]}](plots/{name})" if name in drawn else ""

    parts = [
        tables.machine(record),
        plot("throughput.svg"),
        tables.workloads(record),
        tables.edges(record),
        plot("window.svg"),
        tables.growing(record),
        tables.stages(record),
        tables.checkpoint(record),
        tables.latency(record),
        tables.memory(record),
        tables.startup(record),
        tables.workers(record),
        tables.delivering(record),
        tables.backtest(record),
    ]
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    write({})
