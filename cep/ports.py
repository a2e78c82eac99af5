"""Every effect of the engine as a small protocol: clock, log, store.

The fold itself (`cep.fold`) uses none of them; only the loop in `cep.engine` does.  A position is
the number of a record in its partition, from 0; a blank line of a file has a number too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, Protocol

from cep import limits


class Clock(Protocol):
    """Wall clock; it may decide when to commit or poll, never what is detected."""

    def now_ms(self) -> int: ...

    def sleep_ms(self, duration_ms: int) -> None: ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        time.sleep(duration_ms / 1000)


# ---------------------------------------------------------------------------------- log


def mark_of(first_record: bytes) -> str:
    """The mark of a log whose first record begins with these bytes; "" for none."""
    head = first_record[: limits.SOURCE_MARK_BYTES]
    return blake2b(head.rstrip(b"\r\n"), digest_size=8).hexdigest() if head else ""


@dataclass(frozen=True, slots=True)
class Oversized:
    """A record longer than `limits.LINE_BYTES_MAX`; its line in `Records.data` is blank."""

    position: int
    size_bytes: int
    head: bytes  # the first limits.DEAD_LETTER_RAW_BYTES of it


class Ingest(NamedTuple):
    """Records from `first_position` on came into the log at `recorded_ms`.

    Events among them that are later than `latest_ms` are quarantined.
    """

    first_position: int
    recorded_ms: int
    latest_ms: int


@dataclass(frozen=True, slots=True)
class Records:
    """`count` consecutive records: line k of `data` (NDJSON) has position `first_position + k`.

    `ingests` is empty where the log does not know when they came.  `tick_ms` makes it a tick, one
    record with a blank line: the watermark moves there without an event.
    """

    first_position: int
    data: bytes
    count: int
    oversized: tuple[Oversized, ...] = ()
    ingests: tuple[Ingest, ...] = ()
    tick_ms: int | None = None

    @property
    def end_position(self) -> int:
        return self.first_position + self.count


class Log(Protocol):
    """An ordered, numbered sequence of records per partition."""

    @property
    def partitions(self) -> tuple[str, ...]: ...

    def read(self, partition: str, position: int, max_records: int) -> Records | None:
        """At most `max_records` records from `position` on; count 0: none yet; None: the end.

        Raises `SourceError` when the log is gone, ends before `position`, cannot go back to it, or
        has lost records from there on.
        """
        ...

    def begin(self, partition: str) -> int:
        """The position to begin to read at, for who has read nothing: of the first record there is.

        It is not 0 when records were removed and the log knows their number.
        """
        ...

    def reached(self, partition: str) -> str:
        """Up to where a store has said to have come, in words for an operator; "" if none has."""
        ...

    def mark(self, partition: str) -> str:
        """What tells this log from another one: a hash of its first record; "" before there is one.

        Does not move a log that can only be read forwards.
        """
        ...

    def end(self, partition: str, bookmark: str = "") -> int:
        """The position the next appended record will have.

        `bookmark`, one of those committed, spares a log that is read elsewhere counting from the
        beginning.
        """
        ...

    def append(self, partition: str, data: bytes) -> range | None:
        """Appends NDJSON in one transaction; the positions the records got, if the log knows."""
        ...

    def bookmark(self, partition: str, position: int) -> str:
        """Where to begin to read `position` and what follows; "" for a log that needs no help.

        `position` is not before the last one given to `committed`.
        """
        ...

    def resume(self, partition: str, bookmark: str) -> None:
        """Before the first read: what `bookmark` gave in an earlier run."""
        ...

    def committed(self, partition: str, bookmark: str) -> None:
        """Nothing before the bookmark will be read again.  Raises nothing."""
        ...

    def close(self) -> None: ...


# ---------------------------------------------------------------------------------- store


CAPPED_OF = "capped/"


def capped_of(rule: str) -> str:
    """The counter of partial matches that one rule was refused at a limit; there is none of 0."""
    return CAPPED_OF + rule


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the fold of one partition stands.

    `position` is the next record to read.  Records before it that still wait for the watermark
    start at `resume_position`.  `rules` maps each rule to its pattern version: the state in the
    pages belongs to those.  `counters` are those of the fold and what single rules were refused
    (`capped_of`).  `source` tells the log it came from apart from another ("": unknown).
    `bookmark` is the log's own word for `resume_position`.
    """

    position: int = 0
    resume_position: int = 0
    watermark_ms: int = limits.BEGINNING_OF_TIME_MS
    rules: Mapping[str, str] | None = None
    counters: Mapping[str, int] | None = None
    source: str = ""
    bookmark: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a partition, and the state it was left in.

    `pages` are the state as of `checkpoint`, which is None for a partition never written.  What was
    detected in the records before `position` is committed, too.
    """

    partition: str
    epoch: int
    checkpoint: Checkpoint | None
    pages: Mapping[str, bytes]
    position: int = 0


class DetectionRow(NamedTuple):
    """A rendered detection; `body` is its JSON as printed, `destinations` its outbox rows.

    One in `shadow` tells nobody.
    """

    id: str
    rule: str
    version: str
    severity: str
    at_ms: int
    suppressed_by: str | None
    body: bytes
    destinations: tuple[str, ...]
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class ResolutionRow:
    """The fact that what `rule` detected for `key` is over, as of the event at `position`.

    Where time resolved a window, that is the newest event that was in it.  `key` is the JSON object
    that detections of the rule have.  It concerns the detections of that rule and key that were
    made before; it changes none of them.
    """

    id: str
    rule: str
    key: bytes
    at_ms: int
    position: int


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A record that could not become an event; `raw` is cut to the limit."""

    position: int
    reason: str
    raw: bytes


class LateRow(NamedTuple):
    """An event below the watermark when it came; `raw` is cut as that of a dead letter."""

    position: int
    ts_ms: int
    watermark_ms: int
    raw: bytes


class ActivationRow(NamedTuple):
    """The partition runs the rules of a deployment for the records from `position` on.

    `watermark_ms` is event time there; `dropped` partial matches of old versions were let go,
    `leaving` ones go on beside them.  With `refused`, the reason, nothing has changed.
    """

    deployment: int
    position: int
    watermark_ms: int
    dropped: int = 0
    leaving: int = 0
    refused: str | None = None


class Store(Protocol):
    """Durable state of partitions.  Everything a step changed is written in one transaction."""

    def acquire(self, partition: str) -> Lease:
        """Takes the partition over: any earlier writer's commit now raises `StaleWriter`.

        Raises `StoreError` for state of another format, or state that is damaged.
        """
        ...

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        pages: Mapping[str, bytes] | None,
        detections: Sequence[DetectionRow],
        dead_letters: Sequence[DeadLetterRow],
        resolutions: Sequence[ResolutionRow] = (),
        late: Sequence[LateRow] = (),
        activations: Sequence[ActivationRow] = (),
        state: Checkpoint | None = None,
    ) -> None:
        """All or nothing.  A page with empty data is removed; a known id is kept as is.

        Without `pages` the state is told by the log: that of the last commit with pages, and the
        records from there to `checkpoint.position` folded in.  So it is with pages as of `state`,
        an earlier checkpoint than the one that is committed.

        Raises `StaleWriter` when the lease's epoch is no longer the newest, `StoreError` when the
        store cannot be written.
        """
        ...

    def pages(self, lease: Lease) -> Mapping[str, bytes]:
        """All pages as the last commit left them; raises as `commit` does."""
        ...

    def close(self) -> None: ...
