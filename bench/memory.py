"""Memory of partial matches: what a live one costs, and what is left of it afterwards.

A million (with `--memory`, also ten million) keys make one live two-step run each, of the rule P1;
evidence, the raw bytes of events, is not kept.  The texts of the keys are counted apart.  Then
event time passes the rule's window, and what still is resident above the beginning is left over.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench import rulebook, workload
from bench.columns import BATCH_ROWS
from bench.timing import resident_bytes
from matcher.batch import NULL, Batch, BytesChunk, RawLines
from matcher.matcher import Matcher
from matcher.schema import Schema
from matcher.strings import Strings

KEYS_PER_MS = 1_000  # all starts lie within the window of P1, one minute
AMOUNT_CENTS = 100  # fits the first step


def partial_matches(name: str, n: int, head: int, runs: int) -> dict[str, object]:
    """`head` keys; bytes are those of resident memory."""
    rules = rulebook.rules("P1")
    strings, schema = Strings(), Schema.of(rules.events, rules.rules)
    strings.codes(_keys(0, 1_000))
    (warm,) = _batches(1_000, schema)
    Matcher(rules.rules, schema, strings, keep_raw=False).advance(warm, int(warm.ts[-1]))
    matcher = Matcher(rules.rules, schema, strings, keep_raw=False)
    begin = _settled_bytes()
    for start in range(0, head, BATCH_ROWS):
        strings.codes(_keys(start, min(start + BATCH_ROWS, head)))
    with_texts = _settled_bytes()
    for batch in _batches(head, schema):
        matcher.advance(batch, int(batch.ts[-1]))
    with_runs = _settled_bytes()
    live = sum(counters.runs for counters in matcher.counters.values())
    assert live == head, f"{live} live runs of {head}"
    for when_ms in (head // KEYS_PER_MS + 120_000, head // KEYS_PER_MS + 240_000):
        (batch,) = _batches(1, schema, workload.START_MS + when_ms)
        matcher.advance(batch, int(batch.ts[-1]))
        matcher.advance(batch.take(np.zeros(0, np.int64)), int(batch.ts[-1]))
    del batch
    left = _settled_bytes()
    remaining = sum(counters.runs for counters in matcher.counters.values())
    assert remaining <= 1, f"{remaining} runs after the window"
    return {
        "live": head,
        "bytes_each": round((with_runs - with_texts) / head, 1),
        "bytes_each_key_text": round((with_texts - begin) / head, 1),
        "resident_before_bytes": begin,
        "resident_live_bytes": with_runs,
        "resident_after_bytes": left,
        "left_bytes_each": round((left - with_texts) / head, 1),
        "left_bytes_each_key_text_included": round((left - begin) / head, 1),
    }


def _keys(start: int, end: int) -> list[str]:
    return [f"u{i:08d}" for i in range(start, end)]


def _batches(keys: int, schema: Schema, start_ms: int = workload.START_MS) -> Iterator[Batch]:
    """A small payment of each key, in batches made one at a time."""
    (payment,) = (index for name, index in schema.event_index.items() if name == "Tx")
    for start in range(0, keys, BATCH_ROWS):
        rows = np.arange(start, min(start + BATCH_ROWS, keys))
        ts = start_ms + rows // KEYS_PER_MS
        values: dict[tuple[str, ...], NDArray[np.int64]] = {
            ("ts",): ts,
            ("user",): rows,  # the codes of their texts: they were interned in this order
            ("amount",): np.full(len(rows), AMOUNT_CENTS),
        }
        columns = [values.get(spec.path, np.full(len(rows), NULL)) for spec in schema.columns]
        types = np.full(len(rows), payment, np.int16)
        nothing = np.zeros(len(rows), np.int64)
        yield Batch(ts, rows, types, columns, RawLines.of(BytesChunk(b""), nothing, nothing))


def _settled_bytes() -> int:
    """Resident memory when what was freed has gone back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident_bytes()
