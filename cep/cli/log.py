"""`cep log`: looking after an embedded log, one that is not shared with a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cep.cli.arguments import Duration, Size
from cep.cli.output import say
from cep.errors import UsageError

if TYPE_CHECKING:
    from cep.log.removal import Removed
    from cep.log.sqlite import SqliteLog

unread = click.option(
    "--unread", is_flag=True, help="Also what the engine of the same database has not read."
)


@click.group()
def log() -> None:
    """Look at an embedded log, trim it, compact it.

    LOG is app.db#topic, postgresql://…#topic, or one partition: app.db#topic/0.
    """


@log.command()
@click.argument("url", metavar="LOG")
def show(url: str) -> None:
    """Say what is in a log, and how far it was read."""
    from cep.log.removal import shown
    from cep.values import iso_time

    with _opened(url) as (found, partitions):
        for partition in partitions:
            one = shown(found.engine, partition)
            came = ""
            if one.oldest_ms is not None and one.newest_ms is not None:
                came = f", came {iso_time(one.oldest_ms)} to {iso_time(one.newest_ms)}"
            read = "" if one.reader is None else f"; an engine is at record {one.reader}"
            compacted = f"; compacted up to {one.compacted}" if one.compacted else ""
            print(
                f"{partition}: records {one.first} to {one.end}, {one.size_bytes:,} bytes"
                f"{came}{compacted}{read}"
            )


@log.command()
@click.argument("url", metavar="LOG")
@click.option("--keep-for", "age_ms", metavar="DURATION", type=Duration(), help="30d, 12h: by age.")
@click.option(
    "--keep-bytes", "size", metavar="SIZE", type=Size(), help="10GiB: by size, of each partition."
)
@unread
def trim(url: str, age_ms: int | None, size: int | None, unread: bool) -> None:
    """Remove the oldest records: those that are too old, and those that are too many."""
    from cep.log.removal import Keep
    from cep.log.removal import trim as remove
    from cep.ports import SystemClock

    if age_ms is None and size is None:
        raise UsageError("say what stays: --keep-for DURATION, --keep-bytes SIZE, or both")
    since_ms = None if age_ms is None else SystemClock().now_ms() - age_ms

    keep = Keep(since_ms, size)
    _remove(
        url,
        "removed",
        lambda found, partition: remove(found.engine, partition, keep, unread=unread),
    )


@log.command()
@click.argument("url", metavar="LOG")
@click.option("--key", metavar="FIELD", required=True, help="The field that tells records apart.")
@unread
def compact(url: str, key: str, unread: bool) -> None:
    """Keep the newest record of each type and key; older ones become blank lines."""
    from cep.log.compaction import compact as remove

    _remove(
        url,
        "blanked",
        lambda found, partition: remove(found.engine, partition, key, unread=unread),
    )


def _remove(url: str, done: str, remove: Callable[[SqliteLog, str], Removed]) -> None:
    from cep.log.removal import reader_of

    unguarded = []
    with _opened(url) as (found, partitions):
        for partition in partitions:
            gone = remove(found, partition)
            held = "" if gone.held_at is None else f"; an engine is only at record {gone.held_at}"
            print(f"{partition}: {gone.records} records {done}, {gone.size_bytes:,} bytes{held}")
            if gone.records and reader_of(found.engine, partition) is None:
                unguarded.append(partition)
    if unguarded:
        say(
            f"no engine keeps its state of {', '.join(unguarded)} in this database: readers "
            "elsewhere that have not read what is gone will stop"
        )


@contextmanager
def _opened(url: str) -> Iterator[tuple[SqliteLog, tuple[str, ...]]]:
    from cep.log import is_embedded, open_topic
    from cep.log.sqlite import SqliteLog

    if not is_embedded(url):
        raise UsageError(f"not an embedded log: {url!r} (Redis: XTRIM; files: as you like)")
    found = open_topic(url, notify=say)
    assert isinstance(found, SqliteLog)
    try:
        yield found, found.partitions
    finally:
        found.close()
