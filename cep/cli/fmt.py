"""`cep fmt`: rule files in the one format."""

from __future__ import annotations

from typing import Annotated

import typer

from cep.cli.arguments import RulePaths


def fmt(
    paths: RulePaths,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a file would change.")
    ] = False,
) -> None:
    """Format rule files in place."""
    raise NotImplementedError
