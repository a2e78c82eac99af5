"""Events that fit the first step of two-step rules: what their second step looks back on.

    Starts = (key, ts, position, values) of each start, at least `window_ms` back

All rules that begin with the same condition, key and window share one `Starts`; which starts are
used up is each rule's own business (`matcher.pairs`).

Starts lie in segments, oldest first, one behind another in the same arrays, as in a log-structured
merge tree.  A segment is sorted by (key, time), and every start of a segment is older than those of
later ones.  A batch becomes a segment, which is merged with the one before it unless that is much
larger.  So taking in, looking back and letting go all walk over neighbouring numbers, in order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matcher import limits
from matcher.compiled import inlined, kernel
from matcher.limits import RUNS_PER_KEY_MAX
from matcher.unsaved import Unsaved

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Rows of `Buffer.rows`; the values that second steps compare with come last.
START_TS, START_POSITION, START_VALUES = range(3)

SEGMENTS_MAX = 32
SEGMENT_RATIO = 4
"""A segment is merged with the one before it unless that is more than so many times as large."""

ROOM_RATIO = 4
"""Memory for more than so many times the starts there are is given back."""


class Buffer(NamedTuple):
    """Segment s < segments[0] is the columns bounds[s]:bounds[s + 1] of `keys` and `rows`."""

    keys: Ints
    rows: Ints
    floats: Floats  # the same memory as `rows`
    bounds: Ints  # (SEGMENTS_MAX + 1,)
    segments: Ints  # (1,): how many


@inlined
def key_range(keys: Ints, key: int, low: int, high: int) -> tuple[int, int]:
    """Where `key` stands in keys[low:high]; found fast when that is near `low`."""
    step = 1
    bound = low
    while bound < high and keys[bound] < key:
        low = bound + 1
        bound += step
        step <<= 1
    bound = min(bound, high)
    while low < bound:
        middle = (low + bound) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            bound = middle
    begin = low
    step = 1
    bound = low
    while bound < high and keys[bound] == key:
        low = bound + 1
        bound += step
        step <<= 1
    bound = min(bound, high)
    while low < bound:
        middle = (low + bound) >> 1
        if keys[middle] == key:
            low = middle + 1
        else:
            bound = middle
    return begin, low


@inlined
def first_after(rows: Ints, low: int, high: int, ts: int, position: int) -> int:
    """The first of the starts low:high, which have one key, that comes after (ts, position)."""
    while low < high:
        middle = (low + high) >> 1
        at = rows[START_TS, middle]
        if at < ts or (at == ts and rows[START_POSITION, middle] <= position):
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def keep_since(oldest_ms: int, keys: Ints, rows: Ints, begin: int, end: int) -> int:
    """Move the starts of begin:end that are not before `oldest_ms` together; returns their end."""
    kept = begin
    for place in range(begin, end):
        if rows[START_TS, place] >= oldest_ms:
            if kept != place:
                keys[kept] = keys[place]
                for row in range(rows.shape[0]):
                    rows[row, kept] = rows[row, place]
            kept += 1
    return kept


@kernel
def merge(keys: Ints, rows: Ints, begin: int, end: int, new_keys: Ints, new_rows: Ints) -> None:
    """Merge newer starts into the segment begin:end, from the back; there is room behind it."""
    older, newer = end - 1, new_keys.shape[0] - 1
    place = end + newer
    while newer >= 0:
        if older >= begin and keys[older] > new_keys[newer]:
            keys[place] = keys[older]
            for row in range(rows.shape[0]):
                rows[row, place] = rows[row, older]
            older -= 1
        else:
            keys[place] = new_keys[newer]
            for row in range(rows.shape[0]):
                rows[row, place] = new_rows[row, newer]
            newer -= 1
        place -= 1


@kernel
def longest_run(keys: Ints) -> int:
    """The most neighbours that are equal."""
    longest = size = 0
    for place in range(keys.shape[0]):
        size = size + 1 if place and keys[place] == keys[place - 1] else 1
        longest = max(longest, size)
    return longest


@kernel
def refuse(
    most: int, window_ms: int, keys: Ints, ts: Ints, buffer: Buffer, accepted: NDArray[np.bool_]
) -> int:
    """Mark the new starts that have fewer than `most` of their key before them in the window.

    Returns how many have not.
    """
    refused = 0
    held = begin = 0
    for row in range(keys.shape[0]):
        if row == 0 or keys[row] != keys[row - 1]:
            begin = row
            held = 0
        before_ms = ts[row] - window_ms
        while begin < row and (ts[begin] < before_ms or not accepted[begin]):
            held -= accepted[begin]
            begin += 1
        older = 0
        for segment in range(buffer.segments[0]):
            low, high = key_range(
                buffer.keys, keys[row], buffer.bounds[segment], buffer.bounds[segment + 1]
            )
            older += high - first_after(buffer.rows, low, high, before_ms - 1, 2**62)
        accepted[row] = held + older < most
        held += accepted[row]
        refused += not accepted[row]
    return refused


class Starts:
    """The arrays and how they grow; `values` rows are kept with each start.

    `unsaved` has (keys, rows) of the starts taken in since the last checkpoint.
    """

    def __init__(self, values: int, window_ms: int) -> None:
        self.window_ms = window_ms
        self.unsaved: Unsaved[tuple[Ints, Ints]] = Unsaved()
        self.appended = 0  # starts ever taken in
        self.refused = 0  # starts ever refused at the limit per key, or per rule
        self.full = False  # the last census has found too many
        self.buffer = _empty(START_VALUES + values, 64)
        self._longest: list[int] = []  # of each segment, the most starts of one key

    def append(self, keys: Ints, ts: Ints, positions: Ints, values: Ints, oldest_ms: int) -> Ints:
        """Take in newer starts, sorted by key and time; those before `oldest_ms` may go.

        Returns the positions of those that were not refused.
        """
        if self.full:
            self.refused += len(keys)
            return positions[:0]
        if longest_run(keys) + sum(self._longest) > RUNS_PER_KEY_MAX:
            accepted = np.zeros(len(keys), np.bool_)
            refused = refuse(RUNS_PER_KEY_MAX, self.window_ms, keys, ts, self.buffer, accepted)
            self.refused += refused
            keys, ts, positions = keys[accepted], ts[accepted], positions[accepted]
            values = values[:, accepted]
        if not len(keys):
            return positions
        self.appended += len(keys)
        rows = np.concatenate([ts[None], positions[None], values])
        self.unsaved.add((keys, rows), len(keys), int(ts.max()), self.entries)
        self._reserve(len(keys))
        self._add(keys, rows, oldest_ms)
        return positions

    def take_census(self, at_ms: int) -> None:
        """Refuse further starts while there are too many in the window; all up to `at_ms` are in.

        Those that a later batch has let go of are not in the window any more.
        """
        most, entries = limits.RUNS_PER_RULE_MAX, self.entries
        live = self.buffer.rows[START_TS, :entries] >= at_ms - self.window_ms
        self.full = entries > most and int(np.count_nonzero(live)) > most

    def _add(self, keys: Ints, rows: Ints, oldest_ms: int) -> None:
        """Put a segment on top, or merge it with those below that are not much larger."""
        buffer = self.buffer
        begin, end = self._top()
        if end - begin > SEGMENT_RATIO * len(keys) and len(self._longest) < SEGMENTS_MAX - 1:
            buffer.keys[end : end + len(keys)] = keys
            buffer.rows[:, end : end + len(keys)] = rows
            self._push(end, end + len(keys))
            return
        end = keep_since(oldest_ms, buffer.keys, buffer.rows, begin, end)
        merge(buffer.keys, buffer.rows, begin, end, keys, rows)
        end += len(keys)
        if self._longest:
            self._pop()
        below = self._top()
        if not self._longest or below[1] - below[0] > SEGMENT_RATIO * (end - begin):
            self._push(begin, end)
        else:
            self._add(buffer.keys[begin:end].copy(), buffer.rows[:, begin:end].copy(), oldest_ms)

    def sweep(self, oldest_ms: int) -> None:
        """Let go of all starts before `oldest_ms`, and of much memory not needed any more."""
        buffer = self.buffer
        end = 0
        for segment, (begin, behind) in enumerate(pairwise(self._bounds())):
            kept = keep_since(oldest_ms, buffer.keys, buffer.rows, begin, behind) - begin
            if begin != end:
                buffer.keys[end : end + kept] = buffer.keys[begin : begin + kept]
                buffer.rows[:, end : end + kept] = buffer.rows[:, begin : begin + kept]
            end += kept
            buffer.bounds[segment + 1] = end
        if len(buffer.keys) > ROOM_RATIO * end:
            self._resize(2 * end)

    def live(self) -> tuple[Ints, Ints]:
        """(key of each start, its rows), segment by segment."""
        return self.buffer.keys[: self.entries], self.buffer.rows[:, : self.entries]

    @property
    def entries(self) -> int:
        return self._top()[1]

    @property
    def bytes(self) -> int:
        """Memory held by the arrays, in use or not."""
        return self.buffer.keys.nbytes + self.buffer.rows.nbytes

    def _top(self) -> tuple[int, int]:
        """Where the last segment begins and ends; (0, 0) when there is none."""
        count = int(self.buffer.segments[0])
        return (
            (int(self.buffer.bounds[count - 1]), int(self.buffer.bounds[count]))
            if count
            else (0, 0)
        )

    def _push(self, begin: int, end: int) -> None:
        buffer = self.buffer
        buffer.segments[0] += 1
        buffer.bounds[buffer.segments[0]] = end
        self._longest.append(longest_run(buffer.keys[begin:end]))

    def _pop(self) -> None:
        self.buffer.segments[0] -= 1
        self._longest.pop()

    def _bounds(self) -> list[int]:
        bounds: list[int] = self.buffer.bounds[: self.buffer.segments[0] + 1].tolist()
        return bounds

    def _reserve(self, more: int) -> None:
        """Make room for that many more starts."""
        room, entries = len(self.buffer.keys), self.entries
        if entries + more > room:
            self._resize(max(2 * room, entries + more))

    def _resize(self, room: int) -> None:
        """Copy what there is to arrays of that many places."""
        buffer, entries = self.buffer, self.entries
        moved = _empty(len(buffer.rows), room)
        moved.keys[:entries] = buffer.keys[:entries]
        moved.rows[:, :entries] = buffer.rows[:, :entries]
        self.buffer = moved._replace(bounds=buffer.bounds, segments=buffer.segments)


def _empty(rows: int, size: int) -> Buffer:
    table = np.empty((rows, size), np.int64)
    return Buffer(
        keys=np.empty(size, np.int64),
        rows=table,
        floats=table.view(np.float64),
        bounds=np.zeros(SEGMENTS_MAX + 1, np.int64),
        segments=np.zeros(1, np.int64),
    )
