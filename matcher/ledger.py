"""State by key as pages: what a checkpoint writes is the state of the keys that have changed.

    restore(all pages taken so far) = state of each key as of the last page that lists it

A page lists keys with all their state; keys that have none any more are listed, too.  A later page
hides its keys in the ones before.  Small pages are put together as more come.  When more than half
of everything is hidden, the oldest pages go: what in them is not hidden is written again.  For each
byte of changed state at most two bytes are gone through, so that no checkpoint pauses for long.
When what lives is little, all of it is written again at once, and nothing else stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from matcher.compiled import kernel
from matcher.journal import PAGE_BYTES, small_tail
from matcher.page_data import PageData
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, grown_keys, key_slot, new_keys, remove_slot

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

KEY_BYTES = 24
"""What listing a key takes, about."""

CREDIT_BYTES_MIN = 4 * 1024
"""A page and a checkpoint count for at least so much, so that tiny pages do not become many."""

SPARE_BYTES = 16 * 1024
"""So much may be hidden in any case."""

LITTLE_BYTES = 64 * 1024
"""State of so many bytes is little."""

# Columns of the table of keys: the serial of the last page that lists one, and its bytes there.
SIZE = 2
COLUMNS = 3

USED, LIVE_BYTES = range(2)  # places in its totals

P = TypeVar("P")


class Written(NamedTuple):
    """A page: its keys, about how many bytes the state of each takes (0: it has none), the data."""

    keys: Ints
    sizes: Ints
    data: PageData


class Content(NamedTuple, Generic[P]):
    """What a page says: keys and sizes as in `Written`, and whatever `Keyed.load` reads."""

    keys: Ints
    sizes: Ints
    body: P


class Keyed(Protocol[P]):
    """State by key."""

    def all_keys(self) -> Ints:
        """The keys that have state, each once."""
        ...

    def has_state(self, keys: Ints) -> Bools:
        """Which of the keys have state."""
        ...

    def pages(self, keys: Ints) -> Iterable[Written]:
        """The state of these keys, each once, in pages of about PAGE_BYTES."""
        ...

    def read(self, data: bytes) -> Content[P]:
        """The inverse of a page's data."""
        ...

    def load(self, parts: list[tuple[Content[P], Bools]]) -> None:
        """Take in the state of those keys of each page that are marked; there is no other yet."""
        ...


@dataclass(slots=True)
class _Page:
    serial: int
    keys: Ints
    size: int


class Ledger(Generic[P]):
    """Pages `NAME/SERIAL`; see the module head."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pages: list[_Page] = []
        self._next = 0
        self._total_bytes = 0
        self._credit_bytes = 0
        self._clear()

    def snapshot(self, changed: Ints | None, keyed: Keyed[P]) -> dict[str, PageData]:
        """The pages to write, by name; b"" when one is gone.

        `changed` are keys whose state has changed since the last snapshot, in any order; None: all.
        """
        if changed is not None and not len(changed):
            return {}
        gone: dict[str, PageData] = {}
        if changed is None:
            self._drop(0, len(self._pages), gone)
            self._clear()
            keys = keyed.all_keys()
            share = 1.0
        else:
            keys = self._listed(np.unique(changed), keyed)
            if not len(keys):
                return {}
            more = [*self._of_small_pages(gone), *self._of_old_pages(gone, keyed)]
            own = len(keys)
            if more:
                keys = np.unique(np.concatenate([keys, *more]))
            share = own / len(keys)
        written, size = self._write(keys, keyed)
        self._credit_bytes += 2 * max(int(size * share), CREDIT_BYTES_MIN)
        if self._is_too_much() and self._totals[LIVE_BYTES] <= LITTLE_BYTES:
            self._drop(0, len(self._pages), gone)
            self._clear()
            gone = {name: data for name, data in gone.items() if name not in written}
            written, _ = self._write(keyed.all_keys(), keyed)
        return gone | written

    def _write(self, keys: Ints, keyed: Keyed[P]) -> tuple[dict[str, PageData], int]:
        """The pages with the state of these keys, by name, and about how many bytes they have."""
        written: dict[str, PageData] = {}
        size = 0
        for page in keyed.pages(keys) if len(keys) else ():
            written[f"{self.name}/{self._next}"] = page.data
            size += self._append(self._next, page.keys, page.sizes)
        return written, size

    def restore(self, pages: Mapping[int, bytes], keyed: Keyed[P]) -> None:
        """Have `keyed`, which is empty, load what the pages say; this ledger is new, too."""
        contents = []
        for serial, data in sorted(pages.items()):
            content = keyed.read(data)
            self._append(serial, content.keys, content.sizes)
            contents.append(content)
        loaded = [
            (content, self._is_newest(content.keys, page.serial))
            for content, page in zip(contents, self._pages, strict=True)
        ]
        keyed.load(loaded)

    # ------------------------------------------------------------------ parts

    def _clear(self) -> None:
        self._table = new_keys(16, COLUMNS)
        self._totals = np.zeros(2, np.int64)

    def _listed(self, keys: Ints, keyed: Keyed[P]) -> Ints:
        """Without keys that have no state and are in no page."""
        if not len(keys):
            return keys
        listed = np.zeros(len(keys), np.bool_)
        find_known(keys, self._table, listed)
        if not listed.all():
            listed |= keyed.has_state(keys)
        return keys[listed]

    def _append(self, serial: int, keys: Ints, sizes: Ints) -> int:
        self._table = grown_keys(self._table, int(self._totals[USED]), len(keys))
        live = np.where(sizes > 0, sizes + KEY_BYTES, 0)
        enter(keys, live, serial, self._table, self._totals)
        size = int(sizes.sum()) + KEY_BYTES * len(keys)
        self._pages.append(_Page(serial, keys, size))
        self._total_bytes += size
        self._next = serial + 1
        return size

    def _of_small_pages(self, gone: dict[str, PageData]) -> list[Ints]:
        """Drop the last pages when there are many small ones; the keys that they say how they are.

        Keys without state stay listed: they may be in pages before.
        """
        last = len(self._pages)
        first = last - small_tail([page.size for page in self._pages])
        keys = [page.keys[self._is_newest(page.keys, page.serial)] for page in self._pages[first:]]
        self._drop(first, last, gone)
        return keys

    def _of_old_pages(self, gone: dict[str, PageData], keyed: Keyed[P]) -> list[Ints]:
        """Drop the oldest pages while much is hidden, as far as there is credit; what is not."""
        keys = []
        while self._pages and self._is_too_much():
            oldest = self._pages[0]
            cost = max(oldest.size, CREDIT_BYTES_MIN)
            if self._credit_bytes < cost:
                break
            self._credit_bytes -= cost
            newest = oldest.keys[self._is_newest(oldest.keys, oldest.serial)]
            if len(newest):
                lives = keyed.has_state(newest)
                forget(newest[~lives], self._table, self._totals)
                keys.append(newest[lives])
            self._drop(0, 1, gone)
        else:
            self._credit_bytes = min(self._credit_bytes, 2 * PAGE_BYTES)
        return keys

    def _is_too_much(self) -> bool:
        return self._total_bytes > 2 * int(self._totals[LIVE_BYTES]) + SPARE_BYTES

    def _is_newest(self, keys: Ints, serial: int) -> Bools:
        newest = np.zeros(len(keys), np.bool_)
        find_newest(keys, serial, self._table, newest)
        return newest

    def _drop(self, first: int, end: int, gone: dict[str, PageData]) -> None:
        for page in self._pages[first:end]:
            gone[f"{self.name}/{page.serial}"] = b""
            self._total_bytes -= page.size
        del self._pages[first:end]


@kernel
def enter(keys: Ints, sizes: Ints, serial: int, table: Ints, totals: Ints) -> None:
    """The page `serial` lists these keys."""
    for place in range(keys.shape[0]):
        slot = key_slot(table, keys[place])
        if table[slot, SLOT_HEAD] == NONE:
            table[slot, SLOT_KEY] = keys[place]
            totals[USED] += 1
        else:
            totals[LIVE_BYTES] -= table[slot, SIZE]
        table[slot, SLOT_HEAD] = serial
        table[slot, SIZE] = sizes[place]
        totals[LIVE_BYTES] += sizes[place]


@kernel
def find_known(keys: Ints, table: Ints, known: Bools) -> None:
    """Which keys are in some page."""
    for place in range(keys.shape[0]):
        known[place] = table[key_slot(table, keys[place]), SLOT_HEAD] != NONE


@kernel
def find_newest(keys: Ints, serial: int, table: Ints, newest: Bools) -> None:
    """For which keys the page `serial` is the last."""
    for place in range(keys.shape[0]):
        newest[place] = table[key_slot(table, keys[place]), SLOT_HEAD] == serial


@kernel
def forget(keys: Ints, table: Ints, totals: Ints) -> None:
    """These keys are in no page any more."""
    for place in range(keys.shape[0]):
        slot = key_slot(table, keys[place])
        totals[LIVE_BYTES] -= table[slot, SIZE]
        totals[USED] -= 1
        remove_slot(table, slot)
