"""The clock and the memory of a process that measures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import baseline


def timed(once: Callable[[], int], events: int, runs: int) -> dict[str, object]:
    """`once` handles `events` and returns what it found; the median of `runs`."""
    loaded = resident_bytes()
    rates, ratios, found = [], [], set()
    before = baseline.slice_processor_seconds()
    for _ in range(runs):
        begin, begin_processor = time.perf_counter(), time.process_time()
        found.add(once())
        rates.append(events / (time.perf_counter() - begin))
        seconds = time.process_time() - begin_processor
        after = baseline.slice_processor_seconds()
        slice_rate = 2 * baseline.SLICE_STEPS / (before + after)
        ratios.append(events / seconds / slice_rate)
        before = after
    assert len(found) == 1, f"runs disagree: {found}"
    steps = baseline.calibration_steps_per_second()
    return {
        "events_per_second": round(median(rates)),
        "runs": [round(rate) for rate in rates],
        "ratio_to_calibration": float(f"{median(rates) / steps:.4g}"),
        "processor_ratio": float(f"{median(ratios):.4g}"),
        "detections": found.pop(),
        "memory_before_bytes": loaded,
        "memory_peak_bytes": peak_bytes(),
    }


def percentiles(values: list[float], shares: tuple[float, ...]) -> list[float]:
    """The values that so large a share of `values`, at least one, do not exceed."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return [ordered[min(last, int(share * len(ordered)))] for share in shares]


def pin_to_one_core() -> None:
    """The process and its children; the last core it may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_bytes() -> int:
    """Not getrusage: its figure begins with that of the parent process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
