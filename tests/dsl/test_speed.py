"""How long rule text takes, in processor time, with room for a loaded machine.

On one idle core: 1,000 ordinary rules in 0.7 s (promised: 2 s), 64 KiB of tiny rules in 0.17 s
(promised: 0.25 s); `cep check` of one file and `cep --help` in less than 0.4 s, Python included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import dsl
from dsl import Source

ROOT = Path(__file__).parents[2]
ROOM = 2
"""How much slower a busy machine may be."""

EVENTS = """event Tx {
  ts: timestamp @time  user: string  card: string  amount: decimal  country: string
}
event Login { ts: timestamp @time  user: string  ok: bool  ip: ip }
filter small = Tx[amount < 5.00]
"""
ORDINARY = (
    """rule r{i} "Small declines, then a big approval" {{
  severity high
  tags "fraud", "card-testing"
  by card
  match probe: small{{3,}} -> hit: Tx[amount > {i} and country != "FR"]
  within 10m
  where distinct(probe.country) >= 2
  suppress by card for 1h
  alert "Card {{card}}: {{count(probe)}} declines, then {{hit.amount:.2f}} in {{hit.country}}"
}}
""",
    """rule r{i} {{
  severity medium
  by user
  match a: Tx -> b: Tx[amount > {i} * a.amount and country != a.country]
  within 10m
  alert "{{user}}: {{a.amount:.2f}} then {{b.amount:.2f}} ({{b.country}})"
  notify "fraud-desk"
}}
""",
    """rule r{i} {{
  by user
  match fail: Login[not ok]{{5,}} -[..2m]-> win: Login[ok and ip in fail.ip] -> Tx[amount > {i}]
  within 30m
  where count(fail) >= 20 or distinct(fail.ip) >= 2
  alert "Takeover of {{user}}: {{count(fail)}} failures"
}}
""",
    """rule r{i} {{
  by user
  match p: Login[ok] -> not Tx for 5m
  alert "{{user}} silent"
}}
""",
)


def fastest(work: Callable[[], object], runs: int = 3) -> float:
    """Processor seconds of the fastest run."""
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def loads(text: str) -> float:
    def load() -> None:
        assert dsl.load_sources([Source("rules.cep", text)]).diagnostics == ()

    return fastest(load)


def test_a_thousand_ordinary_rules_take_at_most_two_seconds() -> None:
    rules = "".join(ORDINARY[i % 4].format(i=i) for i in range(1000))
    assert loads(EVENTS + rules) < 2.0


def test_64_kib_of_tiny_rules_take_at_most_a_quarter_of_a_second() -> None:
    rules = "".join(f'rule r{i} {{match Tx alert"" }}\n' for i in range(2000))
    text = EVENTS + rules
    assert 60_000 < len(text) < 65_536
    assert loads(text) < 0.25 * ROOM


def processor_seconds(*arguments: str) -> float:
    python = sys.executable
    pid = os.posix_spawn(
        python,
        [python, *arguments],
        os.environ | {"PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "command", [("--help",), ("check", str(ROOT / "rules" / "monitoring" / "ssh.cep"))]
)
def test_the_command_line_starts_at_once(command: tuple[str, ...]) -> None:
    first, *later = (processor_seconds("-m", "cep.cli", *command) for _ in range(4))
    assert min(first, *later) < 0.4 * ROOM


def test_a_later_start_does_without_lark(tmp_path: Path) -> None:
    program = "import dsl, sys; dsl.load(['rules']); print('lark' in sys.modules)"
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)},
        ).stdout
        for _ in range(2)
    ]
    assert said == ["True\n", "False\n"]
