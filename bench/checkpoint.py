"""What a commit and a restart cost when the state is large.

The rules of bench/rules/state.cep take the stream in until their pages in the store have the size
asked for.  Then small batches are folded, and the commit behind each is timed: writing the changed
pages down is the pause, as the loop of the engine does nothing else meanwhile.  Last, a new fold is
built from the store, as a start of the engine does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from bench import rulebook, workload
from cep import limits
from cep.fold import Fold, Outcome
from cep.log.file import FileLog
from cep.ports import Lease
from cep.store.store import SqlStore, open_store
from cep.store.tables import page
from dsl.model import RuleSet

SMALL_BATCH_EVENTS = 1_000
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Commit:
    """Seconds to make the changed pages and to write them, and their size."""

    dump_seconds: float
    write_seconds: float
    page_bytes: int

    @property
    def pause_seconds(self) -> float:
        return self.dump_seconds + self.write_seconds


class Partition:
    """The engine's loop by hand, so that a commit can be timed."""

    def __init__(self, rules: RuleSet, log: FileLog, store: SqlStore) -> None:
        self._log = log
        self._store = store
        self._lease: Lease = store.acquire(log.partitions[0])
        self.fold = Fold(rules, self._lease.partition, self._lease.checkpoint, self._lease.pages)
        self.fold.replay(lambda at, most: log.read(self._lease.partition, at, most))

    def step(self, events: int) -> Outcome:
        records = self._log.read(self._lease.partition, self.fold.position, events)
        if records is None or not records.count:
            raise RuntimeError("the stream is too short for so much state: ask for more --events")
        return self.fold.step(records)

    def commit(self, outcome: Outcome) -> Commit:
        begin = time.perf_counter()
        pages = self.fold.changed_pages()
        dumped = time.perf_counter()
        rows = [found.row() for found in outcome.detections]
        self._store.commit(self._lease, self.fold.checkpoint(), pages, rows, outcome.dead_letters)
        written = time.perf_counter()
        return Commit(dumped - begin, written - dumped, sum(map(len, pages.values())))


def commits_and_restore(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """`head` MiB of state from a stream of `n`; the median and the longest of `runs` commits."""
    rules = rulebook.rules(rulebook.STATE)
    log = FileLog(str(workload.cached_ndjson(n, n)))
    with workload.scratch() as folder:
        _warm(rules, log, str(Path(folder) / "warm.db"))
        url = str(Path(folder) / "store.db")
        store = open_store(url)
        partition = Partition(rules, log, store)
        state_bytes = _grow(partition, store, head * MIB)
        commits = []
        for _ in range(runs):
            outcome = partition.step(SMALL_BATCH_EVENTS)
            commits.append(partition.commit(outcome))
        store.close()
        restored_seconds, restored = _restore(rules, log, url)
        assert restored.counters == partition.fold.counters, "what was restored differs"
        position = partition.fold.position
    pauses = [commit.pause_seconds for commit in commits]
    return {
        "state_bytes": state_bytes,
        "events": position,
        "batch_events": SMALL_BATCH_EVENTS,
        "pause_ms": _ms(median(pauses)),
        "pause_ms_max": _ms(max(pauses)),
        "of_it_making_pages_ms": _ms(median(commit.dump_seconds for commit in commits)),
        "written_bytes": round(median(commit.page_bytes for commit in commits)),
        "restore_seconds": round(restored_seconds, 3),
    }


def _warm(rules: RuleSet, log: FileLog, url: str) -> None:
    """Loads the kernels that writing state down and reading it need."""
    store = open_store(url)
    partition = Partition(rules, log, store)
    partition.commit(partition.step(SMALL_BATCH_EVENTS))
    store.close()
    _restore(rules, log, url)


def _grow(partition: Partition, store: SqlStore, wanted_bytes: int) -> int:
    """Takes events in until the pages have about the size wanted; commits seldom on the way."""
    enough = SMALL_BATCH_EVENTS * 8
    while True:
        outcome = Outcome()
        while partition.fold.position < enough:
            left = enough - partition.fold.position
            outcome = partition.step(min(left, limits.BATCH_RECORDS_MAX))
        partition.commit(outcome)
        size = _page_bytes(store)
        if size >= 0.95 * wanted_bytes:
            return size
        more = wanted_bytes / max(size, 1)
        enough = int(partition.fold.position * min(more, 4.0)) + 1


def _page_bytes(store: SqlStore) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(select(func.sum(func.length(page.c.data)))).scalar() or 0)


def _restore(rules: RuleSet, log: FileLog, url: str) -> tuple[float, Fold]:
    """Reading the pages and building the fold."""
    begin = time.perf_counter()
    store = open_store(url)
    fold = Partition(rules, log, store).fold
    seconds = time.perf_counter() - begin
    store.close()
    return seconds, fold


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
