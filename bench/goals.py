"""What the figures are held against: goals of ours, and peers; events/s on one core."""

from __future__ import annotations

GOALS = {
    "P1": 20e6,
    "P2": 5e6,
    "P3": 10e6,
    "P4": 20e6,
    "W1": 10e6,
    "A1": 2e6,
    "A1x10": 2e6,
    "A1x100": 2e6,
    "R10": 5e6,
    "R100": 1.5e6,
    "R1000": 300e3,
    "R10000": 30e3,
}
"""Columns in memory → detections."""

EDGE_GOALS = {
    "ndjson_to_detections": 1.5e6,
    "arrow_to_detections": 4e6,
    "parquet_to_detections": 4e6,
    "redis_to_detections": 1e6,
}
"""R10, from what arrives."""

FLINK = {
    "P1": 0.33e6,
    "P2": 0.047e6,
    "P3": 0.14e6,
    "P4": 0.44e6,
    "P5": 0.044e6,
    "W1": 0.63e6,
    "R10": 0.024e6,
    "R100": 0.0016e6,
}
"""Flink CEP 2.3 (W1: a DataStream window) on such a stream and machine, parallelism 1;
it used 1.5 to 1.8 cores."""

WINDOW_COST = 1.3  # the time per event of A1 at a hundred times the window, over that at one
PARTIAL_MATCH_BYTES = 128 * (1 << 20) / 1e6
COMMIT_PAUSE_MS = 50.0
RESTORE_SECONDS = 10.0
LATENCY_MS = {"p50_ms": 10.0, "p99_ms": 50.0}
WORKERS_FACTOR = 1.8  # events/s of two workers over those of one
BACKTEST_SECONDS = 3.0  # P1, a million events of an embedded log
DELIVERIES = 500  # a second, each with its attempt recorded
