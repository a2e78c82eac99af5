"""The arrays of `matcher.compact`: made, made larger, written to a page and read back.

A page stands on its own: it has the keys' scalars and the bytes of every event held.  Its events
are added again in their order, which gives the same lists.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from matcher.compact_scan import (
    BEGUN,
    CHANGED,
    DROPPED,
    FREE,
    FREE_NODE,
    FREE_ROW,
    HEAD_COLUMNS,
    KEYS_USED,
    LEFT_OUT,
    MATCHED,
    NEWEST,
    NODE_COLUMNS,
    NODES_USED,
    OLDER,
    START,
    TOTALS,
    Links,
    add,
    listed,
)
from matcher.keys import KeyCodec
from matcher.runs import NONE, grown_keys, new_keys
from matcher.snapshot import PageMismatch

Ints = NDArray[np.int64]

FORMAT = "compact 1"
KEY_COLUMNS = 2
COUNTERS = (BEGUN, MATCHED, LEFT_OUT, DROPPED)

EVENT_OF, EVENT_STEP, EVENT_MS, EVENT_AT = range(4)
"""Columns of `events_of`: key, step, event time, position."""


def new_links(steps: int) -> Links:
    links = Links(
        new_keys(16, KEY_COLUMNS),
        np.zeros((0, steps - 1, HEAD_COLUMNS), np.int64),
        np.zeros((0, NODE_COLUMNS), np.int64),
        np.zeros(TOTALS, np.int64),
        np.zeros(steps - 1, np.int64),
    )
    links.totals[[FREE_NODE, FREE_ROW]] = NONE
    return grown(links, steps)


def grown(links: Links, steps: int, nodes: int = 0) -> Links:
    """With room for another event (or so many `nodes`), and as many again."""
    used, keys_used = int(links.totals[NODES_USED]), int(links.totals[KEYS_USED])
    keys = grown_keys(links.keys, keys_used, max(1, nodes))
    heads, held = links.heads, links.nodes
    if keys_used + max(1, nodes) > len(heads):
        heads = _longer(heads, 2 * (keys_used + max(4, nodes)))
        _free(heads[:, 0, NEWEST], len(links.heads), links.totals, FREE_ROW)
    if used + max(steps, nodes) > len(held):
        held = _longer(held, 2 * (used + max(8, steps, nodes)))
        held[len(links.nodes) :, START] = FREE
        _free(held[:, OLDER], len(links.nodes), links.totals, FREE_NODE)
    return links._replace(keys=keys, heads=heads, nodes=held)


def _longer(rows: Ints, size: int) -> Ints:
    longer = np.zeros((size, *rows.shape[1:]), np.int64)
    longer[: len(rows)] = rows
    return longer


def _free(link: Ints, first: int, totals: Ints, head: int) -> None:
    """Put the rows from `first` on, linked by `link`, in front of the free list."""
    link[first:-1] = np.arange(first + 1, len(link))
    link[-1] = totals[head]
    totals[head] = first


def events_of(links: Links, steps: int) -> Ints:
    """The events held, in order of (event time, position) and from the last step down."""
    events = np.zeros((int(links.totals[NODES_USED]), 4), np.int64)
    listed(steps, links, events)
    order = np.lexsort((-events[:, EVENT_STEP], events[:, EVENT_AT], events[:, EVENT_MS]))
    ordered: Ints = events[order]
    return ordered


def bytes_used(links: Links) -> int:
    return sum(array.nbytes for array in links)


def dump(
    version: str, events: Ints, links: Links, keys: KeyCodec, raw: Mapping[int, bytes]
) -> bytes:
    """`events` are those of `events_of`; `raw` has the bytes of each."""
    known, index = np.unique(events[:, EVENT_OF], return_inverse=True)
    page = {
        "format": FORMAT,
        "version": version,
        "counters": links.totals[list(COUNTERS)].tolist(),
        "keys": [keys.scalars(key) for key in known.tolist()],
        "key": index.astype(np.int64).tobytes(),
        "step": events[:, EVENT_STEP].tobytes(),
        "ts": events[:, EVENT_MS].tobytes(),
        "position": events[:, EVENT_AT].tobytes(),
        "events": {position: raw[position] for position in np.unique(events[:, EVENT_AT]).tolist()},
    }
    return msgspec.msgpack.encode(page)


def restore(
    version: str, links: Links, within_ms: int, keys: KeyCodec, data: bytes
) -> tuple[Links, dict[int, bytes]]:
    """`links`, which are empty, with the events of a page; and their bytes.

    Raises PageMismatch for another format or version.
    """
    page = msgspec.msgpack.decode(data, strict=False)
    if page["format"] != FORMAT:
        raise PageMismatch(f"page format {page['format']}, this version reads {FORMAT}")
    if page["version"] != version:
        raise PageMismatch("the pattern has changed")
    of, step, ts, position = (
        np.frombuffer(page[name], np.int64).copy() for name in ("key", "step", "ts", "position")
    )
    known = np.array([keys.key(tuple(scalars)) for scalars in page["keys"]] or [0], np.int64)
    links = grown(links, links.heads.shape[1] + 1, len(step))
    add(known[of], step, ts, position, within_ms, links)
    links.totals[list(COUNTERS)] = page["counters"]
    links.totals[CHANGED] = 0
    return links, {int(at): bytes(line) for at, line in page["events"].items()}
