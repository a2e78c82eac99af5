"""From a batch to the events that may matter to one rule: rows of ints, key by key.

    selection = for each key, its events in order, each with a mask of the steps it may fit

Keys are independent of one another, so the kernel takes all events of a key together: its runs stay
in the cache.  The order by key is found once per batch and column, for all rules.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.batch import NULL, Batch
from matcher.buffers import (
    EVENT_KEY,
    EVENT_MASK,
    EVENT_POSITION,
    EVENT_TS,
    EVENT_VALUES,
)
from matcher.compiled import kernel
from matcher.keys import KeyCodec
from matcher.ordering import order_by
from matcher.plan import Entry
from matcher.schema import Schema

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Selected(NamedTuple):
    """Rows as laid out in `matcher.buffers`, and how many events had no key."""

    events: Ints | None
    null_keys: int


class BatchKeys:
    """The order of a batch's rows by each key column, found on first use.

    `selected` holds what was selected of the batch, for rules that select alike.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.selected: dict[tuple[object, ...], Selected] = {}
        self._orders: dict[int, Ints] = {}

    def order(self, column: int) -> Ints:
        """The rows in order of (value of the column, row)."""
        if column not in self._orders:
            self._orders[column] = order_by(np.asarray(self.batch.columns[column], np.int64))
        return self._orders[column]


class Selecting(Protocol):
    """What a plan says of the events that may matter."""

    @property
    def entries(self) -> tuple[Entry, ...]: ...

    @property
    def columns(self) -> tuple[int, ...]: ...


class Selection:
    """What one rule selects; entries that read the key from the same columns go together.

    Rules that select alike share the rows, so nobody writes to them.  Keys of several parts have
    codes of the rule's own and are not shared.
    """

    def __init__(self, plan: Selecting, schema: Schema, keys: KeyCodec) -> None:
        self._plan = plan
        self._keys = keys
        self._event_index = schema.event_index
        self._groups: dict[tuple[int, ...], list[Entry]] = {}
        for entry in plan.entries:
            columns = tuple(schema.column(entry.event, path) for path in entry.key)
            self._groups.setdefault(columns, []).append(entry)
        alike = all(len(columns) <= 1 for columns in self._groups)
        self._alike = (plan.entries, plan.columns) if alike else None
        self.null_keys = 0

    def events(self, keyed: BatchKeys, atoms: BatchAtoms) -> Ints | None:
        """Rows as laid out in `matcher.buffers`; None when no event of the batch may matter."""
        found = keyed.selected.get(self._alike) if self._alike is not None else None
        if found is None:
            found = self._select(keyed, atoms)
            if self._alike is not None:
                keyed.selected[self._alike] = found
        self.null_keys += found.null_keys
        return found.events

    def _select(self, keyed: BatchKeys, atoms: BatchAtoms) -> Selected:
        if len(self._groups) == 1:
            ((columns, entries),) = self._groups.items()
            if len(columns) == 1:
                return self._by_column(columns[0], entries, keyed, atoms)
        null_keys = 0
        parts = []
        for columns, entries in self._groups.items():
            rows, keys, masks = self._group(columns, entries, keyed, atoms)
            known = keys != NULL
            if not known.all():
                null_keys += int(len(keys) - known.sum())
                rows, keys, masks = rows[known], keys[known], masks[known]
            if len(rows):
                parts.append((rows, keys, masks))
        if not parts:
            return Selected(None, null_keys)
        rows, keys, masks = parts[0] if len(parts) == 1 else merged(parts)
        batch = keyed.batch
        events = self._room(len(rows))
        fill(events, rows, keys, masks, batch.ts, batch.position)
        return self._with_values(events, rows, atoms, null_keys)

    def _by_column(
        self, column: int, entries: list[Entry], keyed: BatchKeys, atoms: BatchAtoms
    ) -> Selected:
        """All entries have their key in one column: its order is that of the rows, in one go."""
        batch = keyed.batch
        relevant, masks = self._fitting(entries, batch, atoms)
        count = int(np.count_nonzero(relevant))
        if not count:
            return Selected(None, 0)
        keys = np.asarray(batch.columns[column], np.int64)
        rows = np.empty(len(batch), np.int64)
        known = _keyed_in_order(keyed.order(column), relevant, keys, rows)
        if not known:
            return Selected(None, count)
        rows, events = rows[:known], self._room(known)
        _fill_rows(events, rows, keys, masks, batch.ts, batch.position)
        return self._with_values(events, rows, atoms, count - known)

    def _room(self, count: int) -> Ints:
        return np.empty((count, EVENT_VALUES + len(self._plan.columns)), np.int64)

    def _with_values(self, events: Ints, rows: Ints, atoms: BatchAtoms, null_keys: int) -> Selected:
        """The values of columns complete the events of these rows."""
        for place, column in enumerate(self._plan.columns):
            fill_column(events, EVENT_VALUES + place, rows, atoms.values(column).view(np.int64))
        return Selected(events, null_keys)

    def _fitting(self, entries: list[Entry], batch: Batch, atoms: BatchAtoms) -> tuple[Bools, Ints]:
        """(which rows may matter, the mask of each)."""
        masks = np.zeros(len(batch), np.int64)
        relevant = np.zeros(len(batch), np.bool_)
        for entry in entries:
            relevant |= self._entry(entry, batch, atoms, masks)
        return relevant, masks

    def _group(
        self, columns: tuple[int, ...], entries: list[Entry], keyed: BatchKeys, atoms: BatchAtoms
    ) -> tuple[Ints, Ints, Ints]:
        relevant, masks = self._fitting(entries, keyed.batch, atoms)
        rows = np.flatnonzero(relevant)
        if len(columns) == 1 and len(rows):
            put_in_order(keyed.order(columns[0]), relevant, rows)
        keys = self._keys.encode([keyed.batch.columns[column] for column in columns], rows)
        return rows, keys, masks[rows]

    def _entry(self, entry: Entry, batch: Batch, atoms: BatchAtoms, masks: Ints) -> Bools:
        """The rows that may matter; the bit of each step they may fit is set in `masks`."""
        relevant, fits = entry_fits(entry, self._event_index[entry.event], batch, atoms)
        for step, mask in fits:
            _mark(masks, mask, 1 << step)
        if entry.marks:
            _mark(masks, relevant, entry.marks)
        return relevant


def entry_fits(
    entry: Entry, event: int, batch: Batch, atoms: BatchAtoms
) -> tuple[Bools, list[tuple[int, Bools]]]:
    """(the rows that may matter, by step those of them that may fit it)."""
    fits = [
        (step, reduce(np.logical_and, map(atoms.mask, conditions)))
        for step, conditions in entry.steps
    ]
    if entry.always:
        relevant: Bools = batch.event_type == event
    else:
        relevant = reduce(np.logical_or, (mask for _, mask in fits))
    if entry.visible:
        sets = (reduce(np.logical_and, map(atoms.mask, ids)) for ids in entry.visible)
        relevant = relevant & reduce(np.logical_or, sets)
        fits = [(step, mask & relevant) for step, mask in fits]
    return relevant, fits


@kernel
def put_in_order(order: Ints, relevant: Bools, rows: Ints) -> None:
    """Write the relevant rows, in `order`, into `rows`."""
    size = 0
    for row in order:
        if relevant[row]:
            rows[size] = row
            size += 1


@kernel
def fill(events: Ints, rows: Ints, keys: Ints, masks: Ints, ts: Ints, position: Ints) -> None:
    for place in range(rows.shape[0]):
        row = rows[place]
        events[place, EVENT_TS] = ts[row]
        events[place, EVENT_POSITION] = position[row]
        events[place, EVENT_KEY] = keys[place]
        events[place, EVENT_MASK] = masks[place]


@kernel
def _mark(masks: Ints, where: Bools, bits: int) -> None:
    for row in range(masks.shape[0]):
        masks[row] |= np.int64(where[row]) * bits


@kernel
def _keyed_in_order(order: Ints, relevant: Bools, keys: Ints, rows: Ints) -> int:
    """Write the relevant rows with a key, in `order`, into `rows`; how many there are.

    `rows` is as long as `order`.  Without branches, as there is no telling what is relevant.
    """
    size = 0
    for row in order:
        rows[size] = row
        size += relevant[row] & (keys[row] != NULL)
    return size


@kernel
def _fill_rows(events: Ints, rows: Ints, keys: Ints, masks: Ints, ts: Ints, position: Ints) -> None:
    """As `fill`, of all rows' keys and masks."""
    for place in range(rows.shape[0]):
        row = rows[place]
        events[place, EVENT_TS] = ts[row]
        events[place, EVENT_POSITION] = position[row]
        events[place, EVENT_KEY] = keys[row]
        events[place, EVENT_MASK] = masks[row]


@kernel
def fill_column(events: Ints, column: int, rows: Ints, values: Ints) -> None:
    for place in range(rows.shape[0]):
        events[place, column] = values[rows[place]]


def merged(parts: list[tuple[Ints, Ints, Ints]]) -> tuple[Ints, Ints, Ints]:
    """Parts by key and row; one event with one key is one entry, whatever steps it may fit."""
    rows, keys, masks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = order_by(rows)
    order = order[order_by(keys[order])]
    rows, keys, masks = rows[order], keys[order], masks[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows[1:] != rows[:-1]) | (keys[1:] != keys[:-1])
    return rows[first], keys[first], np.bitwise_or.reduceat(masks, np.flatnonzero(first))
