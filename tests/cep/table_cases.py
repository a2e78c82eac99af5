"""Rules that look into tables, changes of those, and a fold driven through both."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine_cases import BASE_MS, Found, check_counters, records

import cep
from cep.fold import Fold
from cep.ports import Checkpoint
from dsl.model import RuleSet

TABLE_RULES = """
event Payment {
  ts: timestamp @time  card: string  shop: string  ip: ip  amount: decimal(2)
} lateness 10s

table shops { shop: string @pk  owner: string  risk: float?  day: int? } from file "shops.csv"
list  watched: [string] = ["c1"]
list  exits: [cidr] from file "exits.txt"

rule risky {
  match p: Payment[(shops[shop]?.risk ?? 0.0) > 0.5 or ip in exits]
  alert "{p.card} at {shops[shop]?.owner ?? 'nobody'}"
}
rule twice {
  by card
  match a: Payment[card in watched] -> b: Payment[shops[shop]?.owner is not shops[a.shop]?.owner]
  within 20s
  where exists shops[a.shop]
  alert "{card}: {shops[a.shop]?.owner} and {shops[b.shop]?.owner}"
}
rule silent {
  by shop
  match a: Payment -> not Payment for 15s
  where (shops[shop]?.day ?? 0) >= 0
  suppress by shop for 5s
  alert "{shop} of {shops[shop]?.owner ?? 'nobody'} is silent" { day: shops[shop]?.day }
}
rule crowded {
  by shop
  over Payment window tumbling 10s
  when count() > (shops[shop]?.day ?? 0) and last(card) in watched
  alert "{shop} of {shops[shop]?.owner}: {count()}"
}
rule rising {
  by shop
  over Payment window sliding 8s
  when count() > (shops[shop]?.day ?? 0)
  alert "{shop}: {count()}"
}
"""

DERIVED_RULES = """
event Signal { shop: string  owner: string? }
rule left {
  by shop
  match a: Payment -> not Payment for 15s
  emit Signal {shop, owner: shops[shop]?.owner}
}
rule paying {
  by shop
  match p: Payment[card in watched] emit Signal {shop, owner: shops[shop]?.owner}
}
rule pair {
  by shop
  match a: Signal[owner is shops[shop]?.owner] -> b: Signal[(shops[shop]?.risk ?? 0.0) < 0.6]
  within 1m
  alert "{a.owner} {shops[a.shop]?.owner} {b.owner} {shops[b.shop]?.owner} {shops[shop]?.owner}"
}
rule signals {
  by shop
  over Signal window sliding 20s
  when count() > (shops[shop]?.day ?? 1)
  alert "{shop} of {shops[shop]?.owner}: {count()} signals"
}
rule quiet {
  by shop
  match s: Signal -> not Signal for 12s
  alert "{shop} of {shops[s.shop]?.owner ?? 'nobody'}: no more signals" { day: shops[shop]?.day }
}
"""

RULE_SET = cep.compile(TABLE_RULES)
WITH_DERIVED = cep.compile(TABLE_RULES + DERIVED_RULES)


@dataclass(frozen=True, slots=True)
class Change:
    """Comes before the record at `position`: single rows, or (with `whole`) all of them."""

    position: int
    table: str
    upserts: tuple[object, ...]
    deletes: tuple[object, ...]
    whole: bool


def payments(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [
        (
            f'{{"type":"Payment","ts":{BASE_MS + 700 * n - rng.randrange(9_000)},'
            f'"card":"c{rng.randrange(3)}","shop":"s{rng.randrange(4)}",'
            f'"ip":"10.0.{rng.randrange(3)}.1","amount":{rng.randrange(9)}}}'
        ).encode()
        for n in range(count)
    ]


def changes(count: int, positions: int, seed: int) -> list[Change]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        table = rng.choice(("shops", "shops", "watched", "exits"))
        rows: tuple[object, ...] = tuple(rng.sample([f"c{n}" for n in range(3)], 2))
        keys: tuple[object, ...] = (rng.choice(("c0", "c1")),)
        if table == "exits":
            networks = ["10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/8", "10.0.2.1"]
            rows, keys = tuple(rng.sample(networks, 2)), (rng.choice(networks),)
        if table == "shops":
            rows = tuple(
                {"shop": f"s{n}", "owner": f"o{number}", "risk": rng.choice((0.1, 0.9, None))}
                for n in rng.sample(range(4), 2)
            )
            keys = (f"s{rng.randrange(4)}",)
        position = 0 if number < 2 else rng.randrange(positions + 1)
        found.append(Change(position, table, rows, keys, rng.random() < 0.4))
    return sorted(found, key=lambda change: change.position)


def apply(fold: Fold, change: Change) -> None:
    if change.whole:
        fold.replace_rows(change.table, change.upserts)
    else:
        fold.change_rows(change.table, change.upserts, change.deletes)


def fold_with_changes(
    lines: Sequence[bytes],
    made: Sequence[Change],
    cuts: Sequence[int] = (),
    stops: Sequence[int] = (),
    rules: RuleSet = RULE_SET,
) -> Found:
    """Batches end at `cuts` and changes; at `stops` the fold is built anew from what it saved."""
    fold, found = Fold(rules, "p"), Found()
    pages: dict[str, bytes] = {}
    bounds = {0, len(lines), *cuts, *stops, *(change.position for change in made)}
    for begin in sorted(bounds):
        if begin:
            found.add(fold.step(records(lines, fold.position, begin)))
        if begin in stops:
            fold, pages = restarted(lines, fold, pages)
        for change in made:
            if change.position == begin:
                apply(fold, change)
        if begin in stops:  # a change is kept whether it came before or after other records
            fold, pages = restarted(lines, fold, pages)
        check_counters(fold)
    found.add(fold.finish())
    return found


def restarted(
    lines: Sequence[bytes], fold: Fold, pages: Mapping[str, bytes]
) -> tuple[Fold, dict[str, bytes]]:
    kept = {name: data for name, data in {**pages, **fold.changed_pages()}.items() if data}
    checkpoint: Checkpoint = fold.checkpoint()
    fresh = Fold(fold.rules, "p", checkpoint, kept, elsewhere=("watched",))
    fresh.replay(lambda first, count: records(lines, first, min(first + count, len(lines))))
    assert fresh.notices == []
    return fresh, kept
