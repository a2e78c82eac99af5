"""Pages of state: many small checkpoints, what they write, and what comes back from all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from engine_cases import (
    BASE_MS,
    Found,
    events,
    fold_all,
    policy_rules,
    records,
    restarted,
    rules,
)

import cep
from cep.fold import Fold
from dsl.model import RuleSet

EVENT = """
event Payment { ts: timestamp @time  card: string  amount: int  country: string? }
feature usual = avg(Payment.amount) by card window sliding 1h
"""

KINDS = {
    "pair": "match a: Payment -> b: Payment[amount > 10 * a.amount + 900] within 1h",
    "runs": "match Payment[amount > 3]{2} -> Payment[amount == 999] within 1h",
    "shared": "match Payment[amount < 5] ->> Payment[amount == 999] within 1h"
    " matches all limit 100 runs",
    "timer": "match Payment[amount > 5] -> not Payment[amount == 999] for 1h",
    "silence": "match not Payment for 1h",
    "window": "over Payment window sliding 1h when count() >= 900",
    "session": "over Payment window session 10m cap 1h when sum(amount) >= 9000",
    "hopping": "over Payment window hopping 1h every 10m when avg(amount) > 990",
    "counted": "over Payment window count 50 cap 1h when min(amount) > 990",
    "fact": "match p: Payment[amount > 1.9 * usual]",
    "once": "match Payment[amount == 7] fire once",
    "unbounded": "match Payment[amount == 3] -> Payment[amount == 999] within unbounded"
    " limit 100 runs",
}


def rule(name: str, body: str) -> str:
    return f'rule {name} {{ severity low by card {body} alert "{{card}}" }}\n'


def payments(first: int, count: int, cards: int) -> list[bytes]:
    return [
        f'{{"type":"Payment","ts":{BASE_MS + 10 * n},"card":"c{n * 7919 % cards}",'
        f'"amount":{n % 10},"country":"FR"}}'.encode()
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_behind_few_events_writes_little_of_much_state(kind: str) -> None:
    fold = Fold(cep.compile(EVENT + rule(kind, KINDS[kind])), "p")
    lines = payments(0, 20_100, 5_000)
    fold.step(records(lines, 0, 20_000))
    whole = sum(map(len, fold.changed_pages().values()))
    assert whole > 8_000
    written = []
    for first in range(20_000, 20_100, 10):
        fold.step(records(lines, first, first + 10))
        written.append(sum(map(len, fold.changed_pages().values())))
    assert sorted(written)[5] < min(6_000, whole / 2)
    assert fold.changed_pages() == {}


def checkpoints(
    rule_set: RuleSet, lines: Sequence[bytes], every: int, restart_every: int
) -> tuple[Found, Fold, dict[str, bytes]]:
    """A fold with a checkpoint behind so many events, and a restart behind so many of those."""
    fold, found, pages = Fold(rule_set, "p"), Found(), dict[str, bytes]()
    for number, first in enumerate(range(0, len(lines), every), 1):
        end = min(first + every, len(lines))
        for begin in range(first, end, max(1, every // 4)):  # several batches to a checkpoint
            found.add(fold.step(records(lines, begin, min(begin + max(1, every // 4), end))))
        pages |= fold.changed_pages()
        pages = {name: data for name, data in pages.items() if data}
        if number % restart_every == 0:
            fold = restarted(rule_set, lines, fold.checkpoint(), pages)
    found.add(fold.finish())
    pages |= fold.changed_pages()
    return found, fold, {name: data for name, data in pages.items() if data}


@pytest.mark.parametrize("rule_set", [rules(), policy_rules()], ids=["rules", "policies"])
@pytest.mark.parametrize(("every", "restart_every"), [(1, 50), (3, 7), (20, 1)])
def test_many_small_checkpoints_and_restarts_change_nothing(
    rule_set: RuleSet, every: int, restart_every: int
) -> None:
    lines = events(600, 5)
    whole, one = fold_all(rule_set, lines)
    found, fold, pages = checkpoints(rule_set, lines, every, restart_every)
    assert found == whole
    assert fold.counters == one.counters
    assert len(pages) < 150


@pytest.mark.parametrize("kind", KINDS)
def test_what_many_small_checkpoints_left_is_what_an_undisturbed_fold_has(kind: str) -> None:
    """The counters of the rule, too, runs and keys that live aside: time may have passed them."""
    rule_set = cep.compile(EVENT + rule(kind, KINDS[kind]))
    lines = payments(0, 3_000, 40)
    whole, one = fold_all(rule_set, lines)
    found, fold, _ = checkpoints(rule_set, lines, 25, 10)
    assert found == whole
    assert fold.counters == one.counters


def test_nothing_is_left_in_pages_of_what_has_passed() -> None:
    """But heads, and in ledgers a little that is hidden."""
    bounded = ("pair", "runs", "shared", "timer", "window", "session", "hopping")
    rule_set = cep.compile(EVENT + "".join(rule(kind, KINDS[kind]) for kind in bounded))
    fold, pages = Fold(rule_set, "p"), dict[str, bytes]()
    lines = payments(0, 2_000, 100)
    for first in range(0, 2_000, 100):
        fold.step(records(lines, first, first + 100))
        pages |= fold.changed_pages()
    fold.finish()
    pages |= fold.changed_pages()
    left = {name for name, data in pages.items() if data}
    heads = {name for name in left if name.count("/") == 1}
    in_ledgers = {name for name in left - heads if name.startswith("rule/")}
    assert left == heads | in_ledgers
    assert not [name for name in in_ledgers if "/events/" in name]
    owners = {name.split("/")[1] for name in in_ledgers}
    assert owners <= {"runs", "timer", "window", "session", "hopping"}
