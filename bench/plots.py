"""The plots of docs/benchmarks.md, from what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import rulebook, suite
from bench.goals import FLINK, GOALS
from bench.svg import Row, bars


def plots(record: Mapping[str, Any]) -> dict[str, str]:
    """SVG by file name; a plot nothing of which was measured is left out."""
    drawn = {"throughput.svg": _throughput(record), "window.svg": _window(record)}
    return {name: text for name, text in drawn.items() if text}


def rate(record: Mapping[str, Any], workload: str) -> float | None:
    """Events/s of the matcher on columns."""
    entry = record["workloads"].get(workload)
    return entry and float(entry["matcher_on_columns"]["events_per_second"])


def _throughput(record: Mapping[str, Any]) -> str:
    names = [name for name in suite.WORKLOADS if name not in ("A1x10", "A1x100")]
    rows = [
        Row(name, (rate(record, name), FLINK.get(name)), GOALS.get(name))
        for name in names
        if rate(record, name)
    ]
    title = "Events/s by workload, columns in memory, one core (logarithmic)"
    return bars(title, ("this engine", "Flink"), rows, logarithmic=True) if rows else ""


def _window(record: Mapping[str, Any]) -> str:
    rows = [
        Row(f"{window}", (rate(record, name),), GOALS[name])
        for name, window in rulebook.GROWING.items()
        if rate(record, name)
    ]
    title = "A1: events/s over the window of the rule"
    return bars(title, ("this engine",), rows, logarithmic=False) if rows else ""
