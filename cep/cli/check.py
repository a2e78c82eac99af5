"""`cep check`: are the rule files sound?"""

from __future__ import annotations

from pathlib import Path

import click

from cep.cli.arguments import rule_paths


@click.command()
@rule_paths
@click.option("--json", is_flag=True, help="Print the diagnostics as a JSON array.")
def check(rules: tuple[Path, ...], json: bool) -> None:
    """Check rule files. Prints every error and warning with its place."""
    import json as json_format
    import sys

    from cep.load import load

    loaded = load(rules)
    if json:
        print(json_format.dumps(loaded.to_json(), indent=2))
    elif loaded.diagnostics:
        print(loaded.render())
    if loaded.rules is None:
        raise SystemExit(1)
    if not json:
        counts = (len(loaded.rules.rules), len(loaded.rules.tests), len(loaded.sources))
        print("{} rules and {} tests in {} files: sound".format(*counts), file=sys.stderr)
