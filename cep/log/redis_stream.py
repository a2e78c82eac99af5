"""Records of one stream from a place on, read by position with XRANGE.

Each request asks, in one transaction, how the stream stands and for the entries behind the last one
read: what was trimmed before it was read is noticed at once, and nothing is skipped.  The
next request is sent as soon as a reply came in full, so the server works while records are folded.
"""

from __future__ import annotations

from cep import limits
from cep.log.lines import LineReader
from cep.log.redis_entries import DONE, FULL, MORE, Entries
from cep.log.redis_place import Origin, Places, StreamInfo, check
from cep.log.redis_wire import Refused, Unavailable, Wire, refusal
from cep.ports import Records

_FIRST_COUNT = 16  # entries of the first request: how large they are is not known yet
_GROWTH_MAX = 8


class StreamReader:
    """Reads behind the newest of `places`, where further ones are added.

    Raises Unavailable when the server is gone; then the reader is of no more use.
    """

    def __init__(self, wire: Wire, topic: str, places: Places, origin: Origin) -> None:
        self.origin = origin
        self._wire = wire
        self._topic = topic
        self._places = places
        self._lines = LineReader(self._read_block, places.newest.position)
        self._entries = Entries()
        self._asked = 0  # entries that the request on its way asks for
        self._left: int | None = None  # entries of the reply that is being read
        self._count = _FIRST_COUNT

    @property
    def position(self) -> int:
        return self._lines.position

    def skip_to(self, position: int) -> bool:
        """Drops records until `position` is next; False when they are not all there."""
        return self._lines.skip_to(position)

    def next(self, max_records: int) -> Records:
        records = self._lines.next(max_records)
        assert records is not None  # a stream has no end
        return records

    def close(self) -> None:
        self._wire.close()

    def _read_block(self, size: int) -> bytes | None:
        entries = self._entries
        while entries.made < size:
            if self._left is None:
                self._begin_reply()
            if not self._take():
                break
        return entries.block() or None

    def _take(self) -> bool:
        """Takes in what there is of the reply; False when it is over and was the last for now."""
        entries, wire = self._entries, self._wire
        why, wire.begin = entries.take(wire.bytes, wire.begin, wire.end)
        if why == MORE:
            wire.fill()
        elif why == DONE:
            return self._end_reply()
        elif why != FULL:
            raise Unavailable("the reply to XRANGE is not a list of entries")
        return True

    def _ask(self) -> None:
        self._asked = self._count
        after = self._places.newest.after
        self._wire.send(
            ("MULTI",),
            ("XINFO", "STREAM", self._topic),
            ("XRANGE", self._topic, f"({after}", "+", "COUNT", self._count),
            ("EXEC",),
        )

    def _begin_reply(self) -> None:
        if not self._asked:
            self._ask()
        wire = self._wire
        queued = [wire.reply() for _ in range(3)]  # MULTI and the two commands
        kind, rest = wire.header()
        if kind == b"-":  # the reply to the command that was refused says why
            refusals = [reply for reply in queued if isinstance(reply, Refused)]
            raise refusals[0] if refusals else refusal(rest.decode())
        info = StreamInfo.of(wire.reply())
        self.origin = self.origin.seen(info)
        check(self._topic, info, self._places.newest, self.origin)
        kind, rest = wire.header()
        if kind == b"-":
            raise refusal(rest.decode())
        self._left = int(rest)
        self._entries.begin(self._left)

    def _end_reply(self) -> bool:
        full = self._left == self._asked
        self._asked, self._left = 0, None
        self._places.add(self._entries.ended())
        if full:
            aim = limits.REDIS_REPLY_BYTES * self._count // max(1, self._entries.size)
            most = min(_GROWTH_MAX * self._count, limits.BATCH_RECORDS_MAX)
            self._count = max(1, min(aim, most))
            self._ask()
        return full
