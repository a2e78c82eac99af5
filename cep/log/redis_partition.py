"""One stream as a partition of a log: its reader, its bookmarks, the way back after an outage.

Everything that may fail with the server's connection is here: a follower waits and connects again,
and a new reader goes on behind the last record handed out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from cep import limits
from cep.errors import SourceError
from cep.log.redis_place import EntryId, Origin, Place, Places, StreamInfo, check, place_of
from cep.log.redis_stream import StreamReader
from cep.log.redis_wire import Refused, Unavailable, Wire
from cep.ports import Records

Notify = Callable[[str], None]


class Server:
    """Where connections are made; `name` is its URL without secrets."""

    def __init__(self, url: str, name: str, notify: Notify) -> None:
        self.name = name
        self.notify = notify
        self._url = url
        self._delay_ms = 0
        self._next_seconds = 0.0

    def connect(self, before: Wire | None = None) -> Wire:
        """A connection; `before` is used again when it still stands."""
        if before is not None and not before.lost:
            return before
        if before is not None:
            before.close()
        return Wire(self._url)

    def error(self, action: str, error: Exception) -> SourceError:
        return SourceError(f"{self.name}: cannot {action}: {error}")

    @property
    def is_out(self) -> bool:
        """Whether it is too early to try again."""
        return self._delay_ms > 0 and time.monotonic() < self._next_seconds

    def failed(self, error: Unavailable) -> None:
        """Said once for an outage; attempts become rarer."""
        if not self._delay_ms:
            self.notify(f"{self.name} is not there: {error}; waiting for it")
        self._delay_ms = min(2 * self._delay_ms + 50, limits.REDIS_RETRY_INTERVAL_MS_MAX)
        self._next_seconds = time.monotonic() + self._delay_ms / 1000

    def worked(self) -> None:
        if self._delay_ms:
            self.notify(f"{self.name} is there again")
        self._delay_ms = 0


class Partition:
    """`topic` is the key of the stream; one thread reads, others may ask for the end."""

    def __init__(self, server: Server, topic: str, group: str, *, follow: bool) -> None:
        self.topic = topic
        self._server = server
        self._follow = follow
        self._progress = Progress(server, topic, group)
        self._places: Places | None = None  # until the stream was looked at
        self._origin = Origin()
        self._reader: StreamReader | None = None
        self._counter: StreamReader | None = None
        self._counter_wire: Wire | None = None
        self._counting = threading.Lock()

    # ------------------------------------------------------------------------------------ reading

    def read(self, position: int, max_records: int) -> Records | None:
        records = Records(position, b"", 0)
        if self._server.is_out:
            return records
        try:
            records = self._read(position, max_records)
        except (Refused, SourceError) as error:
            self._drop_reader()  # it may be in the middle of a reply
            if isinstance(error, SourceError):
                raise
            if not self._follow or not isinstance(error, Unavailable):
                raise self._server.error("read", error) from error
            self._server.failed(error)
            return records
        self._server.worked()
        self._progress.show()
        return records if records.count or self._follow else None

    def _read(self, position: int, max_records: int) -> Records:
        reader = self._reader
        if reader is None or reader.position > position:
            reader = self._open(position)
        if not reader.skip_to(position):
            raise SourceError(
                f"{self.topic} ends at record {reader.position}, before record {position}"
            )
        records = reader.next(max_records)
        self._origin = reader.origin
        return records

    def _open(self, position: int) -> StreamReader:
        """A reader of a place before `position`."""
        self._drop_reader()
        wire = self._server.connect()
        places = self._places or self._begin(wire)
        place = places.before(position)
        if place.position > position:
            places = Places(Place(EntryId(), 0, self._origin.removed))
        else:
            places.go_back(place)
        self._places = places
        self._reader = StreamReader(wire, self.topic, places, self._origin)
        return self._reader

    def _begin(self, wire: Wire) -> Places:
        """Of a stream without a bookmark."""
        place, self._origin = self._look(wire)
        if place.entries:
            self._server.notify(
                f"{self.topic}: {place.entries} entries were removed before it was first read"
            )
        self._places = Places(place)
        return self._places

    def _look(self, wire: Wire) -> tuple[Place, Origin]:
        """The place before the first entry that is there now."""
        info = self._info(wire)
        return Place(EntryId(), 0, info.removed), Origin.of(info)

    def _info(self, wire: Wire) -> StreamInfo:
        wire.send(("XINFO", "STREAM", self.topic))
        return StreamInfo.of(wire.reply())

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    # ---------------------------------------------------------------------------------- bookmarks

    def resume(self, bookmark: str) -> None:
        place, self._origin = place_of(bookmark)
        self._places = Places(place)

    def bookmark(self, position: int) -> str:
        return self._places.before(position).bookmark(self._origin) if self._places else ""

    def committed(self, bookmark: str) -> None:
        place, _ = place_of(bookmark)
        if self._places is not None:
            self._places.forget_before(place.position)
        self._progress.place = place

    def reached(self) -> str:
        """See `Log.reached`."""
        try:
            with closing(self._server.connect()) as wire:
                shown = self._progress.shown(wire)
        except Refused as error:
            raise self._server.error("read", error) from error
        if shown is None:
            return ""
        return (
            f"consumer group {self._progress.group!r} of stream {self.topic!r} says that entry "
            f"{shown} was reached. To begin anew, remove it: XGROUP DESTROY {self.topic} "
            f"{self._progress.group}. A second store needs a group of its own: ?group=NAME"
        )

    def mark(self) -> str:
        if self._reader is not None and self._origin.mark:
            return self._origin.mark
        try:
            with closing(self._server.connect()) as wire:
                places = self._places or self._begin(wire)
                info = self._info(wire)
        except Refused as error:
            raise self._server.error("read", error) from error
        check(self.topic, info, places.newest, self._origin)
        return self._origin.mark_now(info)

    def end(self, bookmark: str) -> int:
        """Counts on from the last record known: here, or in `bookmark`."""
        with self._counting:
            try:
                return self._count(bookmark)
            except (Refused, SourceError) as error:
                self._drop_counter()
                if isinstance(error, SourceError):
                    raise
                raise self._server.error("read", error) from error

    def _count(self, bookmark: str) -> int:
        before, counter = self._counter_wire, self._counter
        wire = self._counter_wire = self._server.connect(before)
        if self._places is not None:
            newest, origin = self._places.newest, self._origin
        elif bookmark:
            newest, origin = place_of(bookmark)
        else:
            newest, origin = self._look(wire)
        if counter is None or wire is not before or counter.position < newest.position:
            counter = StreamReader(wire, self.topic, Places(newest), origin)
            self._counter = counter
        while counter.next(limits.BATCH_RECORDS_MAX).count:
            pass
        return counter.position

    def _drop_counter(self) -> None:
        if self._counter_wire is not None:
            self._counter_wire.close()
        self._counter = self._counter_wire = None

    def close(self) -> None:
        self._progress.show(at_once=True)
        self._drop_reader()
        self._drop_counter()
        self._progress.close()


class Progress:
    """Shows how far the store has come, as the consumer group of the stream; best effort."""

    def __init__(self, server: Server, topic: str, group: str) -> None:
        self.place: Place | None = None  # not shown yet
        self._server = server
        self._topic = topic
        self.group = group
        self._wire: Wire | None = None
        self._next_seconds = 0.0
        self._told = False

    def show(self, *, at_once: bool = False) -> None:
        place = self.place
        if place is None or not (at_once or time.monotonic() >= self._next_seconds):
            return
        self.place = None
        self._next_seconds = time.monotonic() + limits.REDIS_PROGRESS_INTERVAL_MS / 1000
        try:
            self._wire = self._server.connect(self._wire)
            self._set(self._wire, place)
        except Refused as error:
            self.close()
            if not self._told and not isinstance(error, Unavailable):
                self._server.notify(
                    f"{self._topic}: progress is not shown as consumer group {self.group!r}: "
                    f"{error}"
                )
                self._told = True

    def shown(self, wire: Wire) -> EntryId | None:
        """Up to which entry a store has said to have come."""
        try:
            groups = wire.ask("XINFO", "GROUPS", self._topic)
        except Refused as error:
            if "no such key" in str(error):
                return None
            raise
        for group in groups:
            known = dict(zip(group[::2], group[1::2], strict=True))
            if known[b"name"] == self.group.encode():
                shown = EntryId.of(known[b"last-delivered-id"])
                return None if shown == EntryId() else shown
        return None

    def _set(self, wire: Wire, place: Place) -> None:
        rest = (self._topic, self.group, str(place.after), "ENTRIESREAD", place.entries)
        try:
            wire.ask("XGROUP", "SETID", *rest)
        except Refused as error:
            if error.code != "NOGROUP":
                raise
            wire.ask("XGROUP", "CREATE", *rest)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None
