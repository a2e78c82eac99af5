"""The engine's detections on SSH logs equal those of naive loops (naive_ssh.py), positions too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import naive_ssh
import pytest
from naive_ssh import Found

ROOT = Path(__file__).parents[2]
PACK = ROOT / "rules" / "monitoring" / "ssh.cep"
BESIDE = ROOT.parent / "shared" / "data" / "openssh.ndjson"
BEGIN = datetime(2025, 3, 1, 8, 0, tzinfo=UTC)
USERS = ("root", "admin", "oracle", "test", "guest", "ftp", "pi", "git", "ann")
SHARES = {
    "LoginFailed": 60,
    "InvalidUser": 20,
    "ReverseMappingFailed": 8,
    "TooManyFailures": 4,
    "LoginOk": 3,
    "NoIdentification": 3,
}


def logs() -> list[object]:
    """Synthetic logs always; the real one when it is at hand."""
    found = [pytest.param(synthetic(seed), id=f"synthetic-{seed}") for seed in (1, 2, 3)]
    named = os.environ.get("CEP_SSH_LOG")
    path = Path(named) if named else BESIDE
    if named or path.exists():
        found.append(pytest.param(path.read_bytes(), id=path.name))
    return found


def synthetic(seed: int, count: int = 1500) -> bytes:
    """Interleaved addresses, many ties, and bursts that end just within and just past a minute."""
    random = Random(seed)
    rows: list[tuple[int, dict[str, object]]] = []
    second = 0
    for _ in range(count):
        second += random.choice((0, 0, 0, 1, 1, 2, 5, 13))
        rows.append((second, _event(random, f"198.51.100.{random.randrange(6)}")))
    for begin in range(0, second, second // 12):
        for last, ip in ((60, "203.0.113.1"), (61, "203.0.113.2"), (60, "2001:db8::1")):
            offsets = [0, *sorted(random.randrange(1, 60) for _ in range(8)), last]
            rows.extend((begin + offset, _failure(random, ip)) for offset in offsets)
    for pid in range(5):
        opened = random.randrange(second)
        closed = opened + 8 * 3600 + random.choice((-1, 0, 1, 3600))
        rows.append((opened, {"type": "SessionOpened", "pid": 9000 + pid, "user": "ann"}))
        rows.append((closed, {"type": "SessionClosed", "pid": 9000 + pid, "user": "ann"}))
    rows.append((second, {"type": "SessionOpened", "pid": 9100, "user": "ann"}))
    rows.append((second, {"type": "Unheard", "pid": 1}))
    rows.sort(key=lambda row: row[0])
    return b"".join(_line(second, event) for second, event in rows)


def _line(second: int, event: dict[str, object]) -> bytes:
    stamp = (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"type": event["type"], "ts": stamp, **event}).encode() + b"\n"


def _event(random: Random, ip: str) -> dict[str, object]:
    pid = random.randrange(100, 108)
    user = random.choice(USERS)
    kind = random.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    if kind == "LoginFailed":
        return _failure(random, ip)
    if kind == "LoginOk":
        return {"type": kind, "pid": pid, "ip": ip, "user": user, "port": 22, "method": "password"}
    if kind == "NoIdentification":
        return {"type": kind, "pid": pid, "ip": ip}
    if kind == "ReverseMappingFailed":
        return {"type": kind, "pid": pid, "ip": ip, "host": "ns.example.com"}
    return {"type": kind, "pid": pid, "ip": ip, "user": user}


def _failure(random: Random, ip: str) -> dict[str, object]:
    return {
        "type": "LoginFailed",
        "pid": random.randrange(100, 108),
        "ip": ip,
        "user": random.choice(USERS),
        "port": random.randrange(1024, 65536),
        "method": "password",
        "known": random.random() < 0.5,
    }


def run_pack(log: Path) -> list[dict[str, object]]:
    command = [str(Path(sys.executable).with_name("cep")), "run", str(PACK), "--from", str(log)]
    done = subprocess.run(
        [*command, "--no-store", "--out", "jsonl"], capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def found_by_engine(detection: dict[str, object]) -> Found:
    at = datetime.fromisoformat(str(detection["at"]).replace("Z", "+00:00"))
    positions = tuple(bound["position"] for bound in detection["events"])
    return Found(str(detection["rule"]), round(at.timestamp() * 1000), positions)


@pytest.mark.parametrize("log", logs())
def test_every_detection_of_the_pack_is_what_naive_loops_find(log: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ssh.ndjson"
    path.write_bytes(log)
    detections = run_pack(path)
    expected = naive_ssh.detections(naive_ssh.read(log))
    assert sorted(map(found_by_engine, detections)) == expected
    counts = Counter(found.rule for found in expected)
    assert counts["ssh_brute_force"] > 0, "the log must contain brute force, else nothing is shown"


def test_evidence_is_the_line_at_its_position(tmp_path: Path) -> None:
    log = synthetic(4)
    path = tmp_path / "ssh.ndjson"
    path.write_bytes(log)
    lines = log.splitlines()
    detections = run_pack(path)
    assert detections
    for detection in detections:
        for bound in detection["events"]:
            assert bound["event"] == json.loads(lines[bound["position"]])


def test_synthetic_logs_contain_every_kind_of_attack() -> None:
    rules = {
        found.rule
        for seed in (1, 2, 3)
        for found in naive_ssh.detections(naive_ssh.read(synthetic(seed)))
    }
    assert len(rules) == 7, rules
