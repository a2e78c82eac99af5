"""Derived fields: facts about a key from earlier events, as columns of a batch.

    compute(batch) = for each event that reads a field: its value as of the event, itself excluded

Events are taken in order, key by key, by the kernel of windows: an event reads before it enters.
A field whose definition is read by several event types, or under several names, has one state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dsl.model import Aggregate, Derived, Expr, Kind
from dsl.version import derived_version
from matcher.atoms import Atoms, BatchAtoms
from matcher.batch import NULL, Batch, Column
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.expressions import conjuncts
from matcher.keys import KeyCodec
from matcher.layout import is_float
from matcher.measures import Measures
from matcher.ordering import order_by
from matcher.page_data import PageData
from matcher.saved import NOTHING, Saved
from matcher.schema import Schema
from matcher.selection import merged
from matcher.storage import nulls
from matcher.strings import Strings
from matcher.window_layout import ENTERS, OPTION_ROW, READ, READS, ROW_POSITION
from matcher.window_pages import WindowPages
from matcher.window_plan import column_of, window_options
from matcher.window_state import WindowState

Ints = NDArray[np.int64]

KIND = "facts"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Events of `event`, keyed by the derived columns `key`, read the field into `columns`."""

    event: int
    key: tuple[int, ...]
    columns: tuple[int, ...]


class DerivedFields:
    """All derived fields of a schema, and their state."""

    def __init__(self, schema: Schema, atoms: Atoms, strings: Strings) -> None:
        self._decoded = len(schema.columns)
        self._count = len(schema.derived)
        readers: dict[Derived, dict[tuple[str, tuple[Expr, ...]], list[int]]] = {}
        for (event, path), ref in schema.derived.items():
            assert ref.derived is not None
            of_state = readers.setdefault(replace(ref.derived, reads=()), {})
            columns = of_state.setdefault((event, ref.derived.reads), [])
            columns.append(schema.column(event, path))
        self.facts = [
            _Fact(derived, of_state, schema, atoms, strings)
            for derived, of_state in readers.items()
        ]

    def extended(self, batch: Batch) -> Batch:
        """`batch` with room for the derived columns."""
        if not self._count:
            return batch
        empty = np.empty(0, np.int64)
        columns = [*batch.columns[: self._decoded], *([empty] * self._count)]
        return replace(batch, columns=columns)

    def compute(self, batch: Batch, atoms: BatchAtoms, watermark_ms: int) -> None:
        """Fill the columns of an extended batch; `atoms` are its own."""
        for fact in self.facts:
            fact.compute(batch, atoms, watermark_ms)

    def snapshot(self, watermark_ms: int) -> dict[str, PageData]:
        """Pages that changed since the last snapshot, by name; b"" when a page is gone."""
        pages: dict[str, PageData] = {}
        for fact in self.facts:
            pages |= fact.pages.snapshot(watermark_ms)
        return pages

    def restore(self, own: Mapping[str, Saved], others: Sequence[Mapping[str, Saved]]) -> None:
        """Take in what is saved, by owner; what only `others` have will be in the next snapshot."""
        for fact in self.facts:
            for owners in (own, *others):
                saved = owners.get(fact.owner, NOTHING)
                if saved.head:
                    fact.pages.restore(saved, adopted=owners is not own)
                    break

    @property
    def owners(self) -> Iterable[str]:
        return [fact.owner for fact in self.facts]


class _Fact:
    def __init__(
        self,
        derived: Derived,
        readers: Mapping[tuple[str, tuple[Expr, ...]], list[int]],
        schema: Schema,
        atoms: Atoms,
        strings: Strings,
    ) -> None:
        self._derived = derived
        self._version = derived_version(derived, {event.name: event for event in schema.events})
        self.owner = f"{KIND}/{self._version}"
        self._keys = KeyCodec([part.type for part in derived.key], strings)
        wanted = [] if derived.aggregate is None else [derived.aggregate]
        source = derived.event
        self._measures = Measures(wanted, lambda path: schema.type_of(source, path), strings)
        self._values = [column_of(atoms, schema, source, value) for value in self._measures.values]
        parts: list[Expr | None] = [*conjuncts(derived.condition)]
        self._enters = [atoms.atom(source, part) for part in parts or [None]]
        self._key = tuple(atoms.derived(source, part) for part in derived.key)
        self._readers = [
            _Reader(
                schema.event_index[event],
                tuple(atoms.derived(event, part) for part in reads),
                tuple(columns),
            )
            for (event, reads), columns in readers.items()
        ]
        self._source = schema.event_index[source], self._key
        keyed = {self._source, *((reader.event, reader.key) for reader in self._readers)}
        self._one_key_each = len(keyed) == len({event for event, _ in keyed})
        options = window_options(derived.shape, READ)
        options[OPTION_ROW] = EVENT_VALUES + len(self._values)
        measures = self._measures
        self._state = WindowState(len(self._values), measures.ops, measures.walked, options)
        self.pages = WindowPages(
            self.owner, self._version, self._state, measures.types, self._keys, strings
        )

    def compute(self, batch: Batch, atoms: BatchAtoms, watermark_ms: int) -> None:
        parts = []
        keyed = {}
        for reader in self._readers:
            of_type = np.flatnonzero(batch.event_type == reader.event)
            who = reader.event, reader.key
            rows, keys = keyed[who] = self._keyed(reader.key, of_type, atoms)
            parts.append((rows, keys, READS))
        parts.append((*self._entering_rows(atoms, keyed.get(self._source)), ENTERS))
        found = np.empty((0, 0), np.int64)
        if any(len(rows) for rows, _, _ in parts):
            found = self._state.take(self._events(batch, atoms, *self._in_order(batch, parts)))
        for reader in self._readers:
            column = self._column(batch, keyed[reader.event, reader.key][0], found, reader)
            for place in reader.columns:
                batch.columns[place] = column
        self._state.settle(watermark_ms)

    def _entering_rows(
        self, atoms: BatchAtoms, known: tuple[Ints, Ints] | None
    ) -> tuple[Ints, Ints]:
        """The rows that enter windows, and their keys; `known` are those of all rows, if at hand.

        Keys of several parts are worth looking up only once.
        """
        entering = atoms.mask(self._enters[0])
        for atom in self._enters[1:]:
            entering = entering & atoms.mask(atom)
        if known is None:
            return self._keyed(self._key, np.flatnonzero(entering), atoms)
        rows, keys = known
        enters = entering[rows]
        return rows[enters], keys[enters]

    def _in_order(
        self, batch: Batch, parts: Sequence[tuple[Ints, Ints, int]]
    ) -> tuple[Ints, Ints, Ints]:
        """Parts (rows, keys, mark) as rows, keys and masks in the order of (key, row)."""
        if not self._one_key_each:
            return merged([(rows, keys, np.full(len(rows), mark)) for rows, keys, mark in parts])
        masks, of_row = np.zeros(len(batch), np.int64), np.empty(len(batch), np.int64)
        for rows, keys, mark in parts:
            masks[rows] |= mark
            of_row[rows] = keys
        known = np.flatnonzero(masks)
        ordered = known[order_by(of_row[known])]
        return ordered, of_row[ordered], masks[ordered]

    def _keyed(self, key: tuple[int, ...], rows: Ints, atoms: BatchAtoms) -> tuple[Ints, Ints]:
        """The rows whose key is known, and their keys."""
        keys = self._keys.encode([atoms.values(part) for part in key], rows)
        known = keys != NULL
        return rows[known], keys[known]

    def _events(self, batch: Batch, atoms: BatchAtoms, rows: Ints, keys: Ints, masks: Ints) -> Ints:
        events = np.empty((len(rows), EVENT_VALUES + len(self._values) + 1), np.int64)
        events[:, EVENT_TS], events[:, EVENT_POSITION] = batch.ts[rows], batch.position[rows]
        events[:, EVENT_KEY], events[:, EVENT_MASK] = keys, masks
        for place, (column, type_) in enumerate(
            zip(self._values, self._measures.types, strict=True)
        ):
            values = atoms.values(column)[rows]
            if is_float(type_):
                values = (values + 0.0).view(np.int64)  # one zero
            events[:, EVENT_VALUES + place] = values
        events[:, -1] = rows
        return events

    def _column(self, batch: Batch, rows: Ints, found: Ints, reader: _Reader) -> Column:
        """The value as of each of `rows`; the rest of the batch has nulls."""
        aggregate = self._derived.aggregate
        if aggregate is None:
            column = nulls(Kind.BOOL, len(batch))
            column[rows] = 1
        else:
            column = nulls(aggregate.type.kind, len(batch))
            if aggregate.function in ("count", "distinct"):
                column[rows] = 0
        if len(found):
            read = found[batch.event_type[found[:, ROW_POSITION]] == reader.event]
            column[read[:, ROW_POSITION]] = self._values_of(aggregate, read)
        return column

    def _values_of(self, aggregate: Aggregate | None, rows: Ints) -> Column:
        if aggregate is None:
            return np.zeros(len(rows), np.int64)
        return self._measures.column(aggregate, rows, self._state.store.memory)
