"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RulePaths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH…", help="Rule files, or folders to search for *.cep files."),
]
