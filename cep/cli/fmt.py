"""`cep fmt`: rule files in the one format."""

from __future__ import annotations

from typing import Annotated

import typer

from cep.cli.arguments import RulePaths
from cep.errors import RulesError, UsageError


def fmt(
    paths: RulePaths,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a file would change.")
    ] = False,
) -> None:
    """Format rule files in place; a file with syntax errors stays as it is."""
    import sys

    import dsl
    from dsl.format import format_text

    changed, broken = [], []
    try:
        for path in dsl.rule_files(paths):
            text = path.read_text(encoding="utf-8")
            try:
                formatted = format_text(text, str(path))
            except dsl.RuleError as error:
                broken.append(str(error))
                continue
            if formatted != text:
                changed.append(path)
                if not check:
                    path.write_text(formatted, encoding="utf-8", newline="")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    for path in changed:
        print(f"{'would change' if check else 'formatted'} {path}", file=sys.stderr)
    if broken:
        raise RulesError("\n".join(broken))
    if check and changed:
        raise typer.Exit(1)
