"""Read-only listings of a store, in pages: detections, dead letters, late events, counters.

A cursor is the last row's sequence (or position) of the page before; rows come in the order they
were committed.  Nothing here takes the write lock of an SQLite store.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import orjson
from sqlalchemy import ColumnElement, Engine, func, select

from cep import limits
from cep.errors import StoreError, UsageError
from cep.ports import CAPPED_OF
from cep.store import checksums
from cep.store.connect import reading
from cep.store.failures import named_errors
from cep.store.tables import checkpoint, dead_letter, detection, late, outbox, page, resolution


@dataclass(frozen=True, slots=True)
class StoredDetection:
    sequence: int
    id: str
    rule: str
    at_ms: int
    severity: str
    suppressed_by: str | None
    body: bytes  # JSON


@dataclass(frozen=True, slots=True)
class StoredResolution:
    """See `cep.ports.ResolutionRow`."""

    sequence: int
    id: str
    rule: str
    key: bytes  # JSON
    at_ms: int
    position: int


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    partition: str
    position: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class StoredLate:
    """See `cep.ports.LateRow`."""

    partition: str
    position: int
    ts_ms: int
    watermark_ms: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    partition: str
    position: int
    watermark_ms: int
    epoch: int
    counters: dict[str, int]
    bookmark: str


@dataclass(frozen=True, slots=True)
class StoredPages:
    """Pages of a partition's last checkpoint, which stands at `position`."""

    partition: str
    position: int
    watermark_ms: int
    pages: dict[str, bytes]


def pages_of_rule(engine: Engine, rule: str, bytes_max: int | None = None) -> list[StoredPages]:
    """The pages that the partial matches of a rule are in, of each partition that has a state.

    They and the place they stand at are read by one statement.  Raises StoreError for another
    format, UsageError when they have more than `bytes_max`.
    """
    own = (
        page.c.name.in_((f"rule/{rule}", "strata", "deployment"))
        | page.c.name.startswith(f"rule/{rule}/", autoescape=True)
        | page.c.name.startswith("starts/")
    )
    joined = checkpoint.join(page, checkpoint.c.partition == page.c.partition)
    with reading(engine) as connection:
        if bytes_max is not None:
            size = select(func.sum(func.length(page.c.data))).where(own)
            if (connection.execute(size).scalar_one_or_none() or 0) > bytes_max:
                raise UsageError(
                    f"the partial matches of {rule} have more than {bytes_max >> 20} MiB, "
                    "which is more than is read for one answer"
                )
        query = (
            select(
                checkpoint.c.partition,
                checkpoint.c.state_position,
                checkpoint.c.state_watermark_ms,
                checkpoint.c.format,
                page.c.name,
                page.c.data,
            )
            .select_from(joined)
            .where(own)
            .order_by(checkpoint.c.partition)
        )
        found: dict[str, StoredPages] = {}
        for partition, position, watermark_ms, form, name, data in connection.execute(query):
            if form != limits.CHECKPOINT_FORMAT:
                raise StoreError(f"the checkpoint of {partition!r} has another format: {form}")
            pages = StoredPages(partition, position, watermark_ms, {})
            found.setdefault(partition, pages).pages[name] = bytes(data)
        return list(found.values())


def detections(
    engine: Engine,
    *,
    after: int = 0,
    limit: int = 100,
    rule: str | None = None,
    newest_first: bool = False,
) -> list[StoredDetection]:
    """At most `limit` detections with a sequence above `after`, oldest first; or the newest first,
    with one below it."""
    behind = detection.c.sequence < after if newest_first else detection.c.sequence > after
    order = detection.c.sequence.desc() if newest_first else detection.c.sequence
    query = select(
        detection.c.sequence,
        detection.c.id,
        detection.c.rule,
        detection.c.at_ms,
        detection.c.severity,
        detection.c.suppressed_by,
        detection.c.body,
    ).where(behind)
    if rule is not None:
        query = query.where(detection.c.rule == rule)
    query = query.order_by(order).limit(_page_size(limit))
    with reading(engine) as connection:
        return [StoredDetection(*row) for row in connection.execute(query)]


def detection_body(engine: Engine, id: str) -> bytes | None:
    """The JSON of one detection, or None."""
    with reading(engine) as connection:
        body = connection.execute(
            select(detection.c.body).where(detection.c.id == id)
        ).scalar_one_or_none()
        return None if body is None else bytes(body)


def resolutions(
    engine: Engine, *, after: int = 0, limit: int = 100, rule: str | None = None
) -> list[StoredResolution]:
    """At most `limit` resolutions with a sequence above `after`, oldest first."""
    query = select(
        resolution.c.sequence,
        resolution.c.id,
        resolution.c.rule,
        resolution.c.key,
        resolution.c.at_ms,
        resolution.c.position,
    ).where(resolution.c.sequence > after)
    if rule is not None:
        query = query.where(resolution.c.rule == rule)
    query = query.order_by(resolution.c.sequence).limit(_page_size(limit))
    with reading(engine) as connection:
        return [
            StoredResolution(
                row.sequence, row.id, row.rule, bytes(row.key), row.at_ms, row.position
            )
            for row in connection.execute(query)
        ]


def detections_per_rule(engine: Engine) -> dict[str, int]:
    query = select(detection.c.rule, func.count().label("detections")).group_by(detection.c.rule)
    with reading(engine) as connection:
        return {row.rule: row.detections for row in connection.execute(query)}


def capped_per_rule(engine: Engine) -> dict[str, int]:
    """How many partial matches rules were refused at a limit; of rules that were refused some."""
    refused: Counter[str] = Counter()
    for status in partitions(engine):
        for name, count in status.counters.items():
            if name.startswith(CAPPED_OF):
                refused[name.removeprefix(CAPPED_OF)] += count
    return dict(refused)


def dead_letters(
    engine: Engine, partition: str, *, after: int = -1, limit: int = 100
) -> list[StoredDeadLetter]:
    """At most `limit` dead letters of a partition with a position above `after`, in order."""
    query = (
        select(
            dead_letter.c.partition, dead_letter.c.position, dead_letter.c.reason, dead_letter.c.raw
        )
        .where(dead_letter.c.partition == partition, dead_letter.c.position > after)
        .order_by(dead_letter.c.position)
        .limit(_page_size(limit))
    )
    with reading(engine) as connection:
        return [StoredDeadLetter(*row) for row in connection.execute(query)]


def late_events(
    engine: Engine, partition: str, *, after: int = -1, limit: int = 100
) -> list[StoredLate]:
    """At most `limit` late events of a partition with a position above `after`, in order."""
    query = (
        select(late)
        .where(late.c.partition == partition, late.c.position > after)
        .order_by(late.c.position)
        .limit(_page_size(limit))
    )
    with reading(engine) as connection:
        return [StoredLate(*row) for row in connection.execute(query)]


def partitions(engine: Engine) -> list[PartitionStatus]:
    query = select(
        checkpoint.c.partition,
        checkpoint.c.position,
        checkpoint.c.watermark_ms,
        checkpoint.c.epoch,
        checkpoint.c.counters,
        checkpoint.c.bookmark,
    ).order_by(checkpoint.c.partition)
    with reading(engine) as connection:
        return [
            PartitionStatus(
                name, position, watermark_ms, epoch, orjson.loads(counters) or {}, bookmark
            )
            for name, position, watermark_ms, epoch, counters, bookmark in connection.execute(query)
        ]


def page_sums(engine: Engine, partition: str, prefix: str) -> dict[str, int | None]:
    """The checksums of the pages of a partition whose names begin with `prefix`, by name."""
    query = select(page.c.name, page.c.checksum).where(*_pages_of(partition, prefix))
    with named_errors("read"), reading(engine) as connection:
        return {row.name: row.checksum for row in connection.execute(query)}


def pages(engine: Engine, partition: str, prefix: str) -> dict[str, bytes]:
    """The pages themselves; raises StoreError for one that is damaged."""
    query = select(page.c.name, page.c.data, page.c.checksum).where(*_pages_of(partition, prefix))
    found: dict[str, bytes] = {}
    with named_errors("read"), reading(engine) as connection:
        for row in connection.execute(query):
            found[row.name] = bytes(row.data)
            if row.checksum not in (None, checksums.of_page(row.name, found[row.name])):
                raise StoreError(f"the page {row.name!r} of {partition!r} is damaged")
    return found


def _pages_of(partition: str, prefix: str) -> tuple[ColumnElement[bool], ...]:
    return page.c.partition == partition, page.c.name.startswith(prefix, autoescape=True)


def outbox_is_full(engine: Engine) -> bool:
    """Whether more rows than `limits.OUTBOX_ROWS_MAX` wait for a dispatcher; raises StoreError."""
    over = select(outbox.c.sequence).limit(1).offset(limits.OUTBOX_ROWS_MAX)
    with named_errors("look at the outbox"), reading(engine) as connection:
        return connection.execute(over).first() is not None


def _page_size(limit: int) -> int:
    return max(1, min(limit, limits.READ_PAGE_ROWS_MAX))
