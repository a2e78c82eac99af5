"""Kill the real process at random moments until the log is read: nothing missing, nothing extra."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from engine_cases import RULES, events
from sqlalchemy import select

from cep.store.store import open_store
from cep.store.tables import checkpoint, dead_letter, detection, outbox

KILLS_MIN = 20
RECORDS = 60_000


def command(rules: Path, source: Path, store: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "cep.cli", "run", str(rules), "--from", str(source)),
        *("--store", str(store), "--out", "jsonl"),
    ]


def contents(store_path: Path) -> dict[str, list[tuple[object, ...]]]:
    store = open_store(str(store_path))
    with store.engine.connect() as connection:
        connection.execution_options(read_only=True)
        found = {
            table.name: [
                tuple(row)
                for row in connection.execute(
                    select(*(c for c in table.columns if c.name != "epoch")).order_by(
                        *table.primary_key.columns
                    )
                )
            ]
            for table in (detection, outbox, dead_letter, checkpoint)
        }
    store.close()
    return found


def test_detections_after_twenty_kills_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    rules, source = tmp_path / "r.cep", tmp_path / "p"
    rules.write_text(RULES)
    source.write_bytes(b"".join(line + b"\n" for line in events(RECORDS, 11)))
    begin = time.monotonic()
    subprocess.run(
        command(rules, source, tmp_path / "calm.db"), check=True, capture_output=True, timeout=300
    )
    whole_seconds = time.monotonic() - begin

    rng = random.Random(time.time_ns())
    kills, positions = 0, set()
    disturbed = tmp_path / "disturbed.db"
    for attempt in range(400):
        # Later attempts may run longer, so that the log does come to its end.
        limit = whole_seconds * (0.3 + 1.2 * rng.random() * min(1.0, (attempt + 10) / 40))
        process = subprocess.Popen(
            command(rules, source, disturbed), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            if disturbed.exists():
                positions.add(str(contents(disturbed)["checkpoint"]))
            continue
        assert process.returncode == 0, errors.decode()
        if kills >= KILLS_MIN:
            break
        disturbed.unlink()  # read to its end too soon: begin again
    assert kills >= KILLS_MIN
    assert len(positions) > 2, "no kill fell between commits"
    calm, shaken = contents(tmp_path / "calm.db"), contents(disturbed)
    assert len(calm["detection"]) > 1000
    assert shaken == calm
