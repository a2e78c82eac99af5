"""Where the time goes: the engine is asked every millisecond which stage it is in.

A timer interrupts the process; the processor time since the last interrupt goes to the stage of the
innermost Python function that belongs to one.  A compiled kernel is not interrupted: when it
returns, its time goes to the function that called it.  Reading shared data structures counts for
the stage on whose behalf it is done.
"""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

from bench import rulebook, workload
from cep.engine import Engine
from cep.log.file import FileLog
from cep.store.store import open_store

INTERVAL_SECONDS = 0.001
ROOT = Path(__file__).parents[1]
OTHER = "other"

STAGES = {
    "read": ("cep/log/",),
    "decode": (
        *("matcher/decode.py", "matcher/json_", "matcher/building.py", "matcher/assemble.py"),
        *("matcher/timestamps.py", "matcher/record.py", "matcher/scan"),
    ),
    "order by time": ("cep/event_time.py",),
    "atoms and facts": ("matcher/atoms.py", "matcher/derived.py", "matcher/by_value.py"),
    "selection": (
        *("matcher/selection.py", "matcher/fitting.py", "matcher/key_habits.py"),
        *("matcher/postings.py", "matcher/posting_rows.py"),
    ),
    "pairs": ("matcher/pair", "matcher/start", "matcher/families.py"),
    "lanes": (
        *("matcher/motion.py", "matcher/results.py"),
        *("matcher/lane.py", "matcher/advance.py", "matcher/chains.py", "matcher/absence.py"),
        *("matcher/window", "matcher/silence.py"),
    ),
    "matches and evidence": ("matcher/evidence.py", "matcher/told.py"),
    "render": (
        *("cep/render.py", "cep/phrases.py", "cep/derive.py", "cep/suppress.py"),
        *("cep/detection", "cep/values.py", "cep/fields.py"),
    ),
    "commit": (
        *("cep/store/", "matcher/snapshot.py", "matcher/run_pages.py", "matcher/window_pages"),
        *("matcher/journal.py", "matcher/ledger.py", "matcher/timed_rows.py", "matcher/saved.py"),
    ),
}
"""Beginnings of paths; what belongs to several stages stands in none, and its caller decides."""

FUNCTIONS = {
    "_matches": "matches and evidence",
    "_raw_of": "matches and evidence",
    "snapshot": "commit",
    "changed_pages": "commit",
}
"""Functions that are not of the stage of their module."""


class Sampler:
    """Seconds of processor time by stage, between `start` and `stop`; one at a time."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stage_of_file: dict[str, str] = {}
        self._last = 0.0

    def start(self) -> None:
        self._last = time.process_time()
        signal.signal(signal.SIGALRM, self._sample)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        now = time.process_time()
        self.seconds[self._stage(frame)] += now - self._last
        self._last = now

    def _stage(self, frame: FrameType | None) -> str:
        while frame is not None:
            code = frame.f_code
            stage = self._of_file(code.co_filename)
            if code.co_name in FUNCTIONS and code.co_filename.startswith(str(ROOT)):
                return FUNCTIONS[code.co_name]
            if stage != OTHER:
                return stage
            frame = frame.f_back
        return OTHER

    def _of_file(self, filename: str) -> str:
        known = self._stage_of_file.get(filename)
        if known is None:
            path = filename.removeprefix(f"{ROOT}/")
            known = next((s for s, begin in STAGES.items() if path.startswith(begin)), OTHER)
            self._stage_of_file[filename] = known
        return known


def time_by_stage(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """Of `runs` runs over NDJSON with a store, together; shares of the whole."""
    rules = rulebook.rules(name)
    sampler = Sampler()
    with workload.scratch() as folder:

        def once(path: Path, database: str) -> None:
            store = open_store(f"{folder}/{database}")
            engine = Engine(rules, FileLog(str(path)), store)
            engine.run()
            store.close()

        once(workload.cached_ndjson(2_000, 2_000), "warm.db")
        path = workload.cached_ndjson(n, head)
        sampler.start()
        for run in range(runs):
            once(path, f"{run}.db")
        sampler.stop()
    total = sum(sampler.seconds.values())
    return {
        "events": head,
        "microseconds_per_event": round(total / runs / head * 1e6, 3),
        "share": {stage: round(sampler.seconds[stage] / total, 4) for stage in (*STAGES, OTHER)},
    }
