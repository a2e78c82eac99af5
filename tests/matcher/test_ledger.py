"""The ledger: a dict that is saved again and again comes back whole, and its pages stay few."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matcher.journal import PAGE_BYTES
from matcher.ledger import SPARE_BYTES, Content, Ledger, Written
from matcher.page_data import all_made

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Cells:
    """Bytes by key, as a `Keyed`; a key without bytes has no state."""

    def __init__(self) -> None:
        self.cells: dict[int, bytes] = {}
        self.pages_loaded = 0

    def all_keys(self) -> Ints:
        return np.array(sorted(self.cells), np.int64)

    def has_state(self, keys: Ints) -> Bools:
        return np.array([key in self.cells for key in keys.tolist()], np.bool_)

    def pages(self, keys: Ints) -> Iterator[Written]:
        for part in np.array_split(keys, max(1, len(keys) // 2_000)):
            cells = [self.cells.get(key, b"") for key in part.tolist()]
            sizes = np.array([len(cell) for cell in cells], np.int64)
            yield Written(part, sizes, msgspec.msgpack.encode((part.tolist(), cells)))

    def read(self, data: bytes) -> Content[list[bytes]]:
        keys, cells = msgspec.msgpack.decode(data)
        return Content(np.array(keys, np.int64), np.array([len(c) for c in cells]), cells)

    def load(self, parts: list[tuple[Content[list[bytes]], Bools]]) -> None:
        for content, marked in parts:
            self.pages_loaded += 1
            for key, cell, mark in zip(content.keys.tolist(), content.body, marked, strict=True):
                if mark and cell:
                    assert key not in self.cells, "each key is loaded once"
                    self.cells[key] = cell


class Saved:
    """Cells, their ledger, and the pages that a store would have."""

    def __init__(self) -> None:
        self.cells, self.ledger = Cells(), Ledger[list[bytes]]("rule/r")
        self.pages: dict[int, bytes] = {}
        self.changed: list[int] = []

    def set(self, key: int, cell: bytes) -> None:
        self.changed.append(key)
        if cell:
            self.cells.cells[key] = cell
        else:
            self.cells.cells.pop(key, None)

    def save(self, everything: bool = False) -> int:
        """Bytes written."""
        changed = None if everything else np.array(self.changed, np.int64)
        self.changed = []
        written = all_made(self.ledger.snapshot(changed, self.cells))
        for name, data in written.items():
            serial = int(name.removeprefix("rule/r/"))
            if data:
                self.pages[serial] = data
            else:
                del self.pages[serial]
        return sum(map(len, written.values()))

    def restart(self) -> None:
        before = self.cells.cells
        self.cells, self.ledger = Cells(), Ledger("rule/r")
        self.ledger.restore(self.pages, self.cells)
        assert self.cells.cells == before

    @property
    def total(self) -> int:
        return sum(map(len, self.pages.values()))


changes = st.lists(st.tuples(st.integers(-5, 30), st.integers(0, 3)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(changes, st.integers(0, 9)), max_size=60))
def test_what_was_saved_comes_back_after_any_restarts(
    steps: list[tuple[list[tuple[int, int]], int]],
) -> None:
    saved = Saved()
    for number, (step, then) in enumerate(steps):
        for key, size in step:
            saved.set(key, bytes([number % 256]) * size)
        saved.save(everything=then == 9)
        if then == 0:
            saved.restart()
    saved.restart()


def test_a_key_that_has_gone_stays_gone_though_older_pages_have_it() -> None:
    saved = Saved()
    saved.set(1, b"one")
    saved.set(2, b"two")
    saved.save()
    saved.set(1, b"")
    saved.save()
    assert len(saved.pages) == 2
    saved.restart()
    assert saved.cells.cells == {2: b"two"}


def test_a_key_that_came_and_went_between_two_checkpoints_is_not_written() -> None:
    saved = Saved()
    saved.set(1, b"one")
    saved.set(1, b"")
    assert saved.save() == 0


def test_pages_stay_within_a_small_factor_of_what_lives_and_few() -> None:
    random = np.random.default_rng(1)
    saved = Saved()
    for key in range(20_000):
        saved.set(key, b"x" * 100)
    saved.save()
    written = most = 0
    for _ in range(3_000):
        for key in random.integers(0, 20_000, 20).tolist():
            saved.set(key, b"y" * int(random.integers(50, 150)))
        size = saved.save()
        written += size
        most = max(most, size)
    live = 20_000 * 110
    assert saved.total < 2.5 * live + 2 * SPARE_BYTES
    assert len(saved.pages) < 1_000
    assert written < 10 * 3_000 * 20 * 110, "as much as changed, times a constant"
    assert most < 2 * PAGE_BYTES, "no checkpoint goes through all there is"
    saved.restart()


def test_little_is_left_of_much_that_has_gone() -> None:
    saved = Saved()
    for key in range(10_000):
        saved.set(key, b"x" * 100)
    saved.save()
    for key in range(9_990):
        saved.set(key, b"")
        if key % 10 == 0:
            saved.save()
    for number in range(2_000):
        saved.set(20_000, str(number).encode())
        saved.save()
    assert saved.total < 3 * SPARE_BYTES
    saved.restart()


def test_small_pages_of_new_keys_become_one() -> None:
    saved = Saved()
    for key in range(2_000):
        saved.set(key, b"x" * 50)
        saved.save()
    assert len(saved.pages) < 60
    saved.restart()
