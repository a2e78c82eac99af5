"""One of the two rule sets, folded over a partition: what it detects in the range.

The fold is the engine's, without a store.  It begins without state at the beginning of the range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from cep import limits
from cep.backtest.history import Piece
from cep.backtest.question import Range
from cep.fold import Fold, Outcome
from cep.ports import Records
from cep.tables.reading import Source
from cep.tables.sources import load, sources_of
from dsl.model import RuleSet
from matcher.decode import Decoded


class Side:
    """`given` are sources of tables by name, in place of those in the rules."""

    def __init__(
        self,
        rules: RuleSet,
        partition: str,
        asked: Range,
        given: Mapping[str, Source],
        notify: Callable[[str], None],
    ) -> None:
        declared = {**rules.tables, **rules.lists}
        mine = {name: source for name, source in given.items() if name in declared}
        sources = sources_of(rules, mine)
        self.fold = Fold(rules, partition, elsewhere=sources)
        load(self.fold, sources, notify)
        self._since_ms = _or(asked.since_ms, limits.BEGINNING_OF_TIME_MS)
        self._until_ms = _or(asked.until_ms, limits.END_OF_TIME_MS)
        self._bounded = asked.since_ms is not None or asked.until_ms is not None
        self._lateness_ms = max((one.lateness_ms for one in rules.events.values()), default=0)
        self._newest_ms = limits.BEGINNING_OF_TIME_MS  # of all events read, in the range or not
        self.first_ms: int | None = None  # of the events in the range
        self.last_ms: int | None = None

    def step(self, piece: Piece) -> Outcome:
        """Folds the piece in that follows the last one."""
        fold = self.fold
        if not isinstance(piece, Records):
            decoded = fold.decoder.decode_arrow(piece.table, piece.first_position)
            return fold.step_decoded(self._in_range(decoded))
        if not fold.position and piece.first_position:
            fold.begin_at(piece.first_position)
        if piece.tick_ms is None:
            return fold.step(piece, self._in_range)
        self._newest_ms = max(self._newest_ms, piece.tick_ms + self._lateness_ms)
        if self._since_ms <= piece.tick_ms < self._until_ms:
            return fold.step(piece)
        fold.position = piece.end_position
        return Outcome()

    @property
    def over(self) -> bool:
        """Whether whatever comes later is not in the range, or late."""
        return self._newest_ms - self._lateness_ms >= self._until_ms

    def end(self, at_end_of_time: bool) -> Outcome:
        """The range ends; `at_end_of_time` where nothing ever comes after it."""
        if self._until_ms < limits.END_OF_TIME_MS:
            return self.fold.advance(self._until_ms)
        return self.fold.finish() if at_end_of_time else Outcome()

    def _in_range(self, decoded: Decoded) -> Decoded:
        batch = decoded.batch
        if len(batch) and self._bounded:
            self._newest_ms = max(self._newest_ms, int(batch.ts.max()))
            inside = (batch.ts >= self._since_ms) & (batch.ts < self._until_ms)
            if not inside.all():
                left_out = int(len(batch) - np.count_nonzero(inside))
                batch = batch.take(np.flatnonzero(inside))
                decoded = replace(decoded, batch=batch, ignored=decoded.ignored + left_out)
        if len(batch):
            first_ms, last_ms = int(batch.ts.min()), int(batch.ts.max())
            self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
            self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)
        return decoded


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
