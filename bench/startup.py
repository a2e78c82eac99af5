"""How long it takes to start: the command line, checking a pack, and the engine itself.

Cold means without what an earlier start leaves behind (byte code, grammar tables, compiled
kernels); files stay in the page cache.  Warm is the median of several starts after one more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.workload import cached_ndjson

ROOT = Path(__file__).parents[1]
WARM_RUNS = 5


def measure() -> dict[str, dict[str, float]]:
    """Seconds, by command."""
    events = str(cached_ndjson(2_000, 2_000))
    rules = [str(ROOT / "bench" / "rules" / name) for name in ("schema.cep", "p1.cep")]
    commands = {
        "cep --help": ["--help"],
        "cep check": ["check", str(ROOT / "rules" / "monitoring" / "ssh.cep")],
        "engine (cep run, 2,000 events)": ["run", *rules, "--from", events, "--no-store"],
    }
    return {name: _cold_and_warm(arguments) for name, arguments in commands.items()}


def _cold_and_warm(arguments: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        caches = {
            "PYTHONPYCACHEPREFIX": f"{folder}/python",
            "PYTHONDONTWRITEBYTECODE": "",
            "NUMBA_CACHE_DIR": f"{folder}/numba",
            "XDG_CACHE_HOME": f"{folder}/cache",
        }
        cold = _seconds(arguments, caches)
        _seconds(arguments, caches)
        warm = median(_seconds(arguments, caches) for _ in range(WARM_RUNS))
    return {"cold_seconds": round(cold, 3), "warm_seconds": round(warm, 3)}


def _seconds(arguments: list[str], environment: dict[str, str]) -> float:
    command = [str(Path(sys.executable).with_name("cep")), *arguments]
    begin = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, check=False, timeout=600
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return seconds
