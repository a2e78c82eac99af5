"""Arguments that several commands share."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dsl.strings import duration_ms


class Duration(click.ParamType[int]):
    """`90s`, `1h30m`: ms as a number."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        if not re.fullmatch(r"(\d+(ms|[smhdw]))+", text):
            self.fail(f"{text!r} is no duration (30s, 5m, 1h30m)", param, ctx)
        return duration_ms(text)


class Size(click.ParamType[int]):
    """`500MiB`, `10GiB`, or a number of bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        found = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB|TiB)?", str(value))
        if found is None:
            self.fail(f"{str(value)!r} is no size (500MiB, 10GiB)", param, ctx)
        number, unit = found.groups()
        units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
        return int(number) * units[unit or "B"]


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

idle = click.option(
    "--idle",
    "idle_ms",
    metavar="DURATION",
    type=Duration(),
    help="After so long a silence of the log, time goes on without events; 0s: never. "
    "Default: 30s for a followed app.db, else never.",
)

max_ahead = click.option(
    "--max-ahead",
    "ahead_ms_max",
    metavar="DURATION",
    type=Duration(),
    help="Events appended further ahead of the clock are quarantined. Default: 5m; app.db only.",
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

deployed_store = click.option(
    "--store", metavar="URL", required=True, help="Where the rules run: app.db or postgresql://…"
)

deployed_topic = click.option(
    "--topic", metavar="NAME", help="Whose rules, where a store has those of several logs."
)

begun = click.option(
    "--begun",
    type=click.Choice(["drain", "drop"]),
    default="drain",
    show_default=True,
    help="Partial matches whose pattern goes may still end, or are dropped.",
)
