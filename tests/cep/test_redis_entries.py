"""Replies of XRANGE as NDJSON, wherever they are cut, and the places between their entries."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep import limits
from cep.log.redis_entries import DONE, MORE, Entries
from cep.log.redis_place import EntryId, Place, Places

texts = st.one_of(st.sampled_from([b"data", b"date", b'a"\\', b"\r\n"]), st.binary(max_size=9))
fields = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def reply(entries: list[list[tuple[bytes, bytes]]]) -> bytes:
    """What XRANGE sends behind its first line; IDs are 1-2, 2-2, …"""
    parts = []
    for number, pairs in enumerate(entries):
        flat = b"".join(bulk(name) + bulk(value) for name, value in pairs)
        parts.append(
            b"*2\r\n" + bulk(b"%d-2" % (number + 1)) + b"*%d\r\n" % (2 * len(pairs)) + flat
        )
    return b"".join(parts)


def lines_of(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The plain twin of the kernel."""
    name, value = pairs[0]
    if name == b"data":
        return value if value.endswith(b"\n") else value + b"\n"
    latin = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    quoted = [f"{json_string(name)}:{json_string(value)}" for name, value in latin]
    return ("{" + ",".join(quoted) + "}\n").encode("latin-1")


def json_string(text: str) -> str:
    escaped = "".join(
        f"\\{c}" if c in '"\\' else f"\\u{ord(c):04x}" if ord(c) < 32 else c for c in text
    )
    return f'"{escaped}"'


@settings(max_examples=300, deadline=None)
@given(st.lists(fields, max_size=4), st.lists(st.integers(0, 400), max_size=6))
def test_reply_becomes_ndjson_wherever_it_is_cut(
    entries: list[list[tuple[bytes, bytes]]], cuts: list[int]
) -> None:
    data = reply(entries)
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    reading, at, why = Entries(), 0, MORE
    reading.begin(len(entries))
    for _, end in pairwise([0, *bounds]):
        why, at = reading.take(np.frombuffer(data, np.uint8), at, end)
        assert why == (DONE if end == len(data) else MORE) or at == len(data)
    assert (why, at) == (DONE, len(data))
    want = [lines_of(pairs) for pairs in entries]
    assert reading.block() == b"".join(want)
    ends = np.cumsum([text.count(b"\n") for text in want], dtype=np.uint64)
    assert reading.ended().tolist() == [[n + 1, 2, int(end)] for n, end in enumerate(ends)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=200), st.integers(0, 500))
def test_places_lead_to_any_position(sizes: list[int], position: int) -> None:
    places, known = Places(Place(EntryId(), 0, 0)), [Place(EntryId(), 0, 0)]
    for number, size in enumerate(sizes):
        places.add(np.array([[number + 1, 7, size]], np.uint64))
        known.append(Place(EntryId(number + 1, 7), known[-1].position + size, number + 1))
    assert places.newest == known[-1]
    want = [place for place in known if place.position <= position][-1]
    assert places.before(position) == want
    places.forget_before(position)
    assert places.before(position) == places.start == want
    places.go_back(want)
    assert places.newest == want


def test_older_places_are_kept_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REDIS_BOOKMARKS_MAX", 100)
    places = Places(Place(EntryId(), 0, 0))
    for number in range(10_000):
        places.add(np.array([[number + 1, 0, 1]], np.uint64))
    assert places._end - places._begin <= 200
    for position in (0, 10, 5_000, 9_990, 9_999):
        place = places.before(position)
        assert place.position <= position
        assert place == Place(EntryId(place.position), place.position, place.position)
    assert places.before(9_999).position == 9_999
