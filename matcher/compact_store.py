"""The arrays of `matcher.compact`: made, made larger, listed, and filled again.

Events that are added again in their order give the same lists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.compact_scan import (
    EVENT_AT,
    EVENT_MS,
    EVENT_OF,
    EVENT_STEP,
    FREE,
    FREE_NODE,
    FREE_ROW,
    HEAD_COLUMNS,
    KEYS_USED,
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
from matcher.runs import NONE, grown_keys, new_keys

Ints = NDArray[np.int64]

KEY_COLUMNS = 2


def new_links(steps: int) -> Links:
    links = Links(
        new_keys(16, KEY_COLUMNS),
        np.zeros((0, steps - 1, HEAD_COLUMNS), np.int64),
        np.zeros((0, NODE_COLUMNS), np.int64),
        np.zeros(TOTALS, np.int64),
        np.empty((0, 4), np.int64),
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
    """The events held, with the columns of `Links.taken`."""
    events = np.zeros((int(links.totals[NODES_USED]), 4), np.int64)
    listed(steps, links, events)
    return events


def filled(links: Links, events: Ints, within_ms: int) -> Links:
    """Empty `links` with these events, which are in any order."""
    order = np.lexsort((-events[:, EVENT_STEP], events[:, EVENT_AT], events[:, EVENT_MS]))
    columns = (EVENT_OF, EVENT_STEP, EVENT_MS, EVENT_AT)
    of, step, ts, position = (events[order, column] for column in columns)
    links = grown(links, links.heads.shape[1] + 1, len(events))
    add(of, step, ts, position, within_ms, links)
    return links


def bytes_used(links: Links) -> int:
    return sum(array.nbytes for array in links)
