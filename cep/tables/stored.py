"""Tables and lists as a store has them, for people to look into while the engine goes on.

    rows(partition, table) = those the engine had at its last commit with pages

A table is read from the pages of its state once, and again only after they have changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple, TypeVar

from sqlalchemy import Engine

from cep import limits
from cep.store import reads
from cep.values import json_value
from dsl.model import Table as Declaration
from matcher.lookup.pages import PAGE_PREFIX, TablePages, shape
from matcher.lookup.rows import key_of_texts
from matcher.lookup.table import Table
from matcher.saved import PageMismatch
from matcher.strings import Strings

Of = TypeVar("Of")


class LastChange(NamedTuple):
    """The log position and event time from which on the newest change counts."""

    position: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Summary:
    """`rows` there are; `bad_rows` of sources were left out; `changed` is None when nothing was."""

    loaded: bool
    rows: int
    bad_rows: int
    changed: LastChange | None


class StoredRow(NamedTuple):
    """`number` counts what was written to the table; `values` are JSON, decimals aside."""

    number: int
    values: Mapping[str, object]


class StoredTables:
    """Those of one store.  Thread safe: one table is looked into at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def summary(self, partition: str, declared: Declaration) -> Summary:
        """Raises StoreError, as all of these do."""
        with self._lock:
            pages = self._pages(partition, declared)
            changes = pages.table.changes
            changed = LastChange(changes[-1].position, changes[-1].at_ms) if changes else None
            return Summary(pages.loaded, pages.table.rows, pages.bad_rows, changed)

    def rows(
        self, partition: str, declared: Declaration, after: int, limit: int
    ) -> list[StoredRow]:
        """At most `limit` rows with a number above `after`, in the order they were written."""
        after = max(after, -1)
        with self._lock:
            pages = self._pages(partition, declared)
            versions = pages.table.written_now()
            first = int(versions.searchsorted(after - pages.base, side="right"))
            return [_row(pages, version) for version in versions[first : first + limit].tolist()]

    def find(self, partition: str, declared: Declaration, key: Sequence[str]) -> StoredRow | None:
        """The row of a key, of which the parts are given as text; of networks: of an address.

        Raises BadEvent for what can be no key of this table.
        """
        scalars = key_of_texts(declared, key)
        with self._lock:
            pages = self._pages(partition, declared)
            version = pages.table.find_one(scalars, pages.table.changed_at)
            return None if version < 0 else _row(pages, version)

    def _pages(self, partition: str, declared: Declaration) -> TablePages:
        name = f"{PAGE_PREFIX}{declared.name}"
        sums = _own(reads.page_sums(self._engine, partition, name), name)
        known = sums, shape(declared)
        kept = self._kept.get((partition, declared.name))
        if kept is None or kept.known != known or not kept.may_serve():
            self._kept.pop((partition, declared.name), None)
            data = _own(reads.pages(self._engine, partition, name), name)
            kept = self._kept[partition, declared.name] = _Kept(known, *_restored(declared, data))
        self._kept.move_to_end((partition, declared.name))
        while len(self._kept) > limits.TABLES_KEPT_MAX:
            self._kept.popitem(last=False)
        return kept.pages


@dataclass(slots=True)
class _Kept:
    """`known` is what the pages were when they were read."""

    known: tuple[Mapping[str, int | None], str]
    pages: TablePages
    strings: Strings
    served: int = 0

    def may_serve(self) -> bool:
        """Not without checksums; and not for ever, for texts that are looked up get codes."""
        self.served += 1
        return None not in self.known[0].values() and self.served < limits.LOOK_UPS_OF_KEPT_MAX


def _own(pages: Mapping[str, Of], name: str) -> dict[str, Of]:
    """Without those of tables whose names begin alike."""
    return {one: of for one, of in pages.items() if one == name or one.startswith(f"{name}/")}


def _restored(declared: Declaration, data: Mapping[str, bytes]) -> tuple[TablePages, Strings]:
    """An empty table where there are no pages, or only such of another declaration."""
    strings = Strings()
    pages = TablePages(Table(declared, strings))
    if data:
        try:
            pages.restore(data, strings)
        except PageMismatch:
            pages = TablePages(Table(declared, strings))
    return pages, strings


def _row(pages: TablePages, version: int) -> StoredRow:
    table = pages.table
    values = {
        field.name: json_value(field.type, table.scalar(field.name, version))
        for field in table.declared.fields
    }
    return StoredRow(pages.base + version, values)
