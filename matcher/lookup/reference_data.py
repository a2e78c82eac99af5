"""All tables and lists that the rules of a partition look into, as one part of its state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import blake2b

from dsl.model import Call, Const, Expr, Rule, RuleSet, Type
from dsl.model import Table as Declaration
from dsl.operators import LOOKUPS
from dsl.source import Span
from matcher.lookup.history import Scalars
from matcher.lookup.pages import PAGE_PREFIX, TablePages, shape
from matcher.lookup.table import FROM_THE_BEGINNING, Applied, Columns, Table
from matcher.saved import PageMismatch
from matcher.strings import Strings

__all__ = ["PAGE_PREFIX", "ReferenceData", "shape", "tables_read"]


class ReferenceData:
    """Tables by name; not thread safe.  It answers as `matcher.lookup.history.Rows`."""

    def __init__(self, tables: Iterable[Declaration], strings: Strings) -> None:
        self._strings = strings
        self._pages = {table.name: TablePages(Table(table, strings)) for table in tables}

    def __contains__(self, name: str) -> bool:
        return name in self._pages

    def __iter__(self) -> Iterator[Table]:
        return (pages.table for pages in self._pages.values())

    def table(self, name: str) -> Table:
        return self._pages[name].table

    def bad_rows(self, name: str) -> int:
        """How many rows of its sources could not be used since the table was first loaded."""
        return self._pages[name].bad_rows

    def was_loaded(self, name: str) -> bool:
        return self._pages[name].loaded

    def takes_up(self, name: str, values: Sequence[object]) -> bool:
        """Whether a rule file has other values for a list now than when they were last loaded.

        If not, its rows stay what they have been changed to since.
        """
        written = blake2b(repr(tuple(values)).encode(), digest_size=8).hexdigest()
        pages = self._pages[name]
        before, pages.written = pages.written, written
        return before != written

    # ------------------------------------------------------------------------------- changes

    def load(self, name: str, rows: Columns, bad_rows: int, position: int, at_ms: int) -> Applied:
        """Makes what a source holds the rows of a table; the first time from the beginning on."""
        pages = self._pages[name]
        since = position if pages.loaded else FROM_THE_BEGINNING
        pages.loaded = True
        pages.bad_rows += bad_rows
        return pages.table.replace(rows, since, at_ms)

    def apply(
        self, name: str, upserts: Columns, deletes: Columns, position: int, at_ms: int
    ) -> Applied:
        """Changes single rows from `position` on; see `Table.apply`."""
        pages = self._pages[name]
        pages.loaded = True
        return pages.table.apply(upserts, deletes, position, at_ms)

    # ------------------------------------------------------------------------------- look-ups

    @property
    def now(self) -> int:
        """A position as of which all rows are those there are now."""
        return max((table.changed_at for table in self), default=FROM_THE_BEGINNING)

    def value(self, table: str, field: str, key: Scalars, position: int) -> object:
        found = self._pages[table].table
        version = found.find_one(key, position)
        return None if version < 0 else found.scalar(field, version)

    def holds(self, table: str, key: Scalars, position: int) -> bool:
        return self._pages[table].table.find_one(key, position) >= 0

    # ------------------------------------------------------------------------------- state

    def changed_pages(self, horizon: int) -> dict[str, bytes]:
        """Pages changed since the last call; no look-up will be before `horizon` any more."""
        changed: dict[str, bytes] = {}
        for pages in self._pages.values():
            changed |= pages.changed(horizon, self._strings)
        return changed

    def restore(self, pages: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
        """Takes pages back; gives the names of those that are of no use, and why in sentences."""
        by_table: dict[str, dict[str, bytes]] = {}
        for page, data in pages.items():
            by_table.setdefault(page.split("/")[1], {})[page] = data
        dropped: list[str] = []
        notices: list[str] = []
        for name, own in by_table.items():
            try:
                if name not in self._pages:
                    raise PageMismatch("no rule looks into it")
                self._pages[name].restore(own, self._strings)
            except PageMismatch as error:
                dropped += own
                notices.append(f"the stored rows of {name} are dropped: {error}")
        return dropped, notices


def tables_read(
    rules: RuleSet, also: Mapping[str, Sequence[Expr]] | None = None
) -> list[Declaration]:
    """The tables and lists that some rule looks into, in order of declaration.

    `also` has more expressions of each rule.
    """
    declared = {**rules.tables, **rules.lists}
    if not declared:
        return []
    names = {name for rule in rules.rules for name in names_of(rule)}
    names |= {name for expressions in (also or {}).values() for name in names_of(expressions)}
    return [table for name, table in declared.items() if name in names]


def names_of(model: object) -> Iterator[str]:
    """Of the tables and lists that a rule, or expressions, look into, anywhere inside.

    A rule whose keys are those of a table's rows looks into it, too.
    """
    pending = [model]
    while pending:
        value = pending.pop()
        if isinstance(value, Call) and value.op in LOOKUPS and value.args:
            table = value.args[0]
            assert isinstance(table, Const), "the checker names the table by a literal"
            yield str(table.value)
        if isinstance(value, Rule) and value.key_table is not None:
            yield value.key_table
        if isinstance(value, tuple | list):
            pending.extend(value)
        elif not isinstance(value, _WITHOUT_LOOK_UPS):
            kind: type = type(value)
            pending.extend(getattr(value, name) for name in _parts(kind))


_WITHOUT_LOOK_UPS = (str, int, Type, Span, Const)


@cache
def _parts(kind: type) -> tuple[str, ...]:
    return tuple(part.name for part in fields(kind)) if is_dataclass(kind) else ()
