"""State that is only ever added to and that time lets go of, as pages in the order of its coming.

    restore(all pages taken so far) = what was added and has not expired

A page holds what was added between two checkpoints, and goes when the newest of it has expired.
Small pages are put together as more come, so a page is written again about as often as its size
doubles, and there are few of them beyond one for each PAGE_BYTES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Generic, TypeVar

import msgspec

from matcher.page_data import PageData

PAGE_BYTES = 256 * 1024
"""About what a page may have; what comes at once and is more is cut."""

TAIL_MIN = 8
"""So many small pages may lie behind one another."""

FREE_BYTES = 512
"""Pages below this size count as if they had it."""

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Form(Generic[C]):
    """How contents are handled; `fields` is what msgspec can write, and `read` its inverse."""

    fields: Callable[[C], Sequence[Any]]
    read: Callable[[Sequence[Any]], C]
    join: Callable[[Sequence[C]], C]
    cut: Callable[[C, int, int], C]
    rows: Callable[[C], int]
    size: Callable[[C], int]
    """Bytes, about."""


@dataclass(slots=True)
class Page(Generic[C]):
    """`content` is None once it is not needed any more."""

    serial: int
    newest_ms: int
    size: int
    content: C | None


class Journal(Generic[C]):
    """Pages `NAME/SERIAL`; see the module head.  With `keeps`, every page's content is at hand."""

    def __init__(self, name: str, form: Form[C], keeps: bool = False) -> None:
        self.name = name
        self.pages: list[Page[C]] = []
        self._form = form
        self._keeps = keeps
        self._next = 0
        self._changed: dict[str, PageData] = {}

    def add(self, content: C, newest_ms: int) -> None:
        """Put newer content behind what there is; `newest_ms` is the latest time in it."""
        for part in self._cut(content):
            self._append(part, newest_ms)

    def expire(self, before_ms: int) -> None:
        """Drop the pages in which everything is from before this time."""
        count = 0
        while count < len(self.pages) and self.pages[count].newest_ms < before_ms:
            count += 1
        self._drop(0, count)

    def rewrite(self, page: Page[C], content: C | None) -> None:
        """Leave only `content` of a page; None: nothing."""
        if content is None:
            self._drop(self.pages.index(page), self.pages.index(page) + 1)
        else:
            page.content, page.size = content, self._form.size(content)
            self._changed[self._name(page)] = partial(self._encoded, page.newest_ms, content)

    def clear(self) -> None:
        """Drop all pages: what there is will be added anew."""
        self._drop(0, len(self.pages))

    def take(self) -> dict[str, PageData]:
        """The pages changed since the last call, by name; b"" for one that is gone.

        Contents are not changed after they were added.
        """
        changed, self._changed = self._changed, {}
        return changed

    def restore(self, pages: Mapping[int, bytes]) -> list[C]:
        """The contents of pages by serial number, in order; into an empty journal."""
        contents = []
        for serial, data in sorted(pages.items()):
            newest_ms, *fields = msgspec.msgpack.decode(data)
            content = self._form.read(fields)
            contents.append(content)
            kept = content if self._is_kept(len(data)) else None
            self.pages.append(Page(serial, newest_ms, len(data), kept))
            self._next = serial + 1
        return contents

    # ------------------------------------------------------------------ parts

    def _append(self, content: C, newest_ms: int) -> None:
        """A page of its own, or one with the small pages that it makes too many."""
        sizes = [page.size for page in self.pages[-_TAIL_MOST:]]
        count = small_tail([*sizes, self._form.size(content)]) - 1
        if count > 0:
            first = len(self.pages) - count
            before = [page.content for page in self.pages[first:] if page.content is not None]
            assert len(before) == count, "small pages have their content at hand"
            content = self._form.join([*before, content])
            newest_ms = max(newest_ms, self.pages[-1].newest_ms)
            self._drop(first, len(self.pages))
        for part in self._cut(content):
            size = self._form.size(part)
            kept = part if self._is_kept(size) else None
            page = Page(self._next, newest_ms, size, kept)
            self.pages.append(page)
            self._changed[self._name(page)] = partial(self._encoded, newest_ms, part)
            self._next += 1

    def _cut(self, content: C) -> list[C]:
        """In parts that fit into pages."""
        rows, parts = self._form.rows(content), round(self._form.size(content) / PAGE_BYTES)
        if min(rows, parts) <= 1:
            return [content]
        edges = [rows * part // parts for part in range(parts + 1)]
        return [self._form.cut(content, begin, end) for begin, end in pairwise(edges)]

    def _is_kept(self, size: int) -> bool:
        return self._keeps or 2 * size < PAGE_BYTES

    def _drop(self, first: int, end: int) -> None:
        for page in self.pages[first:end]:
            self._changed[self._name(page)] = b""
        del self.pages[first:end]

    def _name(self, page: Page[C]) -> str:
        return f"{self.name}/{page.serial}"

    def _encoded(self, newest_ms: int, content: C) -> bytes:
        return msgspec.msgpack.encode((newest_ms, *self._form.fields(content)))


_TAIL_MOST = 8 * TAIL_MIN
"""More pages than this are never small ones behind one another: each eighth doubles the size."""


def small_tail(sizes: Sequence[int]) -> int:
    """How many of the last of these pages should become one; 0 when they are few.

    From the last on, as long as each is at most twice as large as those behind it together.
    """
    total = count = 0
    for size in reversed(sizes):
        size = max(size, FREE_BYTES)
        if 2 * size >= PAGE_BYTES or (count and size > 2 * total):
            break
        total += size
        count += 1
    return count if count > TAIL_MIN else 0
