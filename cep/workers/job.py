"""What is to be run, in a form that can be sent to another process; and the engines for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cep import limits
from cep.engine import Engine
from cep.idle import ticks_for
from cep.log import open_log
from cep.ports import DeadLetterRow, Log
from cep.render import Rendered
from cep.store import reads
from cep.store.deployments import SqlDeployments
from cep.store.store import SqlStore, open_store
from cep.tables.reading import Source
from dsl.model import RuleSet

Lines = Callable[[Sequence[Rendered]], bytes]
"""Detections as they are printed: whole lines."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what happens: of detections their lines, of dead letters the partition too.

    `progress` is told the number of records read so far.
    """

    show: Callable[[bytes], None] = lambda lines: None
    say: Callable[[str], None] = lambda sentence: None
    dead_letters: Callable[[str, Sequence[DeadLetterRow]], None] = lambda partition, letters: None
    progress: Callable[[int], None] = lambda records: None


@dataclass(frozen=True, slots=True)
class Job:
    """`log` and `store` are URLs.  `lines`, a function of a module, makes what is shown.

    `idle_ms`: see `cep.idle.check_idle`.  With a `topic`, the rules are those that are deployed for
    it in the store, now and later; `rules` are those of deployment `deployment`.
    """

    rules: RuleSet
    log: str
    store: str | None
    follow: bool | None = None
    lines: Lines | None = None
    batch_records: int = limits.BATCH_RECORDS_MAX
    commit_interval_ms: int = limits.COMMIT_INTERVAL_MS
    tables: Mapping[str, Source] = field(default_factory=dict)
    hold_when_outbox_full: bool = False  # only where a dispatcher empties it
    idle_ms: int | None = None
    topic: str | None = None
    deployment: int = 0

    def open_log(self, notify: Callable[[str], None]) -> Log:
        return open_log(self.log, follow=self.follow, notify=notify)

    def open_store(self, notify: Callable[[str], None]) -> SqlStore | None:
        return None if self.store is None else open_store(self.store, notify)

    def deployments(self, store: SqlStore | None) -> SqlDeployments | None:
        if self.topic is None or store is None:
            return None
        return SqlDeployments(store.engine, self.topic, {self.deployment: self.rules})

    def engines(
        self, partitions: Sequence[str], log: Log, store: SqlStore | None, listener: Listener
    ) -> list[Engine]:
        """One for each of the partitions."""
        read = dict.fromkeys(partitions, 0)
        lines = self.lines
        deployments = self.deployments(store)

        def sink(detections: Sequence[Rendered]) -> None:
            if lines is not None:
                listener.show(lines(detections))

        def outbox_full() -> bool:
            return (
                self.hold_when_outbox_full
                and store is not None
                and reads.outbox_is_full(store.engine)
            )

        def engine(partition: str) -> Engine:
            def progressed(records: int) -> None:
                read[partition] = records
                listener.progress(sum(read.values()))

            return Engine(
                self.rules,
                log,
                store,
                partition=partition,
                sink=sink,
                dead_letters=lambda letters: listener.dead_letters(partition, letters),
                notify=listener.say,
                progress=progressed,
                batch_records=self.batch_records,
                commit_interval_ms=self.commit_interval_ms,
                tables=self.tables,
                outbox_full=outbox_full,
                ticks=ticks_for(log, partition, self.idle_ms, followed=self.follow is not False),
                deployments=deployments,
            )

        return [engine(partition) for partition in partitions]
