"""`cep explain`: how near a rule came to a match on a log, and what was missing."""

from __future__ import annotations

from typing import Annotated

import typer

from cep.cli.arguments import ListFiles, RulePaths, TableFiles
from cep.cli.output import say
from cep.errors import UsageError


def explain(
    rules: RulePaths,
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="The rule to ask about.")],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="SOURCE", help="events.ndjson, events.ndjson.gz, -, or app.db#topic."
        ),
    ],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="NAME=VALUE", help="A part of the key to ask about."),
    ] = None,
    keys: Annotated[int, typer.Option(min=1, help="So many keys, the nearest ones.")] = 5,
    last: Annotated[
        int, typer.Option(min=1, max=100_000, help="Look at so many events, the last ones.")
    ] = 2_000,
    table: TableFiles = None,
    list_: ListFiles = None,
) -> None:
    """Say how near a rule came to a match, and what was missing."""
    from cep.load import load_rules
    from cep.log import open_log
    from cep.tables.sources import given_files
    from cep.why import why

    asked = dict(_part(text) for text in key or ())
    log = open_log(source, follow=False)
    try:
        given = given_files(table or (), list_ or ())
        found = why(load_rules(rules), rule, log, asked, given, last, say)
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


def _part(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"expected NAME=VALUE, not {text!r}")
    return name, value
