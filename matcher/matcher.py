"""The matcher of a partition: every rule's partial matches, moved forward batch by batch.

    state', matches = advance(state, batch, watermark)

Batches must arrive in order of (event time, position), each row at or before the watermark that
comes with it.  How the stream is cut into batches changes nothing, nor does a snapshot in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsl.model import Rule
from matcher.atoms import Atoms, BatchAtoms
from matcher.batch import NULL, Batch
from matcher.lane import Found, Lane
from matcher.plan import compile_rule
from matcher.schema import Schema
from matcher.strings import Strings

END_OF_TIME_MS = 2**62


@dataclass(frozen=True, slots=True)
class Bound:
    """An event of a match: the step it was bound to, its position, and its bytes as received."""

    step: int
    position: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Match:
    """`key` in scalar form; `at_ms` the last event's time, or the deadline when `timer`."""

    rule: Rule
    key: tuple[object, ...]
    at_ms: int
    timer: bool
    events: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one rule since it was first deployed, except `runs`, `keys` and `state_bytes`: now."""

    started: int
    matched: int
    expired: int
    capped: int
    null_keys: int
    runs: int
    keys: int
    state_bytes: int


class Matcher:
    """All rules over one partition; not thread safe.

    With `keep_raw=False` no event bytes are kept and `Bound.raw` is empty: for benchmarks and for
    callers that hold the events themselves.
    """

    def __init__(
        self, rules: Sequence[Rule], schema: Schema, strings: Strings, keep_raw: bool = True
    ) -> None:
        self._strings = strings
        self._atoms = Atoms(schema, strings)
        self._lanes = [
            Lane(compile_rule(rule, schema, self._atoms, strings), schema, strings)
            for rule in rules
        ]
        self._keep_raw = keep_raw
        self._raw: dict[int, bytes] = {}
        self._raw_limit = 1024

    def advance(self, batch: Batch, watermark_ms: int) -> list[Match]:
        """Matches decided by these events and by time reaching `watermark_ms`, in order."""
        found: list[tuple[Lane, Found]] = []
        bound: list[NDArray[np.int64]] = []
        atoms = self._atoms.evaluate(batch) if len(batch) else None
        for lane in self._lanes:
            found += [(lane, match) for match in lane.advance(batch, atoms, watermark_ms)]
            bound.append(lane.newly_held())
        matches = self._matches(batch, found)
        if self._keep_raw:
            self._hold(batch, np.concatenate(bound) if bound else np.empty(0, np.int64))
        return matches

    def snapshot(self) -> dict[str, bytes]:
        """Pages that changed since the last snapshot, by name; b"" when a page is gone."""
        return {
            lane.page: lane.dump(self._strings, self._raw) for lane in self._lanes if lane.changed()
        }

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Load the state that `snapshot` gave; rules without a page start empty.

        Raises PageMismatch when a page belongs to another version of its rule.
        """
        for lane in self._lanes:
            data = pages.get(lane.page)
            if data:
                self._raw.update(lane.restore(self._strings, data))

    @property
    def counters(self) -> dict[str, Counters]:
        return {lane.plan.rule.name: Counters(*lane.counters()) for lane in self._lanes}

    def _matches(self, batch: Batch, found: list[tuple[Lane, Found]]) -> list[Match]:
        """Canonical order: time, events before timers, last event, rule, start, all events."""
        order = {id(lane): number for number, lane in enumerate(self._lanes)}
        found.sort(
            key=lambda item: (
                item[1].at_ms,
                item[1].timer,
                item[1].positions[-1],
                order[id(item[0])],
                item[1].positions[0],
                item[1].positions,
                item[1].steps,
            )
        )
        raw = self._raw_of(batch, {p for _, match in found for p in match.positions})
        return [
            Match(
                lane.plan.rule,
                lane.keys.scalars(match.key),
                match.at_ms,
                match.timer,
                tuple(
                    Bound(step, position, raw[position])
                    for step, position in zip(match.steps, match.positions, strict=True)
                ),
            )
            for lane, match in found
        ]

    def _raw_of(self, batch: Batch, positions: set[int]) -> Mapping[int, bytes]:
        """The bytes of these positions, from this batch or from what is held."""
        if not self._keep_raw:
            return dict.fromkeys(positions, b"")
        rows = _rows_of(batch, positions - self._raw.keys())
        return {p: self._raw.get(p) or batch.raw.line(rows[p]) for p in positions}

    def _hold(self, batch: Batch, bound: NDArray[np.int64]) -> None:
        """Keep the bytes of newly bound events; now and then let go of those no run holds."""
        wanted = set(np.unique(bound).tolist()) - self._raw.keys()
        for position, row in _rows_of(batch, wanted).items():
            self._raw[position] = batch.raw.line(row)
        if len(self._raw) > self._raw_limit:
            held: set[int] = set()
            for lane in self._lanes:
                held.update(lane.held().tolist())
            self._raw = {position: raw for position, raw in self._raw.items() if position in held}
            self._raw_limit = max(1024, 2 * len(self._raw))


def _rows_of(batch: Batch, positions: set[int]) -> dict[int, int]:
    """position → row of the batch."""
    if not positions:
        return {}
    wanted = np.fromiter(positions, np.int64, len(positions))
    order = np.argsort(batch.position, kind="stable")
    rows = order[np.searchsorted(batch.position, wanted, sorter=order)]
    return dict(zip(wanted.tolist(), rows.tolist(), strict=True))


__all__ = ["END_OF_TIME_MS", "NULL", "BatchAtoms", "Bound", "Counters", "Match", "Matcher"]
