"""The state of a table as pages: one for each stretch of versions, and one that says what they are.

    restore(pages of every `changed_pages` so far) = the table, for every later look-up

A stretch is written once.  Small ones are joined with their neighbours as they come, like the
digits of a counter, so a change of one row writes little and a table has few pages.  A page holds
texts, not codes, and stands on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import msgspec
import numpy as np

from dsl.model import Table as Declaration
from matcher.batch import Column, storage_dtype
from matcher.layout import is_text
from matcher.lookup.table import Change, Table
from matcher.page_texts import Texts, codes_of
from matcher.saved import PageMismatch
from matcher.storage import nulls
from matcher.strings import Strings

FORMAT = 2
PAGE_PREFIX = "table/"
PAGE_ROWS_MAX = 65_536
"""Stretches are not joined beyond this, so a page stays within a few MB."""


@dataclass(slots=True)
class _Stretch:
    """Versions from `first` on, `rows` of them, counted over the whole life of the table."""

    first: int
    rows: int


@dataclass(slots=True)
class TablePages:
    """What of a table is written down; `base` is the number of version 0 over its whole life.

    `loaded` says whether a source was read: its first reading counts from the beginning.
    `written` tells the values of a rule file that were loaded last from others.
    """

    table: Table
    loaded: bool = False
    written: str = ""
    bad_rows: int = 0
    base: int = 0
    _stretches: list[_Stretch] = field(default_factory=list)
    _head: bytes = b""

    def changed(self, horizon: int, strings: Strings) -> dict[str, bytes]:
        """Pages since the last call; b"" for one that is gone.

        No look-up will ask for a position before `horizon`.
        """
        pages: dict[str, bytes] = {}
        end = self.base + self.table.size
        if self.table.compact(horizon):
            pages = {self._name(stretch.first): b"" for stretch in self._stretches}
            self.base, self._stretches = end, []
        written = sum(stretch.rows for stretch in self._stretches)
        new = self.table.size - written
        first = self.base + written
        changed: set[int] = set()
        for begin in range(0, new, PAGE_ROWS_MAX):
            rows = min(PAGE_ROWS_MAX, new - begin)
            self._stretches.append(_Stretch(first + begin, rows))
            changed.add(first + begin)
        for gone in self._join():
            pages[self._name(gone)] = b""
            changed.discard(gone)
            changed.add(max(s.first for s in self._stretches if s.first < gone))
        for stretch in self._stretches:
            if stretch.first in changed:
                pages[self._name(stretch.first)] = self._page(stretch, strings)
        head = self._header()
        if head != self._head:
            self._head = pages[f"{PAGE_PREFIX}{self.table.declared.name}"] = head
        return pages

    def _join(self) -> list[int]:
        """Joins the last stretches while they are of a size; the firsts of those that went."""
        gone = []
        while len(self._stretches) > 1:
            left, right = self._stretches[-2:]
            if left.rows > 2 * right.rows or left.rows + right.rows > PAGE_ROWS_MAX:
                break
            left.rows += right.rows
            gone.append(right.first)
            self._stretches.pop()
        return gone

    def _name(self, first: int) -> str:
        return f"{PAGE_PREFIX}{self.table.declared.name}/{first:012d}"

    def _header(self) -> bytes:
        return msgspec.msgpack.encode(
            {
                "format": FORMAT,
                "declared": shape(self.table.declared),
                "loaded": self.loaded,
                "bad_rows": self.bad_rows,
                "base": self.base,
                "written": self.written,
            }
        )

    def _page(self, stretch: _Stretch, strings: Strings) -> bytes:
        table, first = self.table, stretch.first - self.base
        end = first + stretch.rows
        parts: list[Any] = [column[first:end] for column in table.columns]
        is_texts = [is_text(declared.type) for declared in table.declared.fields]
        texts = Texts(compress(parts, is_texts), strings)
        columns = [
            (texts.indexes(part) if text else part).tobytes()
            for part, text in zip(parts, is_texts, strict=True)
        ]
        page = {
            "changes": _changes(table.changes, first, end),
            "alive": np.packbits(table.alive[first:end]).tobytes(),
            "rows": stretch.rows,
            "columns": columns,
            "texts": texts.packed(),
        }
        return msgspec.msgpack.encode(page)

    def restore(self, pages: Mapping[str, bytes], strings: Strings) -> None:
        """Takes back what `changed` gave; raises PageMismatch when it was of another declaration.

        The table must be empty.
        """
        name = self.table.declared.name
        self._head = pages.get(f"{PAGE_PREFIX}{name}", b"")
        head: dict[str, Any] = {"format": None}
        if self._head:
            head = msgspec.msgpack.decode(self._head)
        if head["format"] != FORMAT:
            raise PageMismatch(f"page format {head['format']}, this version reads {FORMAT}")
        if head["declared"] != shape(self.table.declared):
            raise PageMismatch("its declaration has changed")
        self.loaded, self.bad_rows, self.base = head["loaded"], head["bad_rows"], head["base"]
        self.written = head.get("written", "")
        for page_name in sorted(page for page in pages if page.startswith(f"{PAGE_PREFIX}{name}/")):
            page = msgspec.msgpack.decode(pages[page_name])
            rows = page["rows"]
            columns: list[Column] = []
            for declared, data in zip(self.table.declared.fields, page["columns"], strict=True):
                column: Any = np.frombuffer(data, storage_dtype(declared.type.kind))
                text = is_text(declared.type)
                columns.append(codes_of(page["texts"], column, strings) if text else column)
            alive = np.unpackbits(np.frombuffer(page["alive"], np.uint8), count=rows).astype(bool)
            self._stretches.append(_Stretch(int(page_name.rpartition("/")[2]), rows))
            self.table.append(columns, alive, [Change(*change) for change in page["changes"]])


def _changes(changes: list[Change], first: int, end: int) -> list[Change]:
    """Those that wrote versions in [first, end), counted from `first`."""
    ends = [change.first for change in changes[1:]] + [end]
    return [
        change._replace(first=max(change.first - first, 0))
        for change, until in zip(changes, ends, strict=True)
        if change.first < end and until > first
    ]


def shape(declared: Declaration) -> str:
    """What rows of the table are made of, as a text that changes when it does."""
    fields = [
        [f.name, f.type.kind.value, f.type.optional, f.type.scale, list(f.type.values)]
        for f in declared.fields
    ]
    return msgspec.json.encode([fields, list(declared.key)]).decode()


def empty_columns(declared: Declaration) -> list[Column]:
    """Columns of no rows."""
    return [nulls(field.type.kind, 0) for field in declared.fields]
