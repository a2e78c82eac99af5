"""`cep append`: events from a file or standard input into an embedded log."""

from __future__ import annotations

import click

from cep.errors import UsageError


@click.command()
@click.argument("source", metavar="FILE")
@click.option("--to", metavar="LOG", required=True, help="Embedded log: app.db#topic.")
def append(source: str, to: str) -> None:
    """Append records to an embedded log. FILE is NDJSON, .gz, or - for standard input."""
    import sys

    from cep import limits
    from cep.log import is_embedded, open_log
    from cep.log.buffer import line_ends

    if not is_embedded(to):
        raise UsageError(f"cannot append to {to!r}: use an embedded log, app.db#topic")
    reading, log = open_log(source, follow=False), open_log(to, create=True)
    topic = log.partitions[0]
    position, appended, too_long = 0, 0, 0
    while records := reading.read(reading.partitions[0], position, limits.BATCH_RECORDS_MAX):
        position = records.end_position
        too_long += len(records.oversized)
        rest = records.data
        while rest:
            cut = len(rest)
            if cut > limits.APPEND_BYTES_MAX:
                ends = line_ends(rest[: limits.APPEND_BYTES_MAX + 1])
                cut = int(ends[-1]) + 1
            appended += len(log.append(topic, rest[:cut]))
            rest = rest[cut:]
    reading.close()
    log.close()
    print(f"{appended} records appended to {to}", file=sys.stderr)
    if too_long:
        raise UsageError(
            f"{too_long} records over {limits.LINE_BYTES_MAX} bytes were left out (blank records)"
        )
