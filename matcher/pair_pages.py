"""The state of two-step rules as pages: one for each group of starts, one for each rule.

    restore(dump(state)) = state        for every later batch

A page stands on its own, like those of `matcher.snapshot`: keys and texts are written out, and the
raw bytes of every start are in the group's page.  Values go by names that do not depend on which
rules share the group, so a group may be read back for another set of rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from matcher.batch import NULL
from matcher.keys import KeyCodec
from matcher.pair_scan import (
    MATCHED,
    PRUNED,
    UNSTARTED,
    USED_KEYS,
    USED_POSITION,
    USED_TS,
    Used,
    mark_used,
)
from matcher.runs import NONE, SLOT_HEAD, SLOT_KEY, grown_keys
from matcher.snapshot import PageMismatch, Texts, codes_of
from matcher.starts import START_POSITION, START_TS, START_VALUES, Starts
from matcher.strings import Strings

FORMAT = "pair 1"
BEGINNING_MS = -(2**62)

Ints = NDArray[np.int64]


def dump_starts(
    starts: Starts,
    values: Sequence[tuple[str, bool]],
    keys: KeyCodec,
    strings: Strings,
    raw: Mapping[int, bytes],
) -> bytes:
    """`values` are (name, whether texts) of the value columns; `raw` has every start's bytes."""
    keyed, rows = starts.live()
    rows = rows.copy()
    texts = Texts(strings)
    for place, (_, text) in enumerate(values):
        if text:
            rows[START_VALUES + place] = texts.indexes(rows[START_VALUES + place])
    known, index = np.unique(keyed, return_inverse=True)
    page = {
        "format": FORMAT,
        "appended": starts.appended,
        "refused": starts.refused,
        "keys": keys.all_scalars(known.tolist()),
        "key": index.astype(np.int64).tobytes(),
        "ts": rows[START_TS].tobytes(),
        "position": rows[START_POSITION].tobytes(),
        "values": {
            name: rows[START_VALUES + place].tobytes() for place, (name, _) in enumerate(values)
        },
        "texts": texts.found,
        "events": {position: raw[position] for position in rows[START_POSITION].tolist()},
    }
    return msgspec.msgpack.encode(page)


def restore_starts(
    starts: Starts,
    values: Sequence[tuple[str, bool]],
    keys: KeyCodec,
    strings: Strings,
    pages: Sequence[bytes],
) -> dict[int, bytes]:
    """Fill `starts`, which is empty; returns the raw bytes of the positions it holds.

    All `pages` are of the same starts, with the values of different rules.  A value that no page
    has for a start is null: the rule that compares it is younger than the start.
    """
    parts = [_decoded(data) for data in pages]
    tables = [_table(part, values, keys, strings) for part in parts]
    positions = np.unique(np.concatenate([table[START_POSITION] for table in tables]))
    merged = np.full((len(tables[0]), len(positions)), NULL, np.int64)
    for table in tables:
        place = np.searchsorted(positions, table[START_POSITION])
        for row, column in zip(merged, table, strict=True):
            row[place] = np.where(column == NULL, row[place], column)
    keyed = merged[-1]
    order = np.lexsort((positions, merged[START_TS], keyed))
    rows = merged[:-1, order]
    starts.append(
        keyed[order], rows[START_TS], rows[START_POSITION], rows[START_VALUES:], BEGINNING_MS
    )
    starts.appended = max(part["appended"] for part in parts)
    starts.refused = max(part["refused"] for part in parts)
    starts.changed = len(parts) > 1
    return {int(at): bytes(raw) for part in parts for at, raw in part["events"].items()}


def _table(
    page: dict[str, Any], values: Sequence[tuple[str, bool]], keys: KeyCodec, strings: Strings
) -> Ints:
    """The rows of a page's starts as `Starts` keeps them, and behind those a row of the keys."""
    position = np.frombuffer(page["position"], np.int64)
    codes = strings.codes(page["texts"] or [""])
    table = np.full((START_VALUES + len(values) + 1, len(position)), NULL, np.int64)
    table[START_TS] = np.frombuffer(page["ts"], np.int64)
    table[START_POSITION] = position
    for row, (name, text) in enumerate(values, START_VALUES):
        if name in page["values"]:
            column = np.frombuffer(page["values"][name], np.int64)
            table[row] = codes_of(codes, column) if text else column
    known = np.array([keys.key(tuple(scalars)) for scalars in page["keys"]] or [0], np.int64)
    table[-1] = known[np.frombuffer(page["key"], np.int64)]
    return table


def dump_used(
    used: Used, pattern: str, appended_before: int, refused_before: int, keys: KeyCodec
) -> bytes:
    """The page of a rule whose pattern version is `pattern`."""
    rows = used.keys[used.keys[:, SLOT_HEAD] != NONE]
    rows = rows[np.argsort(rows[:, USED_POSITION], kind="stable")]
    page = {
        "format": FORMAT,
        "pattern": pattern,
        "counters": [int(used.totals[place]) for place in (MATCHED, PRUNED, UNSTARTED)],
        "appended_before": appended_before,
        "refused_before": refused_before,
        "keys": keys.all_scalars(rows[:, SLOT_KEY].tolist()),
        "ts": rows[:, USED_TS].tobytes(),
        "position": rows[:, USED_POSITION].tobytes(),
    }
    return msgspec.msgpack.encode(page)


def restore_used(
    used: Used, pattern: str, rule: str, keys: KeyCodec, data: bytes
) -> tuple[Used, int, int]:
    """(what is used up, appended before, refused before); raises PageMismatch."""
    page = _decoded(data)
    if page["pattern"] != pattern:
        raise PageMismatch(f"the pattern of {rule} has changed")
    keyed = np.array([keys.key(tuple(scalars)) for scalars in page["keys"]], np.int64)
    ts = np.frombuffer(page["ts"], np.int64)
    used = use(used, keyed, ts, np.frombuffer(page["position"], np.int64))
    for place, count in zip((MATCHED, PRUNED, UNSTARTED), page["counters"], strict=True):
        used.totals[place] = count
    return used, page["appended_before"], page["refused_before"]


def use(used: Used, keys: Ints, ts: Ints, positions: Ints) -> Used:
    """`used` with those starts of each key used up that come no later than (ts, position)."""
    used = used._replace(keys=grown_keys(used.keys, int(used.totals[USED_KEYS]), len(keys)))
    mark_used(keys, ts, positions, used)
    return used


def _decoded(data: bytes) -> dict[str, Any]:
    page: dict[str, Any] = msgspec.msgpack.decode(data, strict=False)
    if page["format"] != FORMAT:
        raise PageMismatch(f"page format {page['format']}, this version reads {FORMAT}")
    return page
