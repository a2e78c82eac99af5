"""A disk that is really full: a small file system of its own that the store fills.

It is mounted in a name space of the test, so it needs no rights and is gone with the processes.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from engine_cases import RULES, events, fold_all

import cep
from cep.store import reads
from cep.store.store import open_store

DISK_BYTES = 128 << 20
LEFT_BYTES = 3 << 20  # for the store, in the first run
PROGRAM = f"{shlex.quote(sys.executable)} -m cep.cli"


def on_a_small_disk(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in `folder`, whose `disk` is small."""
    disk = folder / "disk"
    disk.mkdir()
    command = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {shlex.quote(str(disk))} && {script}"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "r.cep").write_text(RULES)
    return tmp_path


def test_a_full_disk_stops_with_the_reason_and_room_is_all_it_takes(folder: Path) -> None:
    lines = events(9_000, 7)
    (folder / "p").write_bytes(b"".join(line + b"\n" for line in lines))
    run = f"{PROGRAM} run r.cep --from p --store disk/s.db --batch-records 1000 --commit-interval 0"
    result = on_a_small_disk(
        folder,
        f"head -c {DISK_BYTES - LEFT_BYTES} /dev/zero > disk/ballast; "
        f"{run} > first.txt 2>&1; echo $? > first.code; cp disk/s.db* .; "
        f"rm disk/ballast; {run} > second.txt 2>&1; echo $? > second.code; "
        "mkdir after; cp disk/s.db* after",
    )
    assert result.returncode == 0, result.stderr
    first, second = ((folder / f"{name}.txt").read_text() for name in ("first", "second"))
    assert (folder / "first.code").read_text() == "3\n", first[-500:]
    assert "database or disk is full" in first
    assert "Traceback" not in first
    assert (folder / "second.code").read_text() == "0\n", second[-500:]
    expected = fold_all(cep.compile(RULES), lines)[0].bodies
    full, whole = bodies(folder / "s.db"), bodies(folder / "after" / "s.db")
    assert 0 < len(full) < len(whole)
    assert whole[: len(full)] == full
    assert whole == expected


def test_nothing_is_appended_to_a_full_disk(folder: Path) -> None:
    line = b'{"type":"Payment","ts":1767225600000,"card":"c1","amount":1.00,"country":"FR"}\n'
    (folder / "small").write_bytes(line)
    (folder / "large").write_bytes(line * 40_000)
    append = f"{PROGRAM} append --to disk/s.db#events"
    result = on_a_small_disk(
        folder,
        f"{append} small && head -c {DISK_BYTES - LEFT_BYTES} /dev/zero > disk/ballast; "
        f"{append} large > first.txt 2>&1; echo $? > first.code; "
        f"rm disk/ballast; {append} small > second.txt 2>&1; echo $? > second.code",
    )
    assert result.returncode == 0, result.stderr
    first = (folder / "first.txt").read_text()
    assert (folder / "first.code").read_text() in ("2\n", "3\n"), first[-500:]
    assert "disk is full" in first
    assert "Traceback" not in first
    assert (folder / "second.code").read_text() == "0\n"


def bodies(path: Path) -> list[bytes]:
    store = open_store(str(path))
    found: list[bytes] = []
    after = 0
    while page := reads.detections(store.engine, after=after, limit=1000):
        found += [each.body for each in page]
        after = page[-1].sequence
    store.close()
    return found
