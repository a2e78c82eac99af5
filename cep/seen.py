"""The events of a log as one rule sees them: read plainly, in order, with their facts.

For the reference matcher, when somebody asks why; the engine itself never reads events this way.
Late, bad and quarantined events are left out, as the engine does; rows of tables are those of the
fold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from cep.fold import Fold
from cep.limits import BEGINNING_OF_TIME_MS, END_OF_TIME_MS
from cep.render import Rendered
from dsl.model import Rule
from matcher.lineage import seen_as_of
from matcher.lookup.history import Rows, Scalars
from matcher.measures import scalar
from matcher.record import BadEvent, Record, read_event
from matcher.reference import ReferenceEvent
from matcher.reference_policy import KeyRow
from matcher.reference_windows import with_derived
from matcher.schema import derived_read

Order: TypeAlias = tuple[int, int, int, int]
"""Event time; phase, 0 unless time itself decided; record; number behind the record."""


@dataclass(frozen=True, slots=True)
class _Read:
    order: Order
    event: str
    fields: Record
    as_of: int

    @property
    def place(self) -> tuple[int, int]:
        """Where it is among the records of its time."""
        at_ms, phase, record, _ = self.order
        return at_ms, record if phase == 0 else phase * END_OF_TIME_MS


class SeenEvents:
    """What `rule` has been shown so far, of the records that `fold` takes.

    `wanted` says of an event's type and fields whether it is kept; of those the last `events_max`
    are, and `left_out` counts the others.  With `until_ms`, time stands there: what happened later
    is not kept, though it decides what was late.
    """

    def __init__(
        self,
        fold: Fold,
        rule: Rule,
        wanted: Callable[[str, Record], bool] = lambda event, fields: True,
        events_max: int | None = None,
        until_ms: int = END_OF_TIME_MS,
    ) -> None:
        self._rule = rule
        self._tables = fold.tables
        self._strings = fold.strings
        self._types = {event.discriminator: event for event in fold.decoder.schema.events}
        self._lateness_ms = max((e.lateness_ms for e in self._types.values()), default=0)
        self._wanted = wanted
        self._events_max = events_max
        self._until_ms = until_ms
        self._read: list[_Read] = []
        self._made = 0
        self._keys: dict[tuple[object, ...], None] = {}
        self._rows: list[KeyRow] = []
        self.watermark_ms = BEGINNING_OF_TIME_MS
        self.newest_ms = BEGINNING_OF_TIME_MS
        self.left_out = 0

    def take(self, position: int, raw: bytes, latest_ms: int = END_OF_TIME_MS) -> None:
        """The record at `position` of the log; an event later than `latest_ms` is quarantined."""
        try:
            found = read_event(self._types, raw)
        except BadEvent:
            return
        if found is None:
            return
        event, ts, fields = found
        if ts > latest_ms:
            return
        if self.watermark_ms == BEGINNING_OF_TIME_MS:
            self.follow(ts - self._lateness_ms, position)  # the rows that there are already
        late = ts < self.watermark_ms
        self.newest_ms = max(self.newest_ms, min(ts, self._until_ms))
        self.pass_time(ts - self._lateness_ms)
        if not late:
            self._keep(_Read((ts, 0, position, 0), event.name, fields, position))

    def pass_time(self, watermark_ms: int) -> None:
        """Events before `watermark_ms` are late from here on."""
        self.watermark_ms = max(self.watermark_ms, watermark_ms)

    def made(self, found: Rendered) -> None:
        """The events that a rule emitted for a detection."""
        match = found.match
        for event in found.derived:
            self._made += 1
            order = (match.at_ms, match.phase, max(match.by, 0), self._made)
            self._keep(_Read(order, event.event, event.fields, seen_as_of(match)))

    def follow(self, at_ms: int, position: int) -> None:
        """The rows that the rule takes its keys from have changed, before that record."""
        if self._rule.key_table is None:
            return
        table = self._tables.table(self._rule.key_table)
        columns = [
            [scalar(part.type, stored, self._strings) for stored in column.tolist()]
            for part, column in zip(self._rule.keys, table.keys_now(), strict=True)
        ]
        now = dict.fromkeys(zip(*columns, strict=True))
        came = [key for key in now if key not in self._keys]
        went = [key for key in self._keys if key not in now]
        self._rows += [KeyRow(at_ms, position, key, alive=False) for key in went]
        self._rows += [KeyRow(at_ms, position, key, alive=True) for key in came]
        self._keys = now

    def rows(self) -> list[KeyRow]:
        """Rows that came and went, at their places among the events of `in_order`."""
        places = [each.place for each in self._in_order()]
        return [replace(row, position=bisect_left(places, row.place)) for row in self._rows]

    def in_order(self) -> list[ReferenceEvent]:
        """In canonical order, with their derived fields; positions number them from 0."""
        read = self._in_order()
        rows = _RowsAsOf(self._tables, [each.as_of for each in read])
        listed = [
            ReferenceEvent(each.order[0], number, each.event, each.fields, rows)
            for number, each in enumerate(read)
        ]
        return with_derived(listed, derived_read(self._rule))

    def _in_order(self) -> list[_Read]:
        if self._events_max is not None:
            self._keep_last(self._events_max)
        return sorted(self._read, key=lambda each: each.order)

    def _keep(self, read: _Read) -> None:
        if read.order[0] > self._until_ms or not self._wanted(read.event, read.fields):
            return
        self._read.append(read)
        most = self._events_max
        if most is not None and len(self._read) > 2 * most:
            self._keep_last(most)

    def _keep_last(self, most: int) -> None:
        self.left_out += max(0, len(self._read) - most)
        self._read = sorted(self._read, key=lambda each: each.order)[-most:]


class _RowsAsOf:
    """Rows by the number of the event that asks, in place of the log position it asks as of."""

    def __init__(self, rows: Rows, as_of: list[int]) -> None:
        self._rows = rows
        self._as_of = as_of

    def value(self, table: str, field: str, key: Scalars, position: int) -> object:
        return self._rows.value(table, field, key, self._as_of[position])

    def holds(self, table: str, key: Scalars, position: int) -> bool:
        return self._rows.holds(table, key, self._as_of[position])
