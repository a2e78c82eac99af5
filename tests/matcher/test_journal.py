"""The journal: what was added and has not expired comes back in order; small pages become few."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from matcher.journal import PAGE_BYTES, TAIL_MIN, Form, Journal, small_tail
from matcher.page_data import all_made


def _joined(parts: object) -> list[int]:
    return [number for part in parts for number in part]  # type: ignore[attr-defined]  # a list


FORM: Form[list[int]] = Form(
    lambda numbers: (numbers, b"x" * 600 * len(numbers)),
    lambda fields: list(fields[0]),
    _joined,
    lambda numbers, begin, end: numbers[begin:end],
    len,
    lambda numbers: 600 * len(numbers),
)


class Kept:
    """A journal and the pages that a store would have."""

    def __init__(self) -> None:
        self.journal = Journal("starts/s", FORM)
        self.pages: dict[int, bytes] = {}
        self.written = 0

    def save(self) -> None:
        for name, data in all_made(self.journal.take()).items():
            serial = int(name.removeprefix("starts/s/"))
            self.written += len(data)
            if data:
                self.pages[serial] = data
            else:
                self.pages.pop(serial, None)

    def restart(self) -> list[int]:
        self.journal = Journal("starts/s", FORM)
        return _joined(self.journal.restore(self.pages))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), max_size=60))
def test_what_has_not_expired_comes_back_in_order(steps: list[tuple[int, int, bool]]) -> None:
    kept = Kept()
    added: list[int] = []  # each number is its own time
    before = 0
    for count, passed, restarts in steps:
        numbers = list(range(len(added), len(added) + count))
        added += numbers
        if numbers:
            kept.journal.add(numbers, numbers[-1])
        before = max(before, len(added) - 10 + passed)
        kept.journal.expire(before)
        kept.save()
        if restarts:
            found = kept.restart()
            assert found == added[len(added) - len(found) :]
            assert set(added[before:]) <= set(found)


def test_small_pages_become_few_and_each_is_written_a_few_times() -> None:
    kept = Kept()
    for number in range(5_000):
        kept.journal.add([number], number)
        kept.save()
    assert len(kept.pages) < 40
    once = sum(map(len, kept.pages.values()))
    assert kept.written < 12 * once
    assert kept.restart() == list(range(5_000))


def test_what_comes_at_once_and_is_much_is_cut() -> None:
    kept = Kept()
    kept.journal.add(list(range(5_000)), 0)
    kept.save()
    assert len(kept.pages) == round(5_000 * 600 / PAGE_BYTES)
    assert kept.restart() == list(range(5_000))
    kept.journal.expire(1)
    kept.save()
    assert kept.pages == {}


def test_the_tail_of_small_pages() -> None:
    assert small_tail([]) == 0
    assert small_tail([1] * TAIL_MIN) == 0
    assert small_tail([1] * (TAIL_MIN + 1)) == TAIL_MIN + 1
    assert small_tail([PAGE_BYTES, *[1] * (TAIL_MIN + 1)]) == TAIL_MIN + 1
    assert small_tail([100_000, *[1000] * TAIL_MIN]) == 0
