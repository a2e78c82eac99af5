"""Logs that take events in: a topic, and events that go to the partitions they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cep.log.routing import EventIds
from cep.log.topics import Topic
from cep.ports import Log


@dataclass(frozen=True, slots=True)
class Share:
    """What a partition got; `first_position` is None where the log does not number events."""

    count: int
    first_position: int | None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where events went, by partition; `duplicates` were there already."""

    shares: Mapping[str, Share]
    duplicates: int = 0

    @property
    def count(self) -> int:
        return sum(share.count for share in self.shares.values())


@runtime_checkable
class TopicLog(Log, Protocol):
    """`topic` says how many partitions there are, and the field that decides."""

    @property
    def topic(self) -> Topic: ...

    def declare(self, topic: Topic) -> None:
        """Makes the topic of this log; raises UsageError when it is something else already."""
        ...

    def publish(self, data: bytes, ids: EventIds = ...) -> Appended:
        """Appends NDJSON to the partitions the events belong to, in one transaction.

        Those that say an id (`ids`) that is known are left out and counted.
        """
        ...
