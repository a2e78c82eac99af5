"""The windows of one rule or derived field as bytes and back: the events in them, key by key.

    restore(dump(state)) = state        for every later batch

What runs over the events is counted anew.  As with partial matches, a page stands on its own: it
has texts instead of codes, and the bytes of the events that may still be the last of a match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from dsl.model import Type
from matcher.buffers import EVENT_KEY, EVENT_MASK, EVENT_POSITION, EVENT_TS, EVENT_VALUES
from matcher.keys import KeyCodec
from matcher.layout import is_text
from matcher.runs import SLOT_KEY
from matcher.snapshot import PageMismatch, Texts, codes_of
from matcher.strings import Strings
from matcher.window_layout import (
    ENTRIES,
    ENTRY_POSITION,
    ENTRY_STEP,
    ENTRY_TS,
    ENTRY_VALUES,
    HOT,
    KEYS_USED,
    LOADED,
    NEVER,
    NEXT_DUE_MS,
    OPTION_DONE_MS,
    OPTION_KIND,
    SLOT_FLAGS,
    SLOT_NUMBER,
    TAKEN,
    WINDOW_CHANGED,
)
from matcher.window_rows import live_entries, set_flags
from matcher.window_state import WindowState

FORMAT = 1

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Extra:
    """What a page holds besides windows: keys that are done, matches so far, bytes of events."""

    done: tuple[int, ...] = ()
    matched: int = 0
    raw: Mapping[int, bytes] | None = None


def dump(
    version: str,
    state: WindowState,
    types: Sequence[Type],
    keys: KeyCodec,
    strings: Strings,
    extra: Extra,
) -> bytes:
    """The page; `types` are of the values kept, `version` of what the state depends on."""
    memory = state.store.memory
    held, entries = int(memory.totals[KEYS_USED]), int(memory.totals[ENTRIES])
    slots, begin = np.zeros(held, np.int64), np.zeros(held + 1, np.int64)
    order = np.zeros(entries, np.int64)
    live_entries(memory, slots, begin, order)
    kept = memory.entries[order]
    first = kept[begin[:-1]]
    sorted_keys = np.lexsort((first[:, ENTRY_POSITION], first[:, ENTRY_TS]))
    lengths = np.diff(begin)[sorted_keys]
    rows = np.concatenate(
        [np.arange(begin[key], begin[key + 1]) for key in sorted_keys.tolist()]
        or [np.empty(0, np.int64)]
    )
    kept, found = kept[rows], memory.keys[slots[sorted_keys]]
    values = kept[:, ENTRY_VALUES : ENTRY_VALUES + len(types)]
    texts = Texts(strings)
    for place, type_ in enumerate(types):
        if is_text(type_):
            values[:, place] = texts.indexes(values[:, place])
    head = kept[:, [ENTRY_TS, ENTRY_POSITION, ENTRY_STEP]]
    page = {
        "format": FORMAT,
        "version": version,
        "closed_ms": int(state.options[OPTION_DONE_MS]),
        "taken": int(memory.totals[TAKEN]),
        "matched": extra.matched,
        "keys": [keys.scalars(key) for key in found[:, SLOT_KEY].tolist()],
        "events_of_key": lengths.tolist(),
        "numbers": found[:, SLOT_NUMBER].tolist(),
        "hot": (found[:, SLOT_FLAGS] & HOT).tolist(),
        "done": sorted((keys.scalars(key) for key in extra.done), key=repr),
        "texts": texts.found,
        "entries": np.ascontiguousarray(head).tobytes(),
        "values": np.ascontiguousarray(values).tobytes(),
        "events": dict(sorted((extra.raw or {}).items())),
    }
    return msgspec.msgpack.encode(page)


def restore(
    version: str,
    state: WindowState,
    types: Sequence[Type],
    keys: KeyCodec,
    strings: Strings,
    data: bytes,
) -> Extra:
    """Fill an empty state; raises PageMismatch."""
    page = msgspec.msgpack.decode(data, strict=False)
    if page["format"] != FORMAT:
        raise PageMismatch(f"page format {page['format']}, this version reads {FORMAT}")
    if page["version"] != version:
        raise PageMismatch("the window has changed")
    head = np.frombuffer(page["entries"], np.int64).reshape(-1, 3)
    values = np.frombuffer(page["values"], np.int64).reshape(len(head), len(types))
    codes = np.array([strings.code(text) for text in page["texts"]] or [0], np.int64)
    found = np.array([keys.key(tuple(scalars)) for scalars in page["keys"]], np.int64)
    events = np.zeros((len(head), EVENT_VALUES + len(types)), np.int64)
    events[:, EVENT_TS], events[:, EVENT_POSITION] = head[:, 0], head[:, 1]
    events[:, EVENT_MASK] = 1 << head[:, 2]
    events[:, EVENT_KEY] = np.repeat(found, page["events_of_key"])
    for place, type_ in enumerate(types):
        text = is_text(type_)
        events[:, EVENT_VALUES + place] = (
            codes_of(codes, values[:, place]) if text else values[:, place]
        )
    kind = int(state.options[OPTION_KIND])
    state.options[OPTION_KIND] = LOADED
    state.take(events)
    state.options[OPTION_KIND] = kind
    state.options[OPTION_DONE_MS] = page["closed_ms"]
    memory = state.store.memory
    set_flags(memory, found, np.array(page["numbers"], np.int64), np.array(page["hot"], np.int64))
    totals = memory.totals
    totals[NEXT_DUE_MS], totals[TAKEN], totals[WINDOW_CHANGED] = NEVER, page["taken"], 0
    done = tuple(keys.key(tuple(scalars)) for scalars in page["done"])
    raw = {int(position): bytes(line) for position, line in page["events"].items()}
    return Extra(done, page["matched"], raw)
