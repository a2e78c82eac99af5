"""`cep check`: are the rule files sound?"""

from __future__ import annotations

from typing import Annotated

import typer

from cep.cli.arguments import RulePaths


def check(
    paths: RulePaths,
    json: Annotated[
        bool, typer.Option("--json", help="Print the diagnostics as a JSON array.")
    ] = False,
) -> None:
    """Check rule files; print every error and warning with its place."""
    import json as json_format
    import sys

    from cep.load import load

    loaded = load(paths)
    if json:
        print(json_format.dumps(loaded.to_json(), indent=2))
    elif loaded.diagnostics:
        print(loaded.render())
    if loaded.rules is None:
        raise typer.Exit(1)
    if not json:
        counts = (len(loaded.rules.rules), len(loaded.rules.tests), len(loaded.sources))
        print("{} rules and {} tests in {} files: sound".format(*counts), file=sys.stderr)
