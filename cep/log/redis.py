"""Redis Streams as a log: `redis://host:port/db#topic`, also `rediss://` and `unix://`.

A topic is one stream of its name, or the streams `topic:0`, `topic:1`, …; a partition is a stream.
The field `data` of an entry holds one event as JSON, or several as NDJSON; an entry without it is
an event whose fields are texts.  Positions number the records from 0, so the store keeps a bookmark
beside each position (`cep.log.redis_place`).

In the URL's query, `partitions=N` says how many streams there are and `group=NAME` under which
consumer group progress is shown; the rest is for the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from urllib.parse import parse_qsl, urlencode

from cep.errors import UsageError
from cep.log.buffer import count_lines
from cep.log.lines import whole_lines
from cep.log.publishing import Appended, Share
from cep.log.redis_partition import Partition, Server
from cep.log.redis_wire import Refused, Unavailable, Wire, shown
from cep.log.routing import NO_IDS, EventIds
from cep.log.topics import Topic
from cep.ports import Records

_PARTITIONS_MAX = 1_024
_GROUP = "cep"
_OPTIONS: tuple[str, ...] = ("partitions", "group")


class RedisLog:
    """`follow`: the end of a stream means "nothing yet", and a server that goes is waited for.

    `notify` takes sentences for the operator.  Raises SourceError when the server is not there.
    """

    def __init__(
        self,
        url: str,
        topic: str,
        *,
        follow: bool = True,
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        url, own = _own_options(url)
        server = Server(url, shown(url), notify)
        try:
            with closing(server.connect()) as wire:
                topics = _streams(wire, topic, own.get("partitions"))
                for warning in warnings(wire):
                    notify(f"{server.name}: {warning}")
        except Refused as error:
            action = "connect" if isinstance(error, Unavailable) else "read"
            raise server.error(action, error) from error
        group = own.get("group", _GROUP)
        self.topic = Topic(topic, len(topics))
        self._partitions = {each: Partition(server, each, group, follow=follow) for each in topics}

    @property
    def partitions(self) -> tuple[str, ...]:
        return tuple(self._partitions)

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        return self._partitions[partition].read(position, max_records)

    def mark(self, partition: str) -> str:
        """Of the first entry; once it was trimmed, what the bookmark says it was."""
        return self._partitions[partition].mark()

    def end(self, partition: str) -> int:
        """Reads on from the last record known to the end."""
        return self._partitions[partition].end()

    def append(self, partition: str, data: bytes) -> None:
        """Appends NDJSON in one transaction, many records to an entry.

        It is as durable as the server's settings make it, and nobody counts up to the end.
        """
        if data:
            self._partitions[partition].append(whole_lines(data))

    def declare(self, topic: Topic) -> None:
        """There is nothing to make: a stream is there with its first entry."""
        if topic != self.topic:
            raise UsageError(f"{self.topic}: events go to one stream, they are not spread")

    def publish(self, data: bytes, ids: EventIds = NO_IDS) -> Appended:
        """Appends to the one stream; ids are not looked at, as Redis remembers none."""
        if len(self.partitions) > 1:
            first, last = self.partitions[0], self.partitions[-1]
            raise UsageError(
                f"{self.topic.name} has several streams: name one, #{first} to #{last}"
            )
        (partition,) = self.partitions
        if not data:
            return Appended({})
        data = whole_lines(data)
        self._partitions[partition].append(data)
        return Appended({partition: Share(count_lines(data), None)})

    def bookmark(self, partition: str, position: int) -> str:
        return self._partitions[partition].bookmark(position)

    def resume(self, partition: str, bookmark: str) -> None:
        if bookmark:
            self._partitions[partition].resume(bookmark)

    def committed(self, partition: str, bookmark: str) -> None:
        """Shown as the progress of the consumer group, up to which a stream may be trimmed."""
        if bookmark:
            self._partitions[partition].committed(bookmark)

    def close(self) -> None:
        for partition in self._partitions.values():
            partition.close()


def warnings(wire: Wire) -> Iterable[str]:
    """What of the server's settings may lose events that were acknowledged."""
    try:
        found = {
            name: value.decode()
            for setting in ("append*", "no-appendfsync-on-rewrite", "maxmemory-policy")
            for name, value in _pairs(wire.ask("CONFIG", "GET", setting))
        }
    except Refused:
        yield "its settings cannot be read: whether it keeps what it acknowledges is not known"
        return
    if found["appendonly"] != "yes" or found["appendfsync"] != "always":
        yield (
            "events that it acknowledged may be lost when it crashes: "
            "only with appendonly yes and appendfsync always they are not"
        )
    if found["no-appendfsync-on-rewrite"] == "yes":
        yield "no-appendfsync-on-rewrite yes defeats appendfsync while its file is rewritten"
    if found["maxmemory-policy"] != "noeviction":
        yield "maxmemory-policy is not noeviction: it may throw a stream away when it is full"


def _pairs(reply: list[bytes]) -> Iterable[tuple[str, bytes]]:
    return ((name.decode(), value) for name, value in zip(reply[::2], reply[1::2], strict=True))


def _own_options(url: str) -> tuple[str, dict[str, str]]:
    """The URL for the connection, and what of its query is for this program."""
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    own = {name: options.pop(name) for name in _OPTIONS if name in options}
    return f"{address}?{urlencode(options)}" if options else address, own


def _streams(wire: Wire, topic: str, partitions: str | None) -> list[str]:
    """The streams of a topic: as many as asked for, or those that there are."""
    if partitions is not None:
        if not partitions.isdigit() or not 1 <= int(partitions) <= _PARTITIONS_MAX:
            raise UsageError(f"partitions={partitions}: use a number up to {_PARTITIONS_MAX}")
        count = int(partitions)
        return [topic] if count == 1 else [f"{topic}:{number}" for number in range(count)]
    found: list[str] = []
    if not wire.ask("EXISTS", topic):
        while wire.ask("EXISTS", f"{topic}:{len(found)}") and len(found) < _PARTITIONS_MAX:
            found.append(f"{topic}:{len(found)}")
    return found or [topic]
