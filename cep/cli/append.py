"""`cep append`: events from a file or standard input into a log that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cep.cli.arguments import max_ahead
from cep.cli.output import say
from cep.errors import UsageError

if TYPE_CHECKING:
    from cep.log.publishing import TopicLog


@click.command()
@click.argument("source", metavar="FILE")
@click.option("--to", metavar="LOG", required=True, help="app.db#topic or redis://…#topic.")
@click.option("--partitions", type=int, help="Make the topic, with so many partitions.")
@click.option("--key", metavar="FIELD", help="The field whose value decides the partition.")
@click.option("--dedupe", metavar="FIELD", help="Leave out events whose id there is known.")
@max_ahead
def append(
    source: str,
    to: str,
    partitions: int | None,
    key: str | None,
    dedupe: str | None,
    ahead_ms_max: int | None,
) -> None:
    """Append records to an embedded log or a Redis stream.

    FILE is NDJSON, .gz, or - for standard input.
    """
    import sys

    from cep import limits
    from cep.log import is_embedded, open_log, open_topic, takes_events
    from cep.log.lines import pieces
    from cep.log.routing import NO_IDS, EventIds

    if dedupe is not None and takes_events(to) and not is_embedded(to):
        raise UsageError("--dedupe: only an embedded log remembers the ids of its events")
    ids = NO_IDS if dedupe is None else EventIds(anywhere=tuple(dedupe.split(".")))
    reading = open_log(source, follow=False)
    log = open_topic(to, create=True, notify=say, ahead_ms_max=ahead_ms_max)
    _make_topic(log, partitions, key)
    appended = duplicates = too_long = 0
    partition = reading.partitions[0]
    position = reading.begin(partition)
    while records := reading.read(partition, position, limits.BATCH_RECORDS_MAX):
        position = records.end_position
        too_long += len(records.oversized)
        for chunk in pieces(records.data, limits.BATCH_RECORDS_MAX, limits.APPEND_BYTES_MAX):
            done = log.publish(chunk, ids)
            appended += done.count
            duplicates += done.duplicates
    reading.close()
    log.close()
    print(f"{appended} records appended to {to}", file=sys.stderr)
    if duplicates:
        print(f"{duplicates} duplicates were left out", file=sys.stderr)
    if too_long:
        raise UsageError(
            f"{too_long} records over {limits.LINE_BYTES_MAX} bytes were left out (blank records)"
        )


def _make_topic(log: TopicLog, partitions: int | None, key: str | None) -> None:
    """What is not said is as it is."""
    from cep.log.topics import Topic

    before = log.topic
    if partitions is not None or key is not None:
        count = before.partitions if partitions is None else partitions
        said = key or (before.key if count > 1 else "")
        log.declare(Topic(before.name, count, said))
