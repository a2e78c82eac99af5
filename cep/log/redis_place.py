"""Places in a stream: which entry a position follows, and whether what comes behind is all there.

Redis numbers entries by time, this program numbers records from 0.  A `Place` ties the two
together; the bookmark of a checkpoint is one as JSON.  `entries` counts what was ever added up to
there, as `entries-added` of XINFO STREAM does, so that what was trimmed can be told from what never
was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cep import limits
from cep.errors import SourceError
from cep.log.redis_wire import Refused
from cep.ports import mark_of


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    ms: int = 0
    sequence: int = 0

    @staticmethod
    def of(text: bytes | str) -> EntryId:
        ms, _, sequence = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return EntryId(int(ms), int(sequence))

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}"


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What XINFO STREAM says; a stream that is not there is one without entries."""

    length: int = 0
    added: int = 0
    last: EntryId = EntryId()
    deleted: EntryId = EntryId()  # the newest entry that XDEL took out
    first: EntryId | None = None
    mark: str = ""  # of the first entry there is

    @staticmethod
    def of(reply: Any) -> StreamInfo:
        """Raises the reply when it is a refusal."""
        if isinstance(reply, Refused):
            if "no such key" in str(reply):
                return StreamInfo()
            raise reply
        known = dict(zip(reply[::2], reply[1::2], strict=True))
        if b"entries-added" not in known:
            raise SourceError("Redis 7 or newer is needed: older ones do not count what was added")
        entry = known[b"first-entry"]
        return StreamInfo(
            known[b"length"],
            known[b"entries-added"],
            EntryId.of(known[b"last-generated-id"]),
            EntryId.of(known[b"max-deleted-entry-id"]),
            EntryId.of(entry[0]) if entry else None,
            mark_of(b" ".join([entry[0], *entry[1]])) if entry else "",
        )

    @property
    def removed(self) -> int:
        """Entries that were trimmed or deleted."""
        return self.added - self.length


@dataclass(frozen=True, slots=True)
class Origin:
    """What tells the stream from another one of its name, as first seen.

    `removed` entries were gone by then, the newest one taken out by XDEL being `deleted`; `mark` is
    of the first entry behind them.
    """

    removed: int = 0
    deleted: EntryId = EntryId()
    mark: str = ""

    @staticmethod
    def of(info: StreamInfo) -> Origin:
        return Origin(info.removed, info.deleted, info.mark)

    def seen(self, info: StreamInfo) -> Origin:
        """With the mark, once there is a first entry to take it from."""
        if self.mark or info.removed != self.removed:
            return self
        return Origin(self.removed, self.deleted, info.mark)

    def mark_now(self, info: StreamInfo) -> str:
        """The mark of what `info` is about; that of the origin when its entry was trimmed."""
        return info.mark if info.removed == self.removed else self.mark


@dataclass(frozen=True, slots=True)
class Place:
    """Behind entry `after`, the record at `position` comes next."""

    after: EntryId
    position: int
    entries: int

    def bookmark(self, origin: Origin) -> str:
        return orjson.dumps(
            {
                "after": str(self.after),
                "position": self.position,
                "entries": self.entries,
                "removed": origin.removed,
                "deleted": str(origin.deleted),
                "mark": origin.mark,
            }
        ).decode()


def place_of(bookmark: str) -> tuple[Place, Origin]:
    """What `Place.bookmark` wrote; raises SourceError for any other text."""
    try:
        found: Mapping[str, Any] = orjson.loads(bookmark)
        place = Place(EntryId.of(found["after"]), int(found["position"]), int(found["entries"]))
        deleted = EntryId.of(found["deleted"])
        return place, Origin(int(found["removed"]), deleted, str(found["mark"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"the store has no bookmark of a Redis stream: {bookmark!r}") from error


def check(topic: str, info: StreamInfo, place: Place, origin: Origin) -> None:
    """Raises SourceError unless all that was added behind `place` is still there."""
    way_out = (
        "Bring the stream back from a copy, or give up what is missing: start with another store, "
        "or under another topic"
    )
    if info.added < place.entries or info.last < place.after:
        raise SourceError(
            f"{topic} went back: {info.added} entries were added up to {info.last}, but "
            f"{place.entries} up to {place.after} were read. It was flushed or deleted, the server "
            f"lost its newest writes, or it is another stream. {way_out}"
        )
    all_passed = info.first is None or info.first > place.after
    if all_passed and info.removed < place.entries:
        raise SourceError(
            f"{topic} is another stream: {info.removed} entries were removed from it, but "
            f"{place.entries} were read, and none of them is there. {way_out}"
        )
    if all_passed and info.removed > place.entries:
        raise SourceError(
            f"{topic}: {info.removed - place.entries} entries behind {place.after} were removed "
            f"before they were read (or while their events waited for the watermark). {way_out}; "
            "and trim only up to where the consumer group stands"
        )
    if info.deleted > place.after and info.deleted != origin.deleted:
        raise SourceError(
            f"{topic}: entries behind {place.after} were deleted before they were read, "
            f"{info.deleted} at least. {way_out}"
        )


class Places:
    """Places behind the entries read so far: every one of the newest, some of the older ones."""

    def __init__(self, start: Place) -> None:
        self.start = self.newest = start
        # A column for each place: ms and sequence of the ID, position, entries.
        self._columns = np.empty((4, 0), np.uint64)
        self._begin = self._end = 0  # of the columns in use

    def add(self, ended: NDArray[np.uint64]) -> None:
        """Further entries: ms, sequence, lines up to their end, counted from the newest place."""
        count = len(ended)
        if not count:
            return
        if self._end + count > self._columns.shape[1]:
            self._make_room(count)
        added = self._columns[:, self._end : self._end + count]
        added[:3] = ended.T
        added[2] += np.uint64(self.newest.position)
        added[3] = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(self.newest.entries)
        self._end += count
        self.newest = self._place(self._end - 1)

    def _make_room(self, count: int) -> None:
        known = self._columns[:, self._begin : self._end]
        if known.shape[1] + count > limits.REDIS_BOOKMARKS_MAX:
            known = known[:, 1::2]
        self._begin, self._end = 0, known.shape[1]
        self._columns = np.empty((4, 2 * (self._end + count)), np.uint64)
        self._columns[:, : self._end] = known

    def before(self, position: int) -> Place:
        """The last place known from which `position` can be reached."""
        column = self._column(position)
        return self.start if column < self._begin else self._place(column)

    def go_back(self, place: Place) -> None:
        """Reading goes on behind `place`, which is one of those here."""
        self._end = self._column(place.position) + 1
        self.newest = place

    def forget_before(self, position: int) -> None:
        """Positions before this one will not be asked for."""
        column = self._column(position)
        if column >= self._begin:
            self.start = self._place(column)
            self._begin = column + 1

    def _column(self, position: int) -> int:
        """The last one whose place is not behind `position`, else the one before the first."""
        positions = self._columns[2, self._begin : self._end]
        return self._begin - 1 + int(np.searchsorted(positions, np.uint64(position), side="right"))

    def _place(self, column: int) -> Place:
        ms, sequence, position, entries = (int(value) for value in self._columns[:, column])
        return Place(EntryId(ms, sequence), position, entries)
