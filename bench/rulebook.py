"""The rules that are measured: those of bench/rules/, windows that grow, and many rules at once.

`variants(n)` is deterministic: rule i follows P1..P4 in turn with other thresholds, types, spans,
countries and keys.  No two are alike; they share conditions the way rules of one rule base do, and
detect as rarely as people can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import dsl
from bench.workload import country_names
from dsl.model import RuleSet

FOLDER = Path(__file__).parent / "rules"
STATE = "state"  # no workload: what grows the state of a checkpoint
SINGLE = ("P1", "P2", "P3", "P4", "P5", "W1")
GROWING = {"A1": "2m", "A1x10": "20m", "A1x100": "200m"}
MANY = {"R10": 10, "R100": 100, "R1000": 1_000, "R10000": 10_000}
RULES_PER_SOURCE = 1_000  # the text of one source is bounded


@dataclass(frozen=True, slots=True)
class Size:
    """`share`: which part of the stream's head is read, so that a run takes seconds.

    The reference matcher is slow: it reads the first `verified` rows of a stream of `dense`.
    """

    share: int = 1
    verified: int = 10_000
    dense: int = 10_000


SIZES = {name: Size() for name in (*SINGLE, *GROWING, *MANY)} | {
    "P5": Size(share=100, verified=2_500, dense=2_000_000),
    "W1": Size(dense=2_000_000),
    "R100": Size(share=5, verified=1_000, dense=1_000),
    "R1000": Size(share=20, verified=200, dense=200),
    "R10000": Size(share=100, verified=0),
}


def rules(workload: str) -> RuleSet:
    """The checked rules of a workload."""
    sources = [dsl.Source(f"{workload}-{i}", part) for i, part in enumerate(_sources(workload))]
    loaded = dsl.load_sources(sources)
    if loaded.rules is None:
        raise ValueError(loaded.render())
    return loaded.rules


def text(workload: str) -> str:
    """The rule file of a workload, event declarations included."""
    return "".join(_sources(workload))


def _sources(workload: str) -> Iterator[str]:
    yield (FOLDER / "schema.cep").read_text()
    if workload in (*SINGLE, STATE):
        yield (FOLDER / f"{workload.lower()}.cep").read_text()
    elif workload in GROWING:
        yield _any_later(GROWING[workload])
    else:
        made = variants(MANY[workload])
        for start in range(0, len(made), RULES_PER_SOURCE):
            yield "\n".join(made[start : start + RULES_PER_SOURCE])


def _any_later(within: str) -> str:
    """A1: every way to bind three single-event conditions; only the window differs.

    The last condition is rare outside of what is planted, so that matches do not decide.
    """
    return (
        "rule a1 {\n  severity low\n  by user\n"
        "  match LoginFailed ->> PasswordChange ->> Tx[amount between 499 and 501]\n"
        f"  within {within}\n"
        "  matches all\n  limit 100 runs\n"
        '  alert "{user}"\n}\n'
    )


def variants(count: int) -> list[str]:
    """So many different rules."""
    random = Random(count)
    makers = (_small_then_big, _escalation, _takeover, _silence)
    drawn: set[str] = set()
    rules = []
    for i in range(count):
        body = makers[i % len(makers)](random)
        while body in drawn:
            body = makers[i % len(makers)](random)
        drawn.add(body)
        rules.append(f"rule r{i} {{\n{body}}}\n")
    return rules


def _body(key: str, match: str, within: str = "") -> str:
    return f'  severity low\n  by {key}\n  match {match}\n{within}  alert "{{{key}}}"\n'


def _small_then_big(random: Random) -> str:
    small, big = random.randrange(50, 251, 25) / 100, random.randrange(600, 2_501, 100)
    match = f"a: Tx[amount < {small}] -> b: Tx[amount > {big}]"
    key = random.choice(("user", "card", "ip"))
    return _body(key, match, f"  within {random.randrange(15, 121, 15)}s\n")


def _escalation(random: Random) -> str:
    factor, least = random.randrange(100, 291, 10), random.randrange(200, 2_001, 100)
    match = (
        f"a: Tx -> b: Tx[amount > {least} and amount > {factor} * a.amount "
        "and country != a.country]"
    )
    key = random.choice(("user", "card", "ip"))
    return _body(key, match, f"  within {random.choice((2, 5, 10, 15))}m\n")


def _takeover(random: Random) -> str:
    """One in ten is for all countries."""
    where = "" if random.random() < 0.1 else f'[country == "{_country(random)}"]'
    match = (
        f"LoginFailed{where}{{{random.randrange(4, 10)},}} -> LoginOk -> PasswordChange -> "
        f"Tx[amount > {random.randrange(200, 501, 50)}]"
    )
    key = random.choice(("user", "ip"))
    return _body(key, match, f"  within {random.choice((5, 10, 15))}m\n")


def _silence(random: Random) -> str:
    absent = random.choice(("LoginOk", "Tx"))
    match = f'PasswordChange[country == "{_country(random)}"] -> not {absent}'
    key = random.choice(("user", "ip"))
    return _body(key, f"{match} for {random.randrange(5, 35)}m")


def _country(random: Random) -> str:
    return random.choice(country_names())
