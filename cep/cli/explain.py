"""`cep explain`: how near a rule came to a match on a log, and what was missing."""

from __future__ import annotations

from pathlib import Path

import click

from cep.cli.arguments import list_files, rule_paths, source, table_files
from cep.cli.output import say
from cep.errors import UsageError


@click.command()
@rule_paths
@click.option("--rule", metavar="NAME", required=True, help="The rule to ask about.")
@source
@click.option("--key", metavar="NAME=VALUE", multiple=True, help="A part of the key to ask about.")
@click.option(
    "--keys",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="So many keys, the nearest ones.",
)
@click.option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=2_000,
    show_default=True,
    help="Look at so many events, the last ones.",
)
@click.option(
    "--at", "at", metavar="TIME", help="Tell how it was at that event time (2026-03-01T03:05:00Z)."
)
@table_files
@list_files
def explain(
    rules: tuple[Path, ...],
    rule: str,
    source: str,
    key: tuple[str, ...],
    keys: int,
    last: int,
    at: str | None,
    tables: tuple[str, ...],
    lists: tuple[str, ...],
) -> None:
    """Say how near a rule came, and what was missing."""
    from cep.limits import END_OF_TIME_MS
    from cep.load import load_rules
    from cep.log import open_log
    from cep.tables.sources import given_files
    from cep.why import why

    asked = dict(_part(text) for text in key)
    log = open_log(source, follow=False)
    try:
        if len(log.partitions) > 1:
            raise UsageError(
                f"{source} has several partitions: name one, such as #{log.partitions[0]}"
            )
        given = given_files(tables, lists)
        until_ms = END_OF_TIME_MS if at is None else _time_ms(at)
        found = why(load_rules(rules), rule, log, asked, given, last, say, until_ms)
    finally:
        log.close()
    for told in found.told[:keys]:
        print("\n".join(told.lines))
    if not found.told:
        print(f"no event had {'that' if asked else 'a'} key that rule {rule} sees")
    more = len(found.told) - keys
    if more > 0:
        say(f"{more:,} further key{'s' if more > 1 else ''} came less near (--keys)")
    if found.left_out:
        say(f"{found.left_out:,} older events were not looked at (--last)")


def _time_ms(text: str) -> int:
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise UsageError(f"--at: {text!r} is no time such as 2026-03-01T03:05:00Z")
    return round(found.timestamp() * 1000)


def _part(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"expected NAME=VALUE, not {text!r}")
    return name, value
