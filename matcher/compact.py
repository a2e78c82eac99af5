"""A rule that shares its partial matches, in motion: `A ->> B ->> C` with `matches all`.

An event costs the same however many partial matches it continues; those that one completes are
enumerated in time proportional to their number, up to the declared limit, and the rest is counted.
`matcher.shared_matches` says which rules these are, `matcher.compact_scan` how it is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matcher.atoms import BatchAtoms
from matcher.buffers import EVENT_MASK, EVENT_POSITION
from matcher.compact_scan import (
    BEGUN,
    CHANGED,
    DROPPED,
    FOUND_KEY,
    FOUND_POSITIONS,
    FOUND_TS,
    KEYS_USED,
    LEFT_OUT,
    MATCHED,
    NODES_USED,
    sweep,
    take,
)
from matcher.compact_store import (
    EVENT_AT,
    bytes_used,
    dump,
    events_of,
    grown,
    new_links,
    restore,
)
from matcher.evidence import Evidence
from matcher.keys import KeyCodec
from matcher.lane import SWEEPS_PER_WINDOW
from matcher.plan import Plan
from matcher.results import Found
from matcher.schema import Schema
from matcher.selection import BatchKeys, Selection
from matcher.shared_matches import matches_max
from matcher.strings import Strings
from matcher.tables import NO_LIMIT_MS

Ints = NDArray[np.int64]

ROWS_MIN = 4_096
"""Matches that there is room for at once."""


class CompactLane:
    """State and motion of one rule; see the module head."""

    def __init__(self, plan: Plan, number: int, schema: Schema, strings: Strings) -> None:
        assert plan.rule.within_ms is not None, "asked for by `shares_matches`"
        self.plan = plan
        self.page = f"rule/{plan.rule.name}"
        self.keys = KeyCodec([key.type for key in plan.rule.keys], strings)
        self._number = number
        self._selection = Selection(plan, schema, self.keys)
        self._steps = len(plan.rule.steps)
        self._within_ms = plan.rule.within_ms
        self._most = matches_max(plan.rule)
        self._links = new_links(self._steps)
        rows = max(ROWS_MIN, 2 * self._most)
        self._found = np.zeros((rows, FOUND_POSITIONS + self._steps), np.int64)
        self._swept_ms = -NO_LIMIT_MS
        self._newly_held = np.empty(0, np.int64)

    # ------------------------------------------------------------------ motion

    def advance(self, keyed: BatchKeys, atoms: BatchAtoms | None, watermark_ms: int) -> list[Found]:
        """Matches decided by the batch; time alone decides nothing."""
        found: list[Found] = []
        events = None if atoms is None else self._selection.events(keyed, atoms)
        self._newly_held = np.empty(0, np.int64)
        if events is not None:
            begin = 0
            while begin < len(events):
                rows, begin = divmod(
                    take(
                        begin,
                        events,
                        self._steps,
                        self._within_ms,
                        self._most,
                        self._links,
                        self._found,
                    ),
                    2**32,
                )
                found += self._read(rows)
                if begin < len(events):
                    self._links = grown(self._links, self._steps)
            goes_on = events[:, EVENT_MASK] & ((1 << (self._steps - 1)) - 1) != 0
            self._newly_held = events[goes_on, EVENT_POSITION]
        if watermark_ms - self._swept_ms > self._within_ms // SWEEPS_PER_WINDOW:
            sweep(self._steps, watermark_ms - self._within_ms, self._links)
            self._swept_ms = watermark_ms
        return found

    def _read(self, rows: int) -> list[Found]:
        table, steps, number = self._found[:rows], tuple(range(self._steps)), self._number
        columns = table[:, FOUND_TS].tolist(), table[:, FOUND_KEY].tolist()
        positions = map(tuple, table[:, FOUND_POSITIONS:].tolist())
        return [
            Found(at_ms, 0, bound[-1], number, bound[0], bound, steps, (), key)
            for at_ms, key, bound in zip(*columns, positions, strict=True)
        ]

    def newly_held(self) -> Ints:
        return self._newly_held

    # ------------------------------------------------------------------ state

    def changed(self) -> bool:
        """Whether the state differs from the last `dump`."""
        return bool(self._links.totals[CHANGED])

    def dump(self, strings: Strings, evidence: Evidence) -> bytes:
        self._links.totals[CHANGED] = 0
        events = events_of(self._links, self._steps)
        raw = evidence.read(events[:, EVENT_AT])
        return dump(self.plan.rule.pattern_version, events, self._links, self.keys, raw)

    def restore(self, strings: Strings, data: bytes) -> dict[int, bytes]:
        """Fill an empty state; the bytes of events that are held.  Raises PageMismatch."""
        version = self.plan.rule.pattern_version
        self._links, raw = restore(version, self._links, self._within_ms, self.keys, data)
        return raw

    def held(self) -> Ints:
        """Positions of all events held as evidence."""
        return events_of(self._links, self._steps)[:, EVENT_AT]

    def losses(self) -> tuple[int, ...]:
        """In the order of `LOSSES`: starts that have left the window, matches left out."""
        totals, unkeyed = self._links.totals, self._selection.null_keys
        return int(totals[DROPPED]), int(totals[LEFT_OUT]), unkeyed, 0, 0, 0

    def counters(self) -> tuple[int, ...]:
        """In the order of `Counters`; the events held stand for runs."""
        totals = self._links.totals
        places = BEGUN, MATCHED, DROPPED, LEFT_OUT
        history = [int(totals[place]) for place in places]
        held, keys = int(totals[NODES_USED]), int(totals[KEYS_USED])
        return *history, self._selection.null_keys, held, keys, bytes_used(self._links)
