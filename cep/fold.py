"""The engine as a fold over one partition's log:  state', detections = step(state, records).

`step` does no I/O and reads no clock: what it gives depends on the records so far and the rules
alone, not on how the records were cut into batches.  State is the rows waiting for time, the
partial matches, the tables, what suppression remembers, and the counters; `checkpoint` and
`changed_pages` say how to write it down, and a fold built with them, after `replay`, goes on as if
it had never stopped.  Pages may be older than what was committed: `replay` folds the records in
between in once more.

Counters: received = processed + late + dead_lettered + quarantined + ignored, after every step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from msgspec import MsgspecError

from cep import limits
from cep.deployment.running import PAGE as DEPLOYMENT_PAGE
from cep.deployment.running import Running
from cep.errors import RowsError, RulesError, SourceError, StoreError
from cep.event_time import EventTime, Ordered, late_rows
from cep.ports import Checkpoint, DeadLetterRow, LateRow, Records, ResolutionRow, capped_of
from cep.quarantine import set_aside
from cep.render import Rendered
from cep.suppress import PAGE_PREFIX
from cep.telling import Telling
from dsl.model import Expr, RuleSet
from matcher.cycles import no_search_for_cycles
from matcher.decode import Decoded, Decoder
from matcher.lookup.reference_data import PAGE_PREFIX as TABLE_PAGES
from matcher.lookup.reference_data import ReferenceData, tables_read
from matcher.lookup.rows import keys_of_json, rows_of_json
from matcher.lookup.table import Applied, Columns
from matcher.page_data import PageData, all_made
from matcher.programs import UnsupportedRule
from matcher.schema import Schema
from matcher.strata import RULE_PREFIX, Strata
from matcher.strings import Strings

# PageMismatch, and what comes of a page whose form is another one.
_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, MsgspecError)

COUNTERS = (
    "received",
    "processed",
    "late",
    "dead_lettered",
    "quarantined",
    "ignored",
    "detections",
    "suppressed",
    "derived",
    "not_derived",
    "expired",
    "capped",
    "unkeyed",
    "cancelled",
    "skips_missed",
    "forgotten",
    "resolutions",
    "shadowed",
)
"""`quarantined` events are dead letters too, but counted apart.  `derived` events were emitted,
`not_derived` ones are such as their declaration does not allow.  From `expired` on: partial matches
that ran out of time, partial matches refused at the limit per key or rule (and derived events at
the limit per record), events that a rule could not use because a part of its key is null (once per
rule), partial matches ended by `cancel on` or with the row of their key, matches that skipped past
their last event because the step that `skip to` names was not in them, keys forgotten that `fire
once` or `resolve on` remembered, resolutions, and detections of rules in shadow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step adds to the world."""

    detections: Sequence[Rendered] = ()
    resolutions: Sequence[ResolutionRow] = ()
    dead_letters: Sequence[DeadLetterRow] = ()
    late: Sequence[LateRow] = ()


Only = Callable[[Decoded], Decoded]
"""Leaves rows out, which it counts as ignored."""


def _all_of(decoded: Decoded) -> Decoded:
    return decoded


class Fold:
    """The fold of one partition, from `before` and its saved `pages` on.

    `rules` may be some of which not all are live (`cep.deployment.running`).
    What was detected before the record `committed` is known; with pages that are older, `replay`
    leads there, and only from there on do the lists of the rule file count.
    `also`: expressions per rule that a caller will evaluate over the evidence of detections.
    `elsewhere`: tables and lists whose rows a caller will load, whatever the rule file says.
    `notices` says what of the saved state was not taken up, and why.
    """

    def __init__(
        self,
        rules: RuleSet | Running,
        partition: str,
        before: Checkpoint | None = None,
        pages: Mapping[str, bytes] | None = None,
        committed: int = 0,
        *,
        also: Mapping[str, Sequence[Expr]] | None = None,
        elsewhere: Collection[str] = (),
    ) -> None:
        start = before or Checkpoint()
        self.partition = partition
        self.running = rules if isinstance(rules, Running) else Running(rules)
        rules = self.running.in_motion
        strings = Strings()
        schema = Schema.of(rules.events, rules.rules, also or {})
        lateness_ms = max((event.lateness_ms for event in schema.events), default=0)
        self.rules = rules
        self.decoder = Decoder(schema, strings)
        self.position = start.position
        self.counters = {name: (start.counters or {}).get(name, 0) for name in COUNTERS}
        self.notices: list[str] = []
        self._known_rules = start.rules or {}
        self._resume_position = start.resume_position
        self._committed = committed
        self._elsewhere = elsewhere
        self.strings = strings
        self.tables = ReferenceData(tables_read(rules, also), strings)
        try:
            self._matcher = Strata(
                rules.rules, schema, strings, also=also or {}, tables=self.tables
            )
        except UnsupportedRule as error:
            raise RulesError(str(error)) from None
        self._time = EventTime(lateness_ms, start.watermark_ms)
        self._matcher.leave_uncounted(self.running.leaving)
        types = {event.discriminator: event for event in schema.events}
        self._telling = Telling(
            self.running, partition, also or {}, self.tables, types, self.counters
        )
        self._no_rows = self.decoder.decode(b"", 0).batch
        self._dropped_pages: list[str] = []
        self._adopted: dict[str, bytes] = {}
        self._restore(self._known_rules, pages or {})
        self._losses = self._matcher.losses
        if self.position >= committed:
            self._take_up_lists()

    # ------------------------------------------------------------------------------------- steps

    def step(self, records: Records, only: Only = _all_of) -> Outcome:
        """Folds the records that follow the last ones in; of their events, what `only` leaves."""
        assert records.first_position == self.position
        if records.tick_ms is not None:
            self.position = records.end_position
            return self.advance(records.tick_ms)
        decoded = self.decoder.decode(records.data, records.first_position)
        batch, ahead = set_aside(decoded.batch, records.ingests)
        decoded = only(replace(decoded, batch=batch))
        oversized = [
            DeadLetterRow(
                line.position,
                f"record of {line.size_bytes} bytes is over the limit of {limits.LINE_BYTES_MAX}",
                line.head,
            )
            for line in records.oversized
        ]
        self.position = records.end_position
        return self.step_decoded(decoded, oversized, ahead)

    def step_decoded(
        self,
        decoded: Decoded,
        oversized: Sequence[DeadLetterRow] = (),
        quarantined: Sequence[DeadLetterRow] = (),
    ) -> Outcome:
        """`step` for records decoded elsewhere (frames, dicts)."""
        dead = [DeadLetterRow(bad.position, bad.reason, bad.raw) for bad in decoded.dead]
        ordered = self._time.push(decoded.batch)
        late = late_rows(ordered)
        counters = self.counters
        counters["received"] += decoded.received + len(oversized)
        counters["dead_lettered"] += len(dead) + len(oversized)
        counters["quarantined"] += len(quarantined)
        counters["ignored"] += decoded.ignored
        counters["processed"] += ordered.accepted
        counters["late"] += len(late)
        if oversized or quarantined:
            dead = sorted([*dead, *oversized, *quarantined], key=lambda row: row.position)
        return replace(self._match(ordered), dead_letters=dead, late=late)

    def finish(self) -> Outcome:
        """The source has ended: pending absences are decided at the end of time."""
        return self._match(self._time.finish())

    def advance(self, watermark_ms: int) -> Outcome:
        """Moves time without an event."""
        return self._match(self._time.advance(watermark_ms))

    def begin_at(self, position: int) -> None:
        """Before the first step of a fold without a past: records before `position` are gone."""
        assert self.position == 0
        self.position = self._resume_position = position

    def replay(self, read: Callable[[int, int], Records | None]) -> Outcome:
        """Takes back the rows that waited at the checkpoint, and folds in what was committed since.

        `read(position, max_records)`.  Gives what that detected when rules are new or have another
        pattern than when it was committed; what is known by its id is among it.
        """
        for records in _records(read, self._resume_position, self.position):
            batch = self.decoder.decode(records.data, records.first_position).batch
            self._time.restore(set_aside(batch, records.ingests)[0])
        self._matcher.resume(self.counters["processed"] - self._time.waiting)
        if self.position >= self._committed:
            return Outcome()
        outcomes = map(self.step, _records(read, self.position, self._committed))
        if self._known_rules == _pattern_versions(self.rules):
            deque(outcomes, maxlen=0)
            found = Outcome()
        else:
            told = [(each.detections, each.resolutions) for each in outcomes]
            found = Outcome(*(list(chain.from_iterable(rows)) for rows in zip(*told, strict=True)))
        self._take_up_lists()
        return found

    def renewed(
        self, pages: Mapping[str, bytes], read: Callable[[int, int], Records | None]
    ) -> Fold:
        """The same fold without the texts of keys that are gone, of which it knows ever more.

        `pages` are all those of its state, and nothing has changed since they were written.
        """
        fold = Fold(
            self.running, self.partition, self.checkpoint(), pages, elsewhere=self._elsewhere
        )
        fold.replay(read)
        return fold

    # ------------------------------------------------------------------------------------ tables

    def load_rows(
        self, name: str, rows: Columns, bad_rows: int, at_ms: int | None = None
    ) -> Applied:
        """Makes these all the rows of a table, for the records from `position` on.

        The first rows a table ever has count for earlier records that still wait, too.  Keys that
        come from them count from the watermark, or from `at_ms`.
        """
        time_ms = self._time.watermark_ms if at_ms is None else at_ms
        applied = self.tables.load(name, rows, bad_rows, self.position, time_ms)
        self._follow(name, time_ms)
        return applied

    def replace_rows(self, name: str, rows: Sequence[object], at_ms: int | None = None) -> Applied:
        """`load_rows` for JSON objects (values, of a list); those that do not fit are left out."""
        found = rows_of_json(self.tables.table(name).declared, rows, self.strings)
        return self.load_rows(name, found.columns, len(found.bad), at_ms)

    def change_rows(
        self, name: str, upserts: Sequence[object] = (), deletes: Sequence[object] = ()
    ) -> Applied:
        """Writes and deletes rows of a table, for the records from `position` on.

        Rows are JSON objects (values, of a list), deletes keys: a value, or an array of the parts.
        Raises RowsError, and changes nothing, when one does not fit or nothing reads the table.
        """
        if name not in self.tables:
            raise RowsError(f"no rule looks into a table or list {name!r}", ())
        table = self.tables.table(name)
        rows = rows_of_json(table.declared, upserts, self.strings)
        keys = keys_of_json(table.declared, deletes, self.strings)
        problems = [f"row {bad.row}: {bad.reason}" for bad in rows.bad]
        problems += [f"key {bad.row}: {bad.reason}" for bad in keys.bad]
        if problems:
            raise RowsError(f"{name}: {len(problems)} rows or keys do not fit", problems)
        first, time_ms = table.size, self._time.watermark_ms
        applied = self.tables.apply(name, rows.columns, keys.columns, self.position, time_ms)
        self._follow(name, time_ms, first)
        return applied

    def _take_up_lists(self) -> None:
        """Of the rule file; where they changed, from this record on."""
        for name, written in self.rules.lists.items():
            if name not in self.tables or written.values is None or name in self._elsewhere:
                continue
            if self.tables.takes_up(name, written.values):
                self.replace_rows(name, written.values)
        for table in self.tables:  # of rules that are new; the others have these keys already
            name = table.declared.name
            if name not in self._elsewhere or self.tables.was_loaded(name):
                self._follow(name, self._time.watermark_ms)

    def _follow(self, name: str, at_ms: int, first: int | None = None) -> None:
        """Lets rules have the keys of a table's rows; before time begins they have none."""
        if self._time.has_begun:
            self._matcher.follow(self.tables.table(name), at_ms, first)
            self._count_losses()

    # ------------------------------------------------------------------------------------- state

    def checkpoint(self, source: str = "") -> Checkpoint:
        waiting = self._time.oldest_waiting_position
        return Checkpoint(
            position=self.position,
            resume_position=self.position if waiting is None else waiting,
            watermark_ms=self._time.watermark_ms,
            rules=_pattern_versions(self.rules),
            counters=self.counters | {capped_of(name): n for name, n in self.capped.items()},
            source=source,
        )

    def changed_pages(self) -> dict[str, bytes]:
        """Pages changed since the last call; b"" for a page that is gone."""
        return all_made(self.freeze())

    def freeze(self) -> dict[str, PageData]:
        """`changed_pages`, of which most bytes are still to be made; no later step changes them."""
        changed: dict[str, PageData] = dict(self._adopted)
        changed |= dict.fromkeys(self._dropped_pages, b"")
        self._adopted, self._dropped_pages = {}, []
        changed.update(self._telling.suppression.changed_pages(self._time.watermark_ms))
        changed.update(self.tables.changed_pages(self._oldest_looked_up()))
        changed.update(self._matcher.freeze())
        return changed

    def adopt(self, pages: Mapping[str, bytes]) -> None:
        """Makes these changes part of the next `changed_pages`, before what has changed since."""
        self._adopted |= pages

    def spans(self) -> Mapping[str, int | None]:
        """For how long (ms) a partial match of each rule in motion may go on; None: for ever."""
        return self._matcher.spans

    def runs(self, rules: Collection[str]) -> int:
        """The partial matches of these rules in motion."""
        return self._matcher.runs(rules)

    @property
    def capped(self) -> Mapping[str, int]:
        """How many partial matches each rule was refused at a limit since its pattern is in force.

        Of rules that were refused none, nothing.
        """
        return self._matcher.capped

    def let_go(self) -> None:
        """Counts what time has passed and nobody has looked at since; changes nothing else."""
        if self._time.has_begun:
            self._matcher.let_go()
            self._count_losses()

    @property
    def watermark_ms(self) -> int:
        return self._time.watermark_ms

    # ------------------------------------------------------------------------------------- parts

    def _oldest_looked_up(self) -> int:
        """No row will be looked up as of a position before this one."""
        waiting = self._time.oldest_waiting_position
        oldest = self.position if waiting is None else waiting
        if any(table.size > table.rows for table in self.tables):
            later = [self._matcher.oldest_looked_up]
            if self._telling.looks_back:
                later.append(self._matcher.oldest_seen)
            oldest = min([oldest, *(position for position in later if position is not None)])
        return oldest

    def _match(self, ordered: Ordered) -> Outcome:
        if ordered.began_ms is not None:
            for table in self.tables:
                self._matcher.follow(table, ordered.began_ms)
        batch = ordered.batch if ordered.batch is not None else self._no_rows
        with no_search_for_cycles():
            found = self._matcher.advance(batch, ordered.watermark_ms, self._telling.tell)
        self._count_losses()
        detections = self._telling.told(found)
        resolutions = self._telling.resolutions(self._matcher.resolutions)
        self.counters["detections"] += len(detections)
        self.counters["resolutions"] += len(resolutions)
        return Outcome(detections, resolutions)

    def _count_losses(self) -> None:
        """Adds what the matcher has lost since the last time."""
        before, self._losses = self._losses, self._matcher.losses
        for name, total in self._losses.items():
            self.counters[name] += total - before[name]

    def _restore(self, known: Mapping[str, str], pages: Mapping[str, bytes]) -> None:
        """Gives saved pages to who owns them; state of rules that changed or went is let go.

        `known` maps rules to the pattern versions the pages belong to.
        """
        now = _pattern_versions(self.rules)
        declared = {rule.name for rule in self.running.every_rule}
        for rule, version in known.items():
            if rule not in now and "~" not in rule:
                how = "paused" if rule in declared else "gone"
                self.notices.append(f"rule {rule} is {how}: its partial matches are dropped")
            elif rule in now and now[rule] != version:
                self.notices.append(f"the pattern of rule {rule} changed: it starts empty")
        partial: dict[str, bytes] = {}
        rows: dict[str, bytes] = {}
        suppression: dict[str, bytes] = {}
        for name, data in pages.items():
            rule = rule_of_page(name)
            if name == DEPLOYMENT_PAGE:
                continue
            if name.startswith(TABLE_PAGES):
                rows[name] = data
            elif name.startswith(PAGE_PREFIX) and rule in declared:  # whatever becomes of it
                suppression[name] = data
            elif not name.startswith((PAGE_PREFIX, RULE_PREFIX)) or (
                rule in now and known.get(rule) == now[rule]
            ):
                partial[name] = data
            else:
                self._dropped_pages.append(name)
        try:
            self._dropped_pages += self._telling.suppression.restore(suppression)
            dropped, notices = self.tables.restore(rows)
            self._dropped_pages += [*dropped, *self._matcher.restore(partial)]
            self.notices += notices
        except _UNREADABLE as error:
            raise StoreError(
                f"the stored state cannot be read: {error}. Another version of cep has written it: "
                "go on with that one, or have the state made anew from the log: cep store rebuild"
            ) from error


def _pattern_versions(rules: RuleSet) -> dict[str, str]:
    return {rule.name: rule.pattern_version for rule in rules.rules}


def _records(
    read: Callable[[int, int], Records | None], position: int, end: int
) -> Iterator[Records]:
    """The records of a log from `position` to `end`; raises SourceError when it ends before."""
    while position < end:
        records = read(position, min(end - position, limits.BATCH_RECORDS_MAX))
        if records is None or records.count == 0:
            raise SourceError(f"the log ends at record {position}; the store was at {end}")
        yield records
        position = records.end_position


def rule_of_page(name: str) -> str:
    """The rule a page belongs to: pages are named `rule/NAME` and `suppress/NAME/…`.

    Other pages hold what rules share; the matcher knows which they are.
    """
    return name.split("/")[1] if "/" in name else ""
