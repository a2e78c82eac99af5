"""Topics in Redis: the streams they have, and the field whose value decides.

A topic of one partition is the stream of its name; of n partitions the streams are `topic:0` … .
What a topic was declared as lies under the key `cep:topic:…` and stays; where nobody appends from
here, it is what the URL says, or the streams that there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from cep import limits
from cep.errors import SourceError, UsageError
from cep.log.redis_wire import Refused, Wire
from cep.log.topics import Topic, checked


@dataclass(frozen=True, slots=True)
class Said:
    """What a URL says of a topic, as text; None where it says nothing."""

    partitions: str | None
    key: str | None

    @property
    def count(self) -> int | None:
        """The number of partitions; raises UsageError for what is none."""
        if self.partitions is None:
            return None
        most = limits.PARTITIONS_MAX
        if not self.partitions.isdecimal() or not 1 <= int(self.partitions) <= most:
            raise UsageError(f"partitions={self.partitions}: use a number up to {most}")
        return int(self.partitions)


def streams(topic: Topic) -> tuple[str, ...]:
    """The keys of the partitions."""
    if topic.partitions == 1:
        return (topic.name,)
    return tuple(f"{topic.name}:{number}" for number in range(topic.partitions))


def find(wire: Wire, name: str, said: Said) -> Topic:
    """The topic as declared, else as said, else as many streams as there are."""
    known, count = declared(wire, name), said.count
    if known is not None:
        wanted = Topic(name, count or known.partitions, said.key or known.key)
        return _same(known, wanted)
    if count is None:
        count = _streams_there(wire, name)
    elif count > 1 and wire.ask("EXISTS", f"{name}:{count}"):
        raise UsageError(f"partitions={count}: there are more streams, {name}:{count} is one")
    if count == 1 and said.key is not None:
        raise UsageError(
            f"key={said.key}: say over how many streams events are spread, partitions=N"
        )
    return Topic(name, count, said.key or "")


def declared(wire: Wire, name: str) -> Topic | None:
    """The topic as it was declared, if it was."""
    try:
        text = wire.ask("GET", _place(name))
    except Refused as error:
        if error.code != "NOPERM":  # whoever may read nothing but streams may do without
            raise
        return None
    if text is None:
        return None
    try:
        found = orjson.loads(text)
        topic = Topic(name, int(found["partitions"]), str(found["key"]))
        return topic if topic == Topic(name) else checked(topic)
    except (ValueError, TypeError, KeyError, UsageError) as error:
        raise SourceError(f"{_place(name)} declares no topic: {text[:80]!r}") from error


def declare(wire: Wire, topic: Topic) -> None:
    """Makes the topic; raises UsageError when it is something else already."""
    if topic.partitions > 1:
        checked(topic)
    if wire.ask("EXISTS", topic.name):
        _same(Topic(topic.name), topic)
    text = orjson.dumps({"partitions": topic.partitions, "key": topic.key})
    if wire.ask("SET", _place(topic.name), text, "NX") is None:
        known = declared(wire, topic.name)
        if known is None:
            raise SourceError(f"{_place(topic.name)} is there, but cannot be read")
        _same(known, topic)


def whole(wire: Wire, name: str) -> Topic | None:
    """The declared topic that the stream `name` is a partition of."""
    of, _, number = name.rpartition(":")
    return declared(wire, of) if of and number.isdecimal() else None


def _same(known: Topic, wanted: Topic) -> Topic:
    if wanted != known:
        raise UsageError(f"there is a {known} already; it cannot become a {wanted}")
    return known


def _place(name: str) -> str:
    return f"cep:topic:{name}"


def _streams_there(wire: Wire, name: str) -> int:
    count = 0
    if not wire.ask("EXISTS", name):
        while count < limits.PARTITIONS_MAX and wire.ask("EXISTS", f"{name}:{count}"):
            count += 1
    return max(1, count)
