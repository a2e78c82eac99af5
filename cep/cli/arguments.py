"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TableFiles = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME=FILE", help="Rows of a table, in place of its source."),
]
ListFiles = Annotated[
    list[str] | None,
    typer.Option("--list", metavar="NAME=FILE", help="Values of a list, in place of its source."),
]

RulePaths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH…", help="Rule files, or folders to search for *.cep files."),
]
