"""Redis Streams as a log: `redis://host:port/db#topic`, also `rediss://` and `unix://`.

A topic is one stream of its name, or the streams `topic:0`, `topic:1`, …; a partition is a stream.
The field `data` of an entry holds one event as JSON, or several as NDJSON; an entry without it is
an event whose fields are texts.  Positions number the records from 0, so the store keeps a bookmark
beside each position (`cep.log.redis_place`).

In the URL's query, `partitions=N` says how many streams there are, `key=FIELD` the field whose
value decides (`cep.log.redis_topic`), `group=NAME` under which consumer group progress is shown;
the rest is for the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext, suppress
from urllib.parse import parse_qsl, urlencode

from cep.errors import SourceError, UsageError
from cep.log.buffer import count_lines
from cep.log.lines import whole_lines
from cep.log.publishing import Appended, Share
from cep.log.redis_append import Appender
from cep.log.redis_partition import Partition, Server
from cep.log.redis_topic import Said, declare, declared, find, streams, whole
from cep.log.redis_wire import Refused, Unavailable, Wire, shown
from cep.log.routing import NO_IDS, EventIds, placed
from cep.log.topics import Topic
from cep.ports import Records

_GROUP = "cep"
_OPTIONS: tuple[str, ...] = ("partitions", "key", "group")


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
        said = Said(own.get("partitions"), own.get("key"))
        self._server = Server(url, shown(url), notify)
        self._group = own.get("group", _GROUP)
        self._follow = follow
        self._appender = Appender(self._server)
        try:
            with closing(self._server.connect()) as wire:
                self._become(find(wire, topic, said))
                self._declared = declared(wire, topic) is not None
                self._whole = whole(wire, topic)
                for warning in warnings(wire):
                    notify(f"{self._server.name}: {warning}")
        except Refused as error:
            action = "connect" if isinstance(error, Unavailable) else "read"
            raise self._server.error(action, error) from error
        self._looked = said.partitions is None and not self._declared

    @property
    def partitions(self) -> tuple[str, ...]:
        return tuple(self._partitions)

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        return self._partitions[partition].read(position, max_records)

    def reached(self, partition: str) -> str:
        """What the consumer group shows."""
        return self._partitions[partition].reached()

    def mark(self, partition: str) -> str:
        """Of the first entry; once it was trimmed, what the bookmark says it was."""
        return self._partitions[partition].mark()

    def end(self, partition: str, bookmark: str = "") -> int:
        """Reads on to the end, from the last record known or from the bookmark."""
        return self._partitions[partition].end(bookmark)

    def append(self, partition: str, data: bytes) -> None:
        """Appends NDJSON in one transaction, many records to an entry.

        It is as durable as the server's settings make it, and nobody counts up to the end.
        """
        if data:
            self._appender.append({partition: whole_lines(data)})

    def declare(self, topic: Topic) -> None:
        """See `TopicLog`; of one stream it is not needed, and left where it may not be done."""
        single = topic.partitions == 1
        if topic == self.topic and self._looked and not single:
            raise UsageError(
                f"{topic.name}: {topic.partitions} streams are there, more may come: "
                "say how many, ?partitions=N"
            )
        with suppress(SourceError) if single else nullcontext():
            self._appender.ask("make the topic", lambda wire: declare(wire, topic))
        self._declared = True
        if topic != self.topic:  # nobody reads yet
            self._become(topic)

    def publish(self, data: bytes, ids: EventIds = NO_IDS) -> Appended:
        """See `TopicLog`; but ids are not looked at, as nothing here remembers them."""
        if self._whole is not None:
            raise UsageError(f"{self.topic.name} is one stream of {self._whole}: append to all")
        if not self._declared:
            self.declare(self.topic)
        if not data:
            return Appended({})
        parts = self._parts(whole_lines(data))
        self._appender.append(parts)
        return Appended({name: Share(count_lines(part), None) for name, part in parts.items()})

    def _parts(self, data: bytes) -> dict[str, bytes]:
        """The lines by stream."""
        if self.topic.partitions == 1:
            return {self.topic.name: data}
        parts = placed(data, self.topic, NO_IDS).parts(left_out=())
        return {self.partitions[place]: b"\n".join(lines) + b"\n" for place, lines in parts.items()}

    def begin(self, partition: str) -> int:
        return 0  # numbers what is there

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
        self._appender.close()

    def _become(self, topic: Topic) -> None:
        self.topic = topic
        self._partitions = {
            stream: Partition(self._server, stream, self._group, follow=self._follow)
            for stream in streams(topic)
        }


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
