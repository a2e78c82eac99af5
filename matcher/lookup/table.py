"""One table with its history: versions of rows, in the order they were written.

A version counts from the log position `since` until a later one of the same key does; one that is
not `alive` says that the row was deleted.  Versions are rows of columns in storage form, so a
million rows of two texts take about 40 bytes each, and a look-up is a few array operations for a
whole batch.  Versions that nobody can ask for any more are let go of by `compact`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsl.model import Kind
from dsl.model import Table as Declaration
from matcher.batch import NULL, Column, storage_dtype
from matcher.layout import is_text
from matcher.lookup.index import Ints, KeyIndex, index_of
from matcher.lookup.networks import NetworkIndex
from matcher.storage import nulls, to_storage
from matcher.strings import Strings

Columns: TypeAlias = Sequence[Column]
"""One column for each field of the table, in the order of the declaration; keys are not null."""

SPARE_MIN = 1024
"""So many versions beside the rows there are now are not worth a look."""

FROM_THE_BEGINNING = -1
"""Counts for every event there ever was."""


class Applied(NamedTuple):
    """How many rows a change inserted, changed and deleted."""

    inserted: int
    updated: int
    deleted: int


class Change(NamedTuple):
    """The versions from `first` on were written at this position and event time."""

    first: int
    position: int
    at_ms: int


class Table:
    """Not thread safe.  Positions of changes never go back."""

    def __init__(self, declared: Declaration, strings: Strings) -> None:
        self.declared = declared
        self._strings = strings
        names = [field.name for field in declared.fields]
        self._place = {name: place for place, name in enumerate(names)}
        self._key_places = tuple(self._place[name] for name in declared.key)
        self._key_types = tuple(declared.fields[place].type for place in self._key_places)
        self._spare_max = SPARE_MIN
        self._clear()

    def _clear(self) -> None:
        self.size = 0  # versions
        self.rows = 0  # rows there are now
        self.columns: list[Column] = [nulls(f.type.kind, 0) for f in self.declared.fields]
        self.since = np.empty(0, np.int64)
        self.alive = np.empty(0, np.bool_)
        self.changes: list[Change] = []
        self._prior = np.empty(0, np.int32)
        self._newest = np.empty(0, np.int32)  # version by id of the key
        self._holding = np.empty(0, np.int64)  # of networks: version now by code of the address
        self._index = self._new_index()

    # ------------------------------------------------------------------------------- look-ups

    def find(self, keys: Columns, positions: Ints) -> Ints:
        """The version of the row with each key as of each position; -1 where there is none."""
        if not isinstance(self._index, NetworkIndex):
            return self._as_of(self._index.ids(keys), positions)
        addresses = np.asarray(keys[0], np.int64)
        now = positions >= self.changed_at
        found = np.full(len(addresses), -1, np.int64)
        found[now] = self._held_now(addresses[now])
        if not now.all():
            found[~now] = self._held(addresses[~now], positions[~now])
        return found

    def values(self, field: str, versions: Ints) -> Column:
        """The field of each version; null for -1."""
        column = self.columns[self._place[field]]
        if not self.size:
            return nulls(self.declared.field(field).type.kind, len(versions))
        found = column.take(versions, mode="clip")
        found[versions < 0] = np.nan if column.dtype == np.float64 else NULL
        return found

    def find_one(self, key: Sequence[object], position: int) -> int:
        """`find` for one key in scalar form."""
        if any(part is None for part in key):
            return -1
        columns = [np.array([to_storage(part, self._strings)], np.int64) for part in key]
        return int(self.find(columns, np.array([position], np.int64))[0])

    def scalar(self, field: str, version: int) -> object:
        """The field of one version in scalar form."""
        place = self._place[field]
        return self._scalar(place, self.columns[place][version])

    def keys_now(self) -> list[Column]:
        """The keys of the rows there are, a column for each part."""
        versions = self._versions_now()
        return [self.columns[place][versions] for place in self._key_places]

    def written_now(self) -> Ints:
        """The version of each row there is, in the order they were written."""
        return np.sort(self._versions_now())

    def keys_written(self, first: int) -> tuple[list[Column], NDArray[np.bool_]]:
        """The keys of the versions from `first` on, and whether there is a row since."""
        rows = slice(first, self.size)
        return [self.columns[place][rows] for place in self._key_places], self.alive[rows]

    # ------------------------------------------------------------------------------- changes

    def apply(self, upserts: Columns, deletes: Columns, position: int, at_ms: int) -> Applied:
        """Writes rows, then deletes keys; of one key given twice the last row counts.

        `deletes` has a column for each part of the key.
        """
        upserts = self._last_of_each(upserts)
        given = self._new_index()
        kept = ~np.isin(given.add(self._key(upserts)), given.ids(deletes))
        upserts = [column[kept] for column in upserts]
        deleted = self._index.ids(deletes)
        gone = np.unique(deleted[deleted >= 0])
        return self._write(upserts, self._index.ids(self._key(upserts)), gone, position, at_ms)

    def replace(self, rows: Columns, position: int, at_ms: int) -> Applied:
        """Makes `rows` all the rows there are; what is the same is not written again."""
        rows = self._last_of_each(rows)
        ids = self._index.ids(self._key(rows))
        stays = np.zeros(self._index.size, np.bool_)
        stays[ids[ids >= 0]] = True
        return self._write(rows, ids, np.flatnonzero(~stays), position, at_ms)

    def _write(self, rows: Columns, ids: Ints, gone: Ints, position: int, at_ms: int) -> Applied:
        """Appends versions for the rows that differ, whose key has this id, and for the gone."""
        now = self._now(ids)
        differs = now < 0
        for column, new in zip(self.columns, rows, strict=True):
            if self.size:
                old = column.take(now, mode="clip")
                differs |= ~((old == new) | ((old != old) & (new != new)))
        gone = gone[self._now(gone) >= 0]
        written = [column[differs] for column in rows]
        inserted, updated = int((now < 0).sum()), int((differs & (now >= 0)).sum())
        removed: list[Column] = [column[self._newest[gone]] for column in self.columns]
        pairs: Iterable[tuple[Any, Any]] = zip(written, removed, strict=True)
        together: list[Column] = [np.concatenate(pair) for pair in pairs]
        if len(together[0]):
            alive = np.zeros(len(together[0]), np.bool_)
            alive[: inserted + updated] = True
            self.append(together, alive, [Change(0, position, at_ms)])
        return Applied(inserted, updated, len(gone))

    def append(self, rows: Columns, alive: NDArray[np.bool_], changes: Sequence[Change]) -> None:
        """Appends versions; `changes` count their `first` from the first of these rows."""
        first, count = self.size, len(alive)
        self._reserve(first + count)
        for column, new in zip(self.columns, rows, strict=True):
            column[first : first + count] = new
        self.alive[first : first + count] = alive
        ends = [*(change.first for change in changes[1:]), count]
        for change, end in zip(changes, ends, strict=True):
            self.changes.append(change._replace(first=first + change.first))
            self.since[first + change.first : first + end] = change.position
        ids = self._index.add(self._key(rows))
        if self._index.size > len(self._newest):
            more = max(self._index.size, len(self._newest) * 3 // 2) - len(self._newest)
            self._newest = np.append(self._newest, np.full(more, -1, np.int32))
        touched = np.zeros(self._index.size, np.bool_)
        touched[ids] = True
        keys = np.flatnonzero(touched)
        self.rows -= int((self._now(keys) >= 0).sum())
        order = np.argsort(ids, kind="stable")
        again = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        prior = self._newest[ids]
        prior[order[again + 1]] = first + order[again]
        self._prior[first : first + count] = prior
        self._newest[ids] = np.arange(first, first + count)  # of equal ids the last one stays
        self.size += count
        self.rows += int((self._now(keys) >= 0).sum())
        self._holding = np.empty(0, np.int64)

    def compact(self, horizon: int) -> bool:
        """Lets go of versions that no position from `horizon` on can see, when there may be many.

        Versions are numbered anew when it returns True.
        """
        if self.size - self.rows <= self._spare_max:
            return False
        seen = self._visible_from(horizon)
        many = seen.sum() <= self.size - self.size // 4
        if many:
            self._rebuild(seen)
        self._spare_max = SPARE_MIN + self.rows // 2 + (self.size - self.rows) * 5 // 4
        return bool(many)

    def _rebuild(self, seen: NDArray[np.bool_]) -> None:
        """Keeps the versions marked in `seen`."""
        kept = np.flatnonzero(seen)
        columns: list[Column] = [column[kept] for column in self.columns]
        alive = self.alive[kept]
        changes = []
        for change, end in self._spans():
            first, last = np.searchsorted(kept, [change.first, end]).tolist()
            if last > first:
                changes.append(change._replace(first=first))
        self._clear()
        if len(kept):
            self.append(columns, alive, changes)

    def _visible_from(self, horizon: int) -> NDArray[np.bool_]:
        """The versions that some position from `horizon` on sees, deletions of nothing aside."""
        prior, since = self._prior[: self.size], self.since[: self.size]
        seen = np.ones(self.size, np.bool_)
        old = since <= horizon
        overwritten = prior[old]
        seen[overwritten[overwritten >= 0]] = False
        # what is overwritten, however far back, was overwritten by something old as well
        seen[old & ~self.alive[: self.size]] = False
        return seen

    # ------------------------------------------------------------------------------- parts

    def _as_of(self, ids: Ints, positions: Ints | np.int64) -> Ints:
        if not self.size:
            return np.full(len(ids), -1, np.int64)
        versions = self._newest.take(ids, mode="clip").astype(np.int64)
        versions[ids < 0] = -1
        while (
            later := (versions >= 0) & (self.since.take(versions, mode="clip") > positions)
        ).any():
            versions[later] = self._prior[versions[later]]
        versions[(versions >= 0) & ~self.alive.take(versions, mode="clip")] = -1
        return versions

    def _now(self, ids: Ints) -> Ints:
        """The version there is now of the row with each id; -1 where there is none."""
        return self._as_of(ids, np.int64(np.iinfo(np.int64).max))

    def _versions_now(self) -> Ints:
        """The version of each row there is, by the id of its key."""
        versions = self._now(np.arange(self._index.size))
        return versions[versions >= 0]

    def _held(self, addresses: Ints, positions: Ints) -> Ints:
        """Of the longest network that holds each address as of each position."""
        assert isinstance(self._index, NetworkIndex)
        found = np.full(len(addresses), -1, np.int64)
        for ids in self._index.holding(addresses):
            open_ = np.flatnonzero((found < 0) & (ids >= 0))
            found[open_] = self._as_of(ids[open_], positions[open_])
        return found

    def _held_now(self, addresses: Ints) -> Ints:
        """`_held` as the table is now; each address is looked at once until it changes."""
        unknown = -2
        top = int(addresses.max(initial=-1)) + 1
        if top > len(self._holding):
            more = max(top, 2 * len(self._holding)) - len(self._holding)
            self._holding = np.append(self._holding, np.full(more, unknown, np.int64))
        present = addresses[addresses >= 0]
        new = np.unique(present[self._holding[present] == unknown])
        if len(new):
            self._holding[new] = self._held(new, np.full(len(new), self.changed_at))
        if not len(self._holding):
            return np.full(len(addresses), -1, np.int64)
        return np.where(addresses < 0, -1, self._holding.take(addresses, mode="clip"))

    @property
    def changed_at(self) -> int:
        """A position as of which the rows are those there are now."""
        return self.changes[-1].position if self.changes else FROM_THE_BEGINNING

    def _last_of_each(self, rows: Columns) -> list[Column]:
        """Without rows whose key comes again further down."""
        ids = self._new_index().add(self._key(rows))
        _, last = np.unique(ids[::-1], return_index=True)
        if len(last) == len(ids):
            return list(rows)
        kept = np.sort(len(ids) - 1 - last)
        return [column[kept] for column in rows]

    def _key(self, rows: Columns) -> list[Column]:
        return [rows[place] for place in self._key_places]

    def _scalar(self, place: int, stored: int | float) -> object:
        type_ = self.declared.fields[place].type
        if type_.kind is Kind.FLOAT:
            return None if stored != stored else float(stored)
        if stored == NULL:
            return None
        if is_text(type_):
            return self._strings.text(int(stored))
        return bool(stored) if type_.kind is Kind.BOOL else int(stored)

    def _spans(self) -> list[tuple[Change, int]]:
        """Each change and where its versions end."""
        ends = [*(change.first for change in self.changes[1:]), self.size]
        return list(zip(self.changes, ends, strict=False))

    def _new_index(self) -> KeyIndex:
        if self._key_types[0].kind is Kind.CIDR:
            known = self.__dict__.get("_index")
            return NetworkIndex(self._strings, like=known)
        return index_of(self._key_types)

    def _reserve(self, size: int) -> None:
        if size <= len(self.since):
            return
        room = size if not self.size else max(size, self.size * 3 // 2)

        def grown(array: NDArray[np.generic], dtype: type[np.generic]) -> NDArray[np.generic]:
            larger = np.empty(room, dtype)
            larger[: self.size] = array[: self.size]
            return larger

        self.columns = [
            grown(column, storage_dtype(field.type.kind))  # type: ignore[misc]  # its own dtype
            for column, field in zip(self.columns, self.declared.fields, strict=True)
        ]
        self.since = grown(self.since, np.int64)  # type: ignore[assignment]  # its own dtype
        self.alive = grown(self.alive, np.bool_)  # type: ignore[assignment]  # its own dtype
        self._prior = grown(self._prior, np.int32)  # type: ignore[assignment]  # its own dtype
