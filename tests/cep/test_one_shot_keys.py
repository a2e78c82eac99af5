"""Keys that come once and never again leave nothing behind when their time is over."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from engine_cases import BASE_MS

import cep
from cep.fold import Fold
from cep.ports import Records
from matcher.decode import Decoder
from matcher.matcher import Matcher
from matcher.schema import Schema
from matcher.strings import Strings

KEYS = 200_000
KEYS_AT_ONCE = 20_000
KEYS_PER_MS = 10
WINDOW_MS = 60_000

EVENTS = """
event A { ts: timestamp @time  k: string  x: int }
event B { ts: timestamp @time  k: string  x: int }
"""
PATTERNS = {
    "pair": "match a: A -> b: B[x > a.x] within 1m",
    "runs": "match A[x >= 0] -> A[x < 0] -> B within 1m",
    "loop": "match a: A+ -> B within 1m",
    "timer": "match A[x == 9] -> not B for 1m",
    "shared": "match A ->> B[x > 5] within 1m matches all limit 100 runs",
}
WINDOWS = {
    "sliding": "over A window sliding 1m when count() >= 900",
    "session": "over A window session 10s cap 1m when sum(x) >= 9000",
    "hopping": "over A window hopping 1m every 10s when avg(x) > 990",
    "counted": "over A window count 50 cap 1m when min(x) > 990",
}
LEFT_BYTES_MAX = 2_000
"""Heads of pages, with counters; the pages of the keys themselves have megabytes."""


def rules_of(bodies: Mapping[str, str]) -> cep.RuleSet:
    rules = (f'rule {n} {{ severity low by k {b} alert "{{k}}" }}\n' for n, b in bodies.items())
    return cep.compile(EVENTS + "".join(rules))


def keys(first: int, count: int, start_ms: int) -> bytes:
    """An event of each of these keys."""
    return "".join(
        f'{{"type":"A","ts":{start_ms + n // KEYS_PER_MS},"k":"u{first + n}","x":1}}\n'
        for n in range(count)
    ).encode()


@pytest.mark.parametrize(
    ("bodies", "stay_ms"),
    [(PATTERNS, WINDOW_MS), (WINDOWS, 2 * (WINDOW_MS + 10_000))],
    ids=["patterns", "windows"],
)
def test_one_window_behind_the_last_event_no_row_and_no_page_of_a_key_is_left(
    bodies: Mapping[str, str], stay_ms: int
) -> None:
    """Events stay in pages for twice as long as a window, a session with its gap, may last."""
    fold, pages = Fold(rules_of(bodies), "p"), dict[str, bytes]()

    def size() -> int:
        pages.update(fold.changed_pages())
        return sum(map(len, pages.values()))

    for first in range(0, KEYS, KEYS_AT_ONCE):
        start_ms = BASE_MS + first // KEYS_PER_MS
        fold.step(Records(first, keys(first, KEYS_AT_ONCE, start_ms), KEYS_AT_ONCE))
        live = size()
    assert fold.runs(set(bodies)) > KEYS
    assert live > 50 * KEYS
    over_ms = BASE_MS + KEYS // KEYS_PER_MS + stay_ms + 1
    fold.step(Records(KEYS, b"\n", 1, tick_ms=over_ms))
    assert fold.runs(set(bodies)) == 0
    assert size() < LEFT_BYTES_MAX


def test_one_window_behind_the_last_event_arrays_are_small_again() -> None:
    rules = rules_of(PATTERNS | WINDOWS)
    schema, strings = Schema.of(rules.events, rules.rules), Strings()
    matcher, decoder = Matcher(rules.rules, schema, strings), Decoder(schema, strings)

    def sizes() -> dict[str, int]:
        return {name: count.state_bytes for name, count in matcher.counters.items()}

    nothing = decoder.decode(b"", 0).batch
    before = sizes()
    for first in range(0, KEYS, KEYS_AT_ONCE):
        start_ms = BASE_MS + first // KEYS_PER_MS
        batch = decoder.decode(keys(first, KEYS_AT_ONCE, start_ms), first).batch
        matcher.advance(batch, int(batch.ts[-1]))
    held = sizes()
    over_ms = BASE_MS + KEYS // KEYS_PER_MS + WINDOW_MS + 1
    for tick_ms in (over_ms, over_ms + 1):
        matcher.advance(nothing, tick_ms)
        matcher.snapshot()
    for name, left in sizes().items():
        if name != "timer":  # its condition holds for no event
            assert held[name] > 20 * KEYS, name
        assert left - before[name] <= 0.01 * held[name], name
