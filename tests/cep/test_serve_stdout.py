"""The standard output of `cep serve` is what goes to a `stdout` destination, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RULE = """
event Login { ts: timestamp @time  user: string }
rule seen "Seen" {
  severity low
  by user
  match x: Login
  alert "{user}"
}
"""


def test_standard_output_has_messages_only(tmp_path: Path) -> None:
    rules, store, lines = tmp_path / "r.cep", str(tmp_path / "s.db"), tmp_path / "e.ndjson"
    rules.write_text(RULE)
    lines.write_text(
        "".join(
            json.dumps({"type": "Login", "ts": f"2026-03-01T09:00:{n:02d}Z", "user": f"u{n}"})
            + "\n"
            for n in range(5)
        )
    )
    (tmp_path / "d.toml").write_text('default = ["out"]\n[destinations.out]\ntype = "stdout"\n')
    cep = [sys.executable, "-m", "cep.cli"]
    subprocess.run([*cep, "append", str(lines), "--to", f"{store}#events"], check=True)
    command = [
        *(*cep, "serve", str(rules), "--store", store, "--port", "0"),
        *("--destinations", str(tmp_path / "d.toml")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        told = [process.stdout.readline() for _ in range(5)]
        process.terminate()
        rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert {json.loads(line)["data"]["key"]["user"] for line in told} == {f"u{n}" for n in range(5)}
    assert rest == b""
    assert b"reason=delivered" in errors
