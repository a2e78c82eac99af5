"""`cep store`: looking after a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cep.cli.output import say

if TYPE_CHECKING:
    from cep.store.store import SqlStore


@click.group()
def store() -> None:
    """Check a store, or have its state made anew from the log."""


@store.command()
@click.argument("url", metavar="URL")
def check(url: str) -> None:
    """Read the state of every partition and compare its checksums.

    URL is app.db or postgresql://…
    """
    import sys

    from cep.errors import StoreError
    from cep.store.upkeep import soundness

    opened = _open(url)
    found = soundness(opened.engine)
    opened.close()
    for one in found:
        size = f"{one.pages:,} pages, {one.size_bytes:,} bytes"
        state = "sound" if one.trouble is None else one.trouble
        print(f"{one.partition}: at record {one.position}, {size}: {state}")
    sys.stdout.flush()
    if damaged := [one.partition for one in found if one.trouble is not None]:
        raise StoreError(f"not every partition can be gone on from: {', '.join(damaged)}")


@store.command()
@click.argument("url", metavar="URL")
@click.argument("partition")
def rebuild(url: str, partition: str) -> None:
    """Forget the state of a partition, so that the next run makes it anew from the log.

    What was detected and delivered stays, and is not detected or delivered again.
    """
    from cep.store.upkeep import forget_state

    opened = _open(url)
    forget_state(opened.engine, partition)
    opened.close()
    say(f"the next run reads {partition} from the beginning of its log")


def _open(url: str) -> SqlStore:
    """Raises UsageError for a file that is not there."""
    from pathlib import Path

    from cep.errors import UsageError
    from cep.store.connect import database_url
    from cep.store.store import open_store

    where = database_url(url)
    if where.get_backend_name() == "sqlite" and not Path(str(where.database)).exists():
        raise UsageError(f"no such store: {where.database}")
    return open_store(url, say)
