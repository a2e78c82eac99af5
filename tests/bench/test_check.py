"""`python -m bench.check` fails on what has become slower, and on nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import check

ROOT = Path(__file__).parents[2]
SIZE = ["--only", "P2", "--events", "4000", "--runs", "3"]


def run(record: Path, *arguments: str, tolerance: str = "0.9") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.check", "--record", str(record), *arguments],
        cwd=ROOT,
        env=os.environ | {"BENCH_TOLERANCE": tolerance},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_fresh_record_passes_and_a_doctored_one_fails(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{"workloads": {}}')
    written = run(record, "--write", *SIZE)
    assert written.returncode == 0, written.stderr
    fresh = run(record, "--only", "P2")
    assert fresh.returncode == 0, fresh.stderr
    assert "nothing is slower" in fresh.stdout

    entry = json.loads(record.read_text())
    entry["check"]["ratios"]["P2 matcher"] *= 1_000
    record.write_text(json.dumps(entry))
    doctored = run(record, "--only", "P2")
    assert doctored.returncode == 1
    assert "slower than recorded, by more than 90%: P2 matcher by 100%" in doctored.stderr


def test_record_without_short_figures_says_how_to_make_them(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{"workloads": {}}')
    done = run(record)
    assert done.returncode == 1
    assert "bench.check --write" in done.stderr


@pytest.mark.parametrize(("now", "expected"), [(0.95, {}), (0.91, {}), (0.8, {"P1": 0.2})])
def test_a_tenth_less_is_tolerated(now: float, expected: dict[str, float]) -> None:
    found = check.slower({"P1": 1.0}, {"P1": now, "new": 0.1}, check.TOLERANCE)
    assert found == pytest.approx(expected)


def test_second_measurement_decides() -> None:
    before, now = {"P1": 1.0, "P2": 1.0, "P3": 1.0}, {"P1": 0.5, "P2": 0.5, "P3": 1.0}
    again = {"P1": 0.98, "P2": 0.6}
    assert check.confirmed(before, now, 0.1, again.__getitem__) == pytest.approx({"P2": 0.4})
