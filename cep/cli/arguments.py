"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

rule_paths = click.argument(
    "rules", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
"""Rule files, or folders to search for *.cep files."""

source = click.option(
    "--from",
    "source",
    metavar="SOURCE",
    required=True,
    help="events.ndjson, events.ndjson.gz, -, app.db#topic, or redis://…#topic.",
)

table_files = click.option(
    "--table",
    "tables",
    metavar="NAME=FILE",
    multiple=True,
    help="Rows of a table, in place of its source.",
)

list_files = click.option(
    "--list",
    "lists",
    metavar="NAME=FILE",
    multiple=True,
    help="Values of a list, in place of its source.",
)
