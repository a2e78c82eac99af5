"""Kill the real process at random moments until the log is read: nothing missing, nothing extra.

CEP_KILLS is the number of kills (`make sim`).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from engine_cases import RULES, events
from sqlalchemy import select

from cep.store.store import open_store
from cep.store.tables import checkpoint, dead_letter, detection, outbox

KILLS = int(os.environ.get("CEP_KILLS", "20"))
RECORDS = 3_000 * KILLS
BATCH = 100  # small steps: many commits, and kills between and within them


def command(rules: Path, source: Path, store: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "cep.cli", "run", str(rules), "--from", str(source)),
        *("--store", str(store), "--out", "jsonl", "--batch-records", str(BATCH)),
        *("--commit-interval", "0"),
    ]


def contents(store_path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Rows, but for who held a partition how often, and in which pages its state is."""
    store = open_store(str(store_path))
    with store.engine.connect() as connection:
        connection.execution_options(read_only=True)
        found = {
            table.name: [
                tuple(row)
                for row in connection.execute(
                    select(
                        *(c for c in table.columns if c.name not in ("epoch", "checksum"))
                    ).order_by(*table.primary_key.columns)
                )
            ]
            for table in (detection, outbox, dead_letter, checkpoint)
        }
    store.close()
    return found


def position(store_path: Path) -> int:
    """The committed position, read without the store's own code; -1 while there is none."""
    try:
        with closing(sqlite3.connect(f"file:{store_path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT position FROM checkpoint").fetchone()
    except sqlite3.OperationalError:
        return -1
    return -1 if row is None else int(row[0])


def run_and_kill(arguments: list[str], store_path: Path, rng: random.Random) -> bool:
    """Kills the process a random moment after its first commit (or now and then sooner).

    False when the process came to its end instead.
    """
    before = position(store_path)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if rng.random() < 0.15:
        time.sleep(3 * rng.random())
    else:
        while position(store_path) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.1 * rng.random())
    process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode != 0


def test_detections_after_many_kills_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    rules, source = tmp_path / "r.cep", tmp_path / "p"
    rules.write_text(RULES)
    source.write_bytes(b"".join(line + b"\n" for line in events(RECORDS, 11)))
    calm, disturbed = tmp_path / "calm.db", tmp_path / "disturbed.db"
    subprocess.run(command(rules, source, calm), check=True, capture_output=True, timeout=1800)

    seed = time.time_ns()
    rng = random.Random(seed)
    kills, positions = 0, []
    while kills < KILLS:
        assert run_and_kill(command(rules, source, disturbed), disturbed, rng), (
            f"the log was read after {kills} kills only: {positions}"
        )
        kills += 1
        positions.append(position(disturbed))
    subprocess.run(command(rules, source, disturbed), check=True, capture_output=True, timeout=1800)

    assert positions == sorted(positions)
    assert len(set(positions)) > KILLS / 2
    assert len(contents(calm)["detection"]) > 1000
    assert contents(disturbed) == contents(calm), f"seed {seed}"
