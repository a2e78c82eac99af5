"""A rule whose partial matches grow without end: it is bounded and marked, and alone in that."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_cases import BASE_MS, RULES, check_counters, records, restarted

import cep
from cep.fold import Fold
from cep.ports import capped_of
from cep.store import reads
from cep.store.store import open_store
from dsl.limits import RUNS_MAX
from matcher import limits

STARTS = 48_000
STARTS_PER_MS = 1
OF_OTHERS_EVERY = 20  # an event for the other rules behind so many starts
BATCH = 6_000
RUNS_OF_RULE = 10_000  # in place of millions
HIDDEN_BYTES = 48 * 1024  # pages may hold so much that is over; the starts themselves are megabytes

FLOOD = """
event Hit { ts: timestamp @time  host: string  size: int } lateness 10s
event Stop { ts: timestamp @time  host: string } lateness 10s
"""
PAIR = "match a: Hit -> b: Stop within 6h"
RUNS = "match a: Hit -> b: Hit[size > 9] -> c: Stop within 6h after match no skip"


@dataclass(frozen=True, slots=True)
class Flood:
    """A pattern that holds each start for six hours, over so many keys, and its bound."""

    body: str
    keys: int
    runs_max: int

    @property
    def rule(self) -> str:
        return f'rule flood {{ severity low by host {self.body} alert "{{host}}" }}\n'


FLOODS = {
    "pair, one key": Flood(PAIR, 1, RUNS_MAX),
    "pair, many keys": Flood(PAIR, STARTS, RUNS_OF_RULE + limits.CENSUS_ROWS),
    "runs, few keys": Flood(f"{RUNS} limit 50 runs", 20, 20 * 50),
    "runs, many keys": Flood(RUNS, STARTS, RUNS_OF_RULE + limits.CENSUS_ROWS),
}


def log_of(keys: int) -> list[bytes]:
    """A thousand starts a second, and among them what the other rules look for."""
    rng, lines = random.Random(7), []
    for number in range(STARTS):
        ts = BASE_MS + number // STARTS_PER_MS
        lines.append(f'{{"type":"Hit","ts":{ts},"host":"h{number % keys}","size":1}}')
        if number % OF_OTHERS_EVERY == 0:
            amount, country = rng.choice(["1.00", "600.00", "950.25"]), rng.choice(["FR", "DE"])
            lines.append(
                f'{{"type":"Payment","ts":{ts - rng.randrange(5_000)},"card":"c{number % 11}",'
                f'"amount":{amount},"country":"{country}"}}'
            )
    return [line.encode() for line in lines]


def of_others(fold: Fold, lines: list[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """(detections of the other rules, bytes of all pages) of each batch and of the end."""
    pages: dict[str, bytes] = {}
    for first in range(0, len(lines), BATCH):
        outcome = fold.step(records(lines, first, min(first + BATCH, len(lines))))
        check_counters(fold)
        pages |= fold.changed_pages()
        bodies = [d.body for d in outcome.detections if d.detection.rule != "flood"]
        yield bodies, sum(map(len, pages.values()))
    yield [d.body for d in fold.finish().detections if d.detection.rule != "flood"], 0


@pytest.mark.parametrize("kind", FLOODS)
def test_rule_that_grows_without_end_stays_in_its_bound_and_others_do_not_notice(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", RUNS_OF_RULE)
    flood, lines = FLOODS[kind], log_of(FLOODS[kind].keys)
    alone = [*of_others(Fold(cep.compile(RULES + FLOOD), "p"), lines)]
    fold = Fold(cep.compile(RULES + FLOOD + flood.rule), "p")
    together, runs = [], []
    for found in of_others(fold, lines):
        together.append(found)
        runs.append(fold.runs({"flood"}))
    # A finite source ends at the end of time, when nothing is left.
    bodies = [body for found, _ in together for body in found]
    assert bodies == [body for found, _ in alone for body in found]
    assert len(bodies) > 500
    assert 0 < max(runs) <= flood.runs_max
    assert fold.counters["capped"] == STARTS - max(runs)
    # Once the bound is reached the pages, in which held events are, do not grow.
    reached = runs.index(max(runs)) + 1
    assert reached < len(runs) // 2 + 1
    sizes = [size - other for (_, size), (_, other) in zip(together, alone, strict=True)][:-1]
    assert max(sizes[reached:]) <= 1.05 * sizes[reached] + HIDDEN_BYTES


def test_rule_that_was_refused_partial_matches_is_marked_and_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RUNS_PER_RULE_MAX", RUNS_OF_RULE)
    flood, lines = FLOODS["pair, many keys"], log_of(STARTS)
    rules = cep.compile(RULES + FLOOD + flood.rule)
    fold = Fold(rules, "p")
    fold.step(records(lines, 0, 30_000))
    capped = dict(fold.capped)
    assert capped == {"flood": fold.counters["capped"]}
    point, pages = fold.checkpoint(), fold.changed_pages()
    assert point.counters is not None
    assert point.counters[capped_of("flood")] == capped["flood"] > 0
    again = restarted(rules, lines, point, pages)
    assert again.capped == capped
    for one in (fold, again):  # a restart changes neither what is refused nor when
        one.step(records(lines, 30_000, len(lines)))
    assert again.counters == fold.counters
    assert again.capped == fold.capped
    milder = cep.compile(RULES + FLOOD + flood.rule.replace("6h", "1s"))
    changed = restarted(milder, lines, fold.checkpoint(), pages)
    assert changed.capped == {}, "another pattern has been refused nothing"


def test_run_says_which_rules_were_refused_partial_matches_and_the_store_knows(
    tmp_path: Path,
) -> None:
    rules, log, store = tmp_path / "r.cep", tmp_path / "log.ndjson", tmp_path / "s.db"
    rules.write_text(RULES + FLOOD + FLOODS["runs, few keys"].rule)
    log.write_bytes(b"\n".join(log_of(20)[:12_000]))
    arguments = ["run", rules, "--from", log, "--store", store, "--out", "jsonl"]
    done = subprocess.run(
        [sys.executable, "-m", "cep.cli", *map(str, arguments)], capture_output=True, check=True
    )
    opened = open_store(str(store))
    capped = reads.capped_per_rule(opened.engine)
    opened.close()
    assert list(capped) == ["flood"]
    said = f"{capped['flood']:,} partial matches were refused: too many at once of one key, "
    assert f"{said}or of one rule (flood {capped['flood']:,})" in done.stderr.decode()
