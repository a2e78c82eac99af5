"""The loop of a partition: read, step, commit; and of several, in turns.

Everything a step changed is committed at once, so a crash anywhere means: load the last commit,
read on.  Detections are shown to `sink` after they are durable.  While catching up, steps share a
commit.  What is detected at the end of the log is committed at once, without pages: until the next
pages, now and then, the state of that commit is the last pages and what the log holds since.  Those
pages are made bit by bit (`cep.frozen`), so that nobody waits for all of them.  That changes how
much work a crash repeats, never what is detected.

Waits for a database server that is gone.  Stops with `SourceError` or `StoreError`, which name the
reason; what was committed stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial

from cep import limits
from cep.deployment.in_force import RulesInForce, TakenUp
from cep.deployment.rollout import Deployments
from cep.errors import SourceError, StoreError
from cep.fold import Fold, Outcome
from cep.frozen import Frozen
from cep.idle import Ticks
from cep.intake import Gate, Intake
from cep.patience import Patience
from cep.ports import (
    ActivationRow,
    Checkpoint,
    Clock,
    DeadLetterRow,
    LateRow,
    Lease,
    Log,
    Records,
    ResolutionRow,
    Store,
    SystemClock,
)
from cep.render import Rendered
from cep.tables.changes import RowChange, TableChanges
from cep.tables.reading import Source
from cep.tables.sources import load
from dsl.model import RuleSet
from matcher.cycles import no_search_for_cycles
from matcher.lookup.table import Applied

Sink = Callable[[Sequence[Rendered]], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.  Counters are those of the whole life of the partition's state.

    `capped` are the partial matches that were refused at a limit, by rule.
    """

    partition: str
    position: int
    ended: bool  # the source ended; otherwise the engine was told to stop
    counters: Mapping[str, int]
    capped: Mapping[str, int]


class Turn(Enum):
    """What a turn of an engine came to."""

    READ = auto()  # something was read, or can be now
    IDLE = auto()  # nothing could be read yet
    OVER = auto()  # the source ended, or the engine was told to stop


def run_in_turns(
    engines: Sequence[Engine], clock: Clock, between: Callable[[], None] = lambda: None
) -> list[Summary]:
    """Folds several partitions in one thread, a step of each in turn, until all are over.

    `between` is called before each round.
    """
    summaries: dict[str, Summary] = {}
    try:
        for engine in engines:
            engine.start()
        idle_ms = 0
        while running := [engine for engine in engines if engine.partition not in summaries]:
            between()
            idle = True
            for engine in running:
                turn = engine.turn()
                idle = idle and turn is Turn.IDLE
                if turn is Turn.OVER:
                    summaries[engine.partition] = engine.finish()
            idle_ms = min(2 * idle_ms + 1, limits.LOG_POLL_INTERVAL_MS_MAX) if idle else 0
            if idle:
                clock.sleep_ms(idle_ms)
        return [summaries[engine.partition] for engine in engines]
    finally:
        for engine in engines:
            engine.close()


class Engine:
    """Folds one partition of `log`; without a store nothing is kept.

    `sink` is shown the detections of a commit, `dead_letters` its dead letters.  `notify` takes
    sentences for the operator.  `progress` is called after each step with the number of records
    read by this run.  `tables` are sources that take the place of those in the rule files.  While
    `outbox_full` says so, nothing is read.  `ticks` move time while the log is silent.  Where there
    are `deployments` they say what the rules are, now and later.  `stop`, `reload_tables` and
    `change_rows` may be called from a signal handler or thread.
    """

    def __init__(
        self,
        rules: RuleSet,
        log: Log,
        store: Store | None,
        *,
        partition: str | None = None,
        sink: Sink = lambda detections: None,
        dead_letters: Callable[[Sequence[DeadLetterRow]], None] = lambda letters: None,
        notify: Callable[[str], None] = lambda sentence: None,
        progress: Callable[[int], None] = lambda records: None,
        clock: Clock | None = None,
        batch_records: int = limits.BATCH_RECORDS_MAX,
        commit_interval_ms: int = limits.COMMIT_INTERVAL_MS,
        tables: Mapping[str, Source] | None = None,
        outbox_full: Callable[[], bool] = lambda: False,
        ticks: Ticks | None = None,
        deployments: Deployments | None = None,
    ) -> None:
        self.partition = partition or log.partitions[0]
        self.fold: Fold | None = None
        self._rules = RulesInForce(rules, deployments, log, self.partition, tables or {})
        self._log = log
        self._store = store
        self._sink = sink
        self._show_dead_letters = dead_letters
        self._notify = notify
        self._progress = progress
        self._clock = clock or SystemClock()
        self._gate = Gate(outbox_full, self._clock)
        self._patiently = Patience(self._clock, lambda: self._stopping, notify)
        self._batch_records = batch_records
        self._commit_interval_ms = commit_interval_ms
        self._ticks = ticks
        self._changes = TableChanges()
        self._stopping = False
        self._ended = False
        self._records_read = 0
        self.records_committed = 0  # of those read by this run
        self._lease: Lease | None = None
        self._source = ""
        self._detections: list[Rendered] = []
        self._resolutions: list[ResolutionRow] = []
        self._dead_letters: list[DeadLetterRow] = []
        self._late: list[LateRow] = []
        self._activations: list[ActivationRow] = []
        self._dirty = False  # something is not committed
        self._behind = False  # the pages are older than what is committed
        self._pages_due = True  # … and the log does not tell what has changed since
        self._frozen: Frozen | None = None  # pages that are being made
        self._pages_ms = 0
        self._texts_max = 0

    def stop(self) -> None:
        """Finish the step at hand, commit, and return from `run`."""
        self._stopping = True

    def reload_tables(self) -> None:
        """Read the sources of all tables anew before the next step."""
        self._changes.reload()

    def change_rows(
        self, name: str, upserts: Sequence[object] = (), deletes: Sequence[object] = ()
    ) -> Future[Applied]:
        """See `Fold.change_rows`; done when the change is durable, or refused with RowsError."""
        return self._changes.ask(RowChange(name, tuple(upserts), tuple(deletes)))

    def run(self) -> Summary:
        """Reads until the source ends or `stop` is called."""
        (summary,) = run_in_turns([self], self._clock)
        return summary

    def start(self) -> None:
        """Takes the partition over and restores its state."""
        self.fold = self._start()
        self._texts_max = _texts_max(self.fold)

    def turn(self) -> Turn:
        """One step, if there is something to read; see `run_in_turns`."""
        assert self.fold is not None
        if self._stopping:
            return Turn.OVER
        fold = self._change_rules(self._without_old_texts(self.fold))
        self._change_tables(fold)
        if self._patiently(self._gate.held):
            self._commit(fold)
            return Turn.IDLE
        room = min(self._batch_records, self._rules.room(fold.position))
        records = self._read(fold.position, room)
        if records is None:
            self._ended = True
            self._add(fold.finish())
            return Turn.OVER
        if records.count == 0:
            self._commit_if_due(fold, idle=True)
            self._gate.idle()
            return Turn.READ if self._tick(fold) else Turn.IDLE
        if not self._records_read and fold.watermark_ms >= limits.END_OF_TIME_MS:
            self._notify(
                f"{self.partition} was read to its end before: the events added since then, "
                f"from record {records.first_position} on, are late"
            )
        if self._ticks is not None:
            self._ticks.heard()
        self._add(fold.step(records))
        self._records_read += records.count
        self._commit_if_due(fold, idle=False, at_end=not self._is_full(records))
        self._progress(self._records_read)
        return Turn.READ

    def finish(self) -> Summary:
        """Commits what the last turns gave."""
        assert self.fold is not None
        self._commit(self.fold)
        fold = self.fold
        counters, capped = dict(fold.counters), dict(fold.capped)
        return Summary(self.partition, fold.position, self._ended, counters, capped)

    def close(self) -> None:
        """Refuses the changes of tables that still wait."""
        self._changes.close()

    @property
    def intake(self) -> Intake:
        return self._gate.state

    # ------------------------------------------------------------------------------------- start

    def _start(self) -> Fold:
        """The fold as the last commit left it; a normal start and a recovery are the same."""
        self._pages_ms = self._clock.now_ms()
        if self._store is None:
            running = self._rules.begin({}, self._pages_ms)
            fold = Fold(running, self.partition, elsewhere=self._rules.sources)
            self._begin(fold)
            load(fold, self._rules.sources, self._notify)
            return fold
        self._lease = self._store.acquire(self.partition)
        before, pages = self._lease.checkpoint, self._lease.pages
        running, committed = self._rules.begin(pages, self._pages_ms), self._lease.position
        sources = self._rules.sources
        fold = Fold(running, self.partition, before, pages, committed, elsewhere=sources)
        if before is None:
            self._check_is_first()
            self._begin(fold)
        else:
            self._log.resume(self.partition, before.bookmark)
            self._check_source(before.source)
            self._add(fold.replay(self._read))
            self._source = before.source
            for notice in fold.notices:
                self._notify(notice)
        self._activations = self._rules.begun(fold, pages)
        waiting = self._waiting or self._activations
        self._dirty = load(fold, self._rules.sources, self._notify) or bool(waiting)
        return fold

    def _begin(self, fold: Fold) -> None:
        """Where a log begins that has lost records, which is said."""
        first = self._log.begin(self.partition)
        if first:
            fold.begin_at(first)
            self._notify(f"{self.partition} begins with record {first}: those before were removed")

    def _check_is_first(self) -> None:
        """Refuses to begin anew when another store, or this one before, has come further."""
        if reached := self._log.reached(self.partition):
            raise StoreError(
                f"the store knows nothing of {self.partition!r}, it is another one or was emptied: "
                f"{reached}"
            )

    def _check_source(self, known: str) -> None:
        """Refuses a log that is not the one the checkpoint was made from."""
        if known and self._log.mark(self.partition) != known:
            raise SourceError(
                f"the store knows another log as {self.partition!r}: its first record differs. "
                "Use another store, or give this log a name of its own with --partition"
            )

    def _read(self, position: int, max_records: int) -> Records | None:
        return self._patiently(lambda: self._log.read(self.partition, position, max_records))

    def _tick(self, fold: Fold) -> bool:
        """Whether a tick was written, as nothing else is there to read."""
        ticks = self._ticks
        return ticks is not None and self._patiently(
            lambda: ticks.tick(self._clock, fold.watermark_ms)
        )

    def _without_old_texts(self, fold: Fold) -> Fold:
        """A restart in place behind a commit, when many texts were seen since the last start."""
        committed = not (self._dirty or self._behind) and self._lease is not None
        if committed and len(fold.strings) > self._texts_max:
            with suppress(SourceError):  # the log cannot go back to events that wait for time
                fold = self.fold = fold.renewed(self._patiently(self._pages), self._read)
            self._texts_max = _texts_max(fold)
        return fold

    def _change_rules(self, fold: Fold) -> Fold:
        """Takes up what was deployed; durable before anything is read under the new rules."""
        while taken := self._patiently(partial(self._taken_up, fold)):
            fold = self.fold = taken.fold
            self._activations.append(taken.activation)
            self._dirty = True
            self._commit(fold)
            for notice in taken.notices:
                self._notify(notice)
        return fold

    def _taken_up(self, fold: Fold) -> TakenUp | None:
        return self._rules.take_up(fold, self._pages, self._clock.now_ms(), self._notify)

    def _pages(self) -> Mapping[str, bytes]:
        """Those of the last commit; what has changed since is asked of the fold."""
        assert self._store is not None and self._lease is not None, "deployments are in a store"
        self._thaw()
        return self._store.pages(self._lease)

    def _change_tables(self, fold: Fold) -> None:
        """Applies what was asked for since the last step; durable before anybody is told."""
        asked = self._changes.take()
        if asked.reload:
            if load(fold, self._rules.sources, self._notify):
                self._dirty = self._pages_due = True
            self._notify("the tables were read anew")
        for change in asked.changes:
            change.apply(fold)
            self._dirty = self._pages_due = True
        if asked.changes:
            self._commit(fold)
        for change in asked.changes:
            change.tell()

    # ------------------------------------------------------------------------------------ commit

    def _add(self, outcome: Outcome) -> None:
        self._detections += outcome.detections
        self._resolutions += outcome.resolutions
        self._dead_letters += outcome.dead_letters
        self._late += outcome.late
        self._dirty = True

    def _is_full(self, records: Records) -> bool:
        """Whether the log surely holds more."""
        whole_batch_bytes = limits.BATCH_BYTES_MAX - limits.LINE_BYTES_MAX
        return records.count == self._batch_records or len(records.data) >= whole_batch_bytes

    def _commit_if_due(self, fold: Fold, *, idle: bool, at_end: bool = True) -> None:
        """Pages now and then; the rest when there is much, or time for it, or somebody waits."""
        told = bool(self._detections or self._resolutions)
        due = self._clock.now_ms() - self._pages_ms >= self._commit_interval_ms
        if self._must_be_whole(fold, at_end):
            if due or self._frozen is not None:
                self._commit(fold)
                return
        elif self._frozen is not None or (due and (self._dirty or self._behind)):
            self._make_pages(fold)
        if idle or (at_end and told) or self._waiting >= limits.UNCOMMITTED_ROWS_MAX:
            self._commit(fold, pages=self._pages_due)

    def _must_be_whole(self, fold: Fold, at_end: bool) -> bool:
        """Whether pages have to be those of the position they are committed with.

        While catching up nobody waits; what the log does not tell must not be older than detections
        behind it; and a restart in place needs pages of where it is.
        """
        texts = len(fold.strings) > self._texts_max
        return self._store is None or not at_end or self._pages_due or texts

    def _make_pages(self, fold: Fold) -> None:
        """Some of those that are to be committed; when that is all of them, commits."""
        with no_search_for_cycles():
            if self._frozen is None:
                self._frozen = Frozen(self._checkpoint(fold, pages=True), fold.freeze())
                self._pages_ms = self._clock.now_ms()
            if self._frozen.make_some():
                self._commit_now(fold, pages=True)

    def _thaw(self) -> None:
        """Has pages that were frozen be part of what the fold gives next."""
        if self._frozen is not None:
            assert self.fold is not None
            self.fold.adopt(self._frozen.take())
            self._frozen = None

    @property
    def _waiting(self) -> int:
        """How many rows wait for a commit."""
        told = len(self._detections) + len(self._resolutions)
        return told + len(self._dead_letters) + len(self._late)

    def _commit(self, fold: Fold, pages: bool = True) -> None:
        if pages:
            self._thaw()
        if self._dirty or (pages and self._behind):
            with no_search_for_cycles():
                self._commit_now(fold, pages)

    def _commit_now(self, fold: Fold, pages: bool) -> None:
        """With pages: those that are frozen, or else those of the fold as it is."""
        frozen = self._frozen if pages else None
        if self._store is not None and self._lease is not None:
            begin_ms = self._clock.now_ms()
            self._write(self._store, self._lease, fold, pages, frozen)
            self._gate.committed(self._clock.now_ms() - begin_ms)
        if self._dead_letters:
            self._show_dead_letters(self._dead_letters)
        if self._detections:
            self._sink(self._detections)
        self._detections, self._resolutions, self._dead_letters, self._late = [], [], [], []
        self._activations = []
        self.records_committed = self._records_read
        older = frozen is not None and frozen.checkpoint.position < fold.position
        self._dirty, self._behind = False, not pages or older
        if frozen is not None:
            self._frozen = None
        elif pages:
            self._pages_due = False
            self._pages_ms = self._clock.now_ms()

    def _checkpoint(self, fold: Fold, pages: bool) -> Checkpoint:
        """Of where the fold is; with the log's bookmark when pages will be committed with it."""
        self._source = self._source or self._patiently(lambda: self._log.mark(self.partition))
        found = fold.checkpoint(self._source)
        if not pages:
            return found
        return replace(found, bookmark=self._log.bookmark(self.partition, found.resume_position))

    def _write(
        self, store: Store, lease: Lease, fold: Fold, pages: bool, frozen: Frozen | None
    ) -> None:
        checkpoint = self._checkpoint(fold, pages and frozen is None)
        state = checkpoint if frozen is None else frozen.checkpoint
        rows = [found.row() for found in self._detections]
        changed = None
        if pages:
            changed = fold.changed_pages() if frozen is None else frozen.take()
        self._patiently(
            lambda: store.commit(
                lease,
                checkpoint,
                changed,
                rows,
                self._dead_letters,
                self._resolutions,
                self._late,
                self._activations,
                state,
            )
        )
        if pages:
            self._log.committed(self.partition, state.bookmark)


def _texts_max(fold: Fold) -> int:
    """So many texts may be known before it is looked which of them are needed."""
    return max(limits.TEXTS_KEPT_MIN, 2 * len(fold.strings))
