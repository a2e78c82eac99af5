"""Rules, events and small drivers that the tests of the engine share."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import orjson

import cep
from cep.fold import Fold, Outcome
from cep.ports import Checkpoint, DeadLetterRow, LateRow, Records, ResolutionRow
from dsl.model import RuleSet

RULES = """
event Payment {
  ts: timestamp @time
  card: string
  amount: decimal(2)
  country: string?
} lateness 10s
event Block { ts: timestamp @time  card: string } lateness 10s
event Unused { ts: timestamp @time  card: string }

rule escalation "Small, then large" {
  severity high
  by card
  match small: Payment[amount < 5.00]+ 
     -> large: Payment[amount > 500.00 and amount > 10 * last(small).amount]
  within 1m
  suppress by card for 5m
  alert "{card}: {count(small)} small, then {large.amount:.2f}" {
    ratio: large.amount / last(small).amount
  }
  notify "soc", "mail"
}

rule unblocked "Large and not blocked" {
  severity low
  by card
  match big: Payment[amount > 900.00] -> not Block for 30s
  alert "{card} stays open after {big.amount}"
}

rule hop "Two countries" {
  severity medium
  by card
  match a: Payment -> b: Payment[country is not a.country]
  within 20s
  after match no skip
  alert "{a.country} to {b.country} in {b.ts - a.ts}"
}
"""

EVENTS = RULES[: RULES.index("rule ")]
POLICIES = (
    EVENTS
    + """
rule spending "Large, once until blocked" {
  severity low
  by card
  match Payment[amount > 600.00]
  fire once
  resolve on Block
  alert "{card} spends"
}

rule pairs "Every pair of small and large, unless blocked" {
  severity low
  by card
  match small: Payment[amount < 2.00] ->> large: Payment[amount > 500.00]
  within 20s
  matches all
  limit 3 runs
  cancel on Block
  alert "{small.amount} and {large.amount}"
}
"""
)

MIXED = (
    POLICIES.replace(EVENTS, RULES, 1)
    + """
event Risk { card: string  score: int }
feature usual = avg(Payment.amount) by card window sliding 10m

rule silent { by card match not Payment for 20s alert "{card}" }
rule loop { by card match Payment[amount < 5.00]{3} -> Block within 1m alert "{card}" }
rule either { by card match a: Payment[amount > 900.00] & b: Block within 30s alert "{card}" }
rule busy { by card over Payment window sliding 30s when count() >= 5 alert "{count()}" }
rule steady { by card over Payment window hopping 1m every 10s when sum(amount) > 3000 alert "x" }
rule burst { by card over Payment window session 8s when count() >= 4 alert "{sum(amount)}" }
rule unusual {
  by card
  match p: Payment[amount > 2 * usual]
  alert "{p.amount} and {p.usual}"
  emit Risk {card, score: 40}
}
rule risky {
  by card
  match a: Risk ->> b: Risk
  within 1m
  matches all
  after match no skip
  limit 5 runs
  alert "{a.score} and {b.score}"
}
"""
)

BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@dataclass(slots=True)
class ManualClock:
    """A clock that moves when somebody sleeps; `on_sleep` is called before that."""

    at_ms: int
    on_sleep: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return self.at_ms

    def sleep_ms(self, duration_ms: int) -> None:
        self.on_sleep()
        self.at_ms += duration_ms


def rules() -> RuleSet:
    return cep.compile(RULES)


def mixed_rules() -> RuleSet:
    """Patterns of every kind, silences, windows, facts, derived events, remembered keys."""
    return cep.compile(MIXED)


def policy_rules() -> RuleSet:
    """Rules that remember keys, resolve, cancel and refuse."""
    return cep.compile(POLICIES)


def events(count: int, seed: int, *, disorder_ms: int = 8_000) -> list[bytes]:
    """NDJSON lines: mostly usable, out of order, now and then late, bad, blank or of no rule."""
    rng = random.Random(seed)
    lines = []
    for number in range(count):
        ts = BASE_MS + number * 500 - rng.randrange(disorder_ms)
        if rng.random() < 0.02:
            ts -= 60_000
        card = f"c{rng.randrange(12)}"
        kind = rng.random()
        if kind < 0.80:
            amount = rng.choice(["1.00", "2.5", "4.99", "600.00", "950.25", "20"])
            country = rng.choice(['"FR"', '"DE"', "null"])
            lines.append(
                f'{{"type":"Payment","ts":{ts},"card":"{card}","amount":{amount},'
                f'"country":{country}}}'
            )
        elif kind < 0.90:
            lines.append(f'{{"type":"Block","ts":{ts},"card":"{card}"}}')
        elif kind < 0.94:
            lines.append(f'{{"type":"Unused","ts":{ts},"card":"{card}"}}')
        elif kind < 0.97:
            lines.append(f'{{"type":"Payment","ts":{ts},"card":"{card}","amount":"a lot"}}')
        elif kind < 0.98:
            lines.append("")
        else:
            lines.append(f'{{"type":"Payment","ts":{ts},"card":')
    return [line.encode() for line in lines]


@dataclass(slots=True)
class Found:
    """Everything steps gave, as bytes and rows that can be compared."""

    bodies: list[bytes] = field(default_factory=list)
    resolutions: list[ResolutionRow] = field(default_factory=list)
    dead: list[DeadLetterRow] = field(default_factory=list)
    late: list[LateRow] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.bodies += [found.body for found in outcome.detections]
        self.resolutions += outcome.resolutions
        self.dead += outcome.dead_letters
        self.late += outcome.late


def records(lines: Sequence[bytes], first: int, end: int) -> Records:
    return Records(first, b"".join(line + b"\n" for line in lines[first:end]), end - first)


def fold_all(
    rule_set: RuleSet, lines: Sequence[bytes], cuts: Sequence[int] = ()
) -> tuple[Found, Fold]:
    """One fold over all lines, cut into batches at `cuts`, and the end of the source."""
    fold, found = Fold(rule_set, "p"), Found()
    bounds = sorted({0, len(lines), *(cut % (len(lines) + 1) for cut in cuts)})
    for first, end in pairwise(bounds):
        found.add(fold.step(records(lines, first, end)))
        check_counters(fold)
    found.add(fold.finish())
    check_counters(fold)
    return found, fold


def check_counters(fold: Fold) -> None:
    count = fold.counters
    parts = ("processed", "late", "dead_lettered", "quarantined", "ignored")
    assert sum(count[part] for part in parts) == count["received"]


def restarted(
    rule_set: RuleSet, lines: Sequence[bytes], checkpoint: Checkpoint, pages: dict[str, bytes]
) -> Fold:
    """A new fold from what a store would have kept."""
    fold = Fold(rule_set, "p", checkpoint, pages)
    fold.replay(lambda first, count: records(lines, first, min(first + count, len(lines))))
    return fold


def json_of(bodies: Sequence[bytes]) -> list[dict[str, object]]:
    return [orjson.loads(body) for body in bodies]
