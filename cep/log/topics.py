"""Topics: how many partitions, and the field whose value decides; and those of the embedded log.

A topic that nobody declared has one partition, which bears its name; of n partitions the names are
`topic/0` … .  What a topic is made as, it stays: events that lie where another number of partitions
would not look for them could not be found.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cep import limits
from cep.errors import UsageError
from cep.store.tables import log_chunk, log_topic


@dataclass(frozen=True, slots=True)
class Topic:
    """`key` is the dotted path of the field; "" for a topic of one partition."""

    name: str
    partitions: int = 1
    key: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the partitions."""
        if self.partitions == 1:
            return (self.name,)
        return tuple(f"{self.name}/{number}" for number in range(self.partitions))

    def __str__(self) -> str:
        if self.partitions == 1:
            return f"topic {self.name} of one partition"
        return f"topic {self.name} of {self.partitions} partitions by {self.key}"


def checked(topic: Topic) -> Topic:
    """Raises UsageError for what no topic can be made as."""
    if not topic.name or "/" in topic.name:
        raise UsageError(f"not a topic: {topic.name!r} (a / stands before a partition's number)")
    if len(topic.name) > limits.TOPIC_CHARACTERS_MAX:
        raise UsageError(f"a topic's name has at most {limits.TOPIC_CHARACTERS_MAX} characters")
    if not 1 <= topic.partitions <= limits.PARTITIONS_MAX:
        raise UsageError(f"a topic has 1 to {limits.PARTITIONS_MAX} partitions")
    if topic.partitions > 1 and not all(topic.key.split(".")):
        raise UsageError("several partitions need the field whose value decides: --key FIELD")
    if topic.partitions == 1 and topic.key:
        raise UsageError("a topic of one partition has no --key")
    return topic


def known(connection: Connection, name: str) -> Topic | None:
    """The topic as it was declared, if it was."""
    row = connection.execute(select(log_topic).where(log_topic.c.topic == name)).one_or_none()
    return None if row is None else Topic(name, row.partitions, row.key)


def declare(connection: Connection, topic: Topic) -> None:
    """Makes the topic; raises UsageError when it is something else already."""
    before = known(connection, topic.name)
    if before is None:
        used = select(log_chunk.c.position).where(log_chunk.c.topic == topic.name).limit(1)
        if topic.partitions > 1 and connection.execute(used).first() is not None:
            before = Topic(topic.name)
    if before is not None and before != topic:
        raise UsageError(f"there is a {before} already; it cannot become a {topic}")
    if before is None:
        connection.execute(
            insert(log_topic).values(topic=topic.name, partitions=topic.partitions, key=topic.key)
        )
