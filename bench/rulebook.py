"""The rules that are measured: P1 to P4 from bench/rules/, and many variants of them at once.

`variants(n)` is deterministic: rule i follows P1..P4 in turn with other thresholds, types, spans
and keys, drawn from small sets so that rules share conditions the way real rule bases do.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent / "rules"
SINGLE = ("P1", "P2", "P3", "P4")
MANY = {"R10": 10, "R100": 100, "R1000": 1000}
LATER = {
    "P5": "not measured yet: needs `->>` and `matches all`, and a limit to choose",
    "W1": "not measured yet: a window",
    "A1": "not measured yet: needs `->>` over a growing window",
    "R10000": "left out of the default run: it is R1000 ten times, and takes minutes",
}


def text(workload: str) -> str:
    """The rule file of a workload, event declarations included."""
    schema = (FOLDER / "schema.cep").read_text()
    if workload in SINGLE:
        return schema + (FOLDER / f"{workload.lower()}.cep").read_text()
    return schema + variants(MANY[workload])


def variants(count: int) -> str:
    random = Random(count)
    makers = (_small_then_big, _escalation, _takeover, _silence)
    return "\n".join(makers[i % 4](f"r{i}", random) for i in range(count))


def _rule(name: str, key: str, match: str, within: str) -> str:
    return (
        f"rule {name} {{\n  severity low\n  by {key}\n  match {match}\n{within}"
        f'  alert "{{{key}}}"\n}}\n'
    )


def _small_then_big(name: str, random: Random) -> str:
    small, big = random.choice((1, 2, 3, 4, 5)), random.choice((400, 500, 600, 800, 1000))
    match = f"a: Tx[amount < {small}] -> b: Tx[amount > {big}]"
    key = random.choice(("user", "card", "ip"))
    return _rule(name, key, match, f"  within {random.choice((30, 60, 90, 120))}s\n")


def _escalation(name: str, random: Random) -> str:
    factor = random.choice((8, 10, 15, 20, 30))
    match = f"a: Tx -> b: Tx[amount > {factor} * a.amount and country != a.country]"
    key = random.choice(("user", "card", "ip"))
    return _rule(name, key, match, f"  within {random.choice((2, 5, 10))}m\n")


def _takeover(name: str, random: Random) -> str:
    match = (
        f"LoginFailed{{{random.choice((3, 4, 5))},}} -> LoginOk -> PasswordChange -> "
        f"Tx[amount > {random.choice((50, 100, 200, 300))}]"
    )
    key = random.choice(("user", "ip"))
    return _rule(name, key, match, f"  within {random.choice((5, 10, 15))}m\n")


def _silence(name: str, random: Random) -> str:
    first, absent = "PasswordChange", random.choice(("LoginOk", "Tx"))
    key = random.choice(("user", "ip"))
    return _rule(name, key, f"{first} -> not {absent} for {random.choice((3, 5, 10))}m", "")
