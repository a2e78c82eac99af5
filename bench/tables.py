"""What was recorded, as Markdown tables: one function per table, "" when nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from bench import goals, rulebook, suite
from bench.svg import short

Record: TypeAlias = Mapping[str, Any]
MIB = 1 << 20
EDGES = {
    "ndjson_to_detections": "NDJSON file",
    "arrow_to_detections": "Arrow table in memory",
    "parquet_to_detections": "Parquet file",
    "redis_to_detections": "Redis stream, one event per entry",
    "redis_batches_to_detections": "Redis stream, 1,000 events per entry",
}


def machine(record: Record) -> str:
    if (known := record.get("machine")) is None:
        return ""
    return (
        f"On one core of an {known['processor']} with Python {known['python']}, Numba "
        f"{known['numba']} and NumPy {known['numpy']}; the calibration loop does "
        f"{short(known['calibration_steps_per_second'])} steps/s. The raw output is "
        "[benchmarks.json](benchmarks.json)."
    )


def workloads(record: Record) -> str:
    rows = []
    for name in (name for name in suite.WORKLOADS if name in record["workloads"]):
        entry = record["workloads"][name]
        matcher, ndjson = entry["matcher_on_columns"], entry["ndjson_to_detections"]
        rows.append(
            (
                name,
                f"{entry['events']:,}",
                f"{matcher['detections']:,}",
                short(matcher["events_per_second"]),
                _short(goals.GOALS.get(name)),
                _short(goals.FLINK.get(name)),
                short(ndjson["events_per_second"]),
                _percent(ndjson["ratio_to_bare_decoder"]),
                f"{ndjson['memory_peak_bytes'] / MIB:,.0f} MiB",
            )
        )
    head = (
        *("workload", "events", "detections", "matcher, events/s", "goal", "Flink"),
        *("NDJSON, events/s", "of the bare decoder", "memory, NDJSON"),
    )
    return _table(head, rows)


def edges(record: Record) -> str:
    entry = record["workloads"].get("R10", {})
    rows = [
        (text, short(entry[way]["events_per_second"]), _short(goals.EDGE_GOALS.get(way)))
        for way, text in EDGES.items()
        if way in entry
    ]
    return _table(("R10, from", "events/s", "goal"), rows)


def growing(record: Record) -> str:
    """A1 by window; a factor is the time per event over that of the least window."""
    entries = [(window, record["workloads"].get(name)) for name, window in _windows()]
    rates = [(w, e["matcher_on_columns"]) for w, e in entries if e is not None]
    rows = [
        (
            window,
            short(found["events_per_second"]),
            f"{rates[0][1]['events_per_second'] / found['events_per_second']:.2f}",
            f"{found['detections']:,}",
            f"{found.get('capped', 0):,}",
        )
        for window, found in rates
    ]
    head = ("A1, window", "events/s", "time per event, factor", "detections", "refused at limit")
    return _table(head, rows)


def _windows() -> list[tuple[str, str]]:
    return list(rulebook.GROWING.items())


def stages(record: Record) -> str:
    parts = []
    for name, found in record.get("stages", {}).items():
        each = found["microseconds_per_event"]
        rows = [
            (stage, f"{share:.1%}", f"{share * each:.3f}")
            for stage, share in found["share"].items()
        ]
        rows.append(("all", "100%", f"{each:.3f}"))
        parts.append(_table((f"{name}, NDJSON with a store", "of the time", "µs per event"), rows))
    return "\n\n".join(parts)


def checkpoint(record: Record) -> str:
    rows = [
        (
            f"{found['state_bytes'] / MIB:,.0f} MiB",
            f"{found['written_bytes'] / MIB:,.1f} MiB",
            f"{found['pause_ms']:,.0f} ms",
            f"{found['pause_ms_max']:,.0f} ms",
            f"{found['restore_seconds']:.1f} s",
        )
        for found in record.get("checkpoint", {}).values()
    ]
    head = (
        *("state", "written by a commit behind 1,000 events", "pause, median"),
        *("pause, longest", "restore"),
    )
    return _table(head, rows)


def latency(record: Record) -> str:
    rows = [
        (
            name,
            f"{found['rate_events_per_second']:,} events/s",
            f"{found['detections']:,}",
            *(f"{found[share]:,.1f} ms" for share in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms")),
        )
        for name, found in record.get("latency", {}).items()
    ]
    return _table(("latency", "half load", "detections", "p50", "p99", "p99.9", "longest"), rows)


def memory(record: Record) -> str:
    rows = [
        (
            f"{found['live']:,}",
            f"{found['bytes_each']:.0f} bytes",
            f"{found['bytes_each_key_text']:.0f} bytes",
            f"{found['left_bytes_each']:.0f} bytes",
        )
        for found in record.get("memory", {}).values()
    ]
    head = ("live two-step runs, a key each", "per run", "per text of a key", "left per run")
    return _table(head, rows)


def startup(record: Record) -> str:
    rows = [
        (f"`{name}`", f"{found['cold_seconds']:.2f} s", f"{found['warm_seconds']:.2f} s")
        for name, found in record.get("startup", {}).items()
    ]
    return _table(("start", "cold", "warm"), rows)


def workers(record: Record) -> str:
    rows = [
        (
            name,
            short(found["one_events_per_second"]),
            short(found["two_events_per_second"]),
            f"{found['factor']:.2f}",
            f"{goals.WORKERS_FACTOR}",
        )
        for name, found in record.get("workers", {}).items()
    ]
    return _table(("workers", "one, events/s", "two, events/s", "factor", "goal"), rows)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _short(value: float | None) -> str:
    return "" if value is None else short(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def backtest(record: Record) -> str:
    rows = [
        (
            name,
            f"{found['events']:,}",
            f"{found['alone_seconds']:.2f}",
            f"{found['compared_seconds']:.2f}",
            f"{found['served_seconds']:.2f}",
            f"{goals.BACKTEST_SECONDS:g}",
        )
        for name, found in record.get("backtest", {}).items()
    ]
    head = ("back-test", "events", "s, alone", "s, compared", "s, by a server", "goal, alone")
    return _table(head, rows)


def delivering(record: Record) -> str:
    rows = [
        (
            name,
            f"{found['alerts']:,}",
            f"{found['concurrency']}",
            f"{found['deliveries_per_second']:,}",
            f"{min(found['runs']):,} to {max(found['runs']):,}",
            f"{goals.DELIVERIES:,}",
        )
        for name, found in record.get("delivering", {}).items()
    ]
    head = ("outbox → receiver", "alerts", "under way", "deliveries/s, median", "all runs", "goal")
    return _table(head, rows)
